use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use slipway_tests::cluster::Cluster;

/// A git server for one test, on the address that pods reach.
struct GitServer {
    child: Child,
    folder: std::path::PathBuf,
    url: String,
}

impl Drop for GitServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl GitServer {
    fn start(cluster: &Cluster) -> Result<Self> {
        let address = cluster.registry().split(':').next().context("registry without host")?.to_owned();
        let folder = std::env::temp_dir().join(format!("slipway-git-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("repo"))?;
        let port = 19_418;
        // The daemon itself, not `git daemon`: that one starts it as a child, which would outlive the test.
        let programs = Command::new("git").arg("--exec-path").output()?.stdout;
        let daemon = Path::new(String::from_utf8(programs)?.trim()).join("git-daemon");
        let child = Command::new(daemon)
            .args(["--reuseaddr", "--export-all", &format!("--listen={address}"), &format!("--port={port}")])
            .arg(format!("--base-path={}", folder.display()))
            .arg(&folder)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start git daemon")?;
        let mut server = Self { child, url: format!("git://{address}:{port}/repo"), folder };
        let start = Instant::now();
        while TcpStream::connect((address.as_str(), port)).is_err() {
            ensure!(start.elapsed() < Duration::from_mins(1), "git daemon does not listen");
            ensure!(server.child.try_wait()?.is_none(), "git daemon ended at once: is port {port} taken?");
            std::thread::sleep(Duration::from_millis(50));
        }
        server.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(server)
    }

    fn repository(&self) -> std::path::PathBuf {
        self.folder.join("repo")
    }

    fn git(&self, words: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .current_dir(self.repository())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "safe.directory=*"])
            .args(words)
            .output()?;
        ensure!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn commit(&self, path: &str, text: &str) -> Result<String> {
        let file = self.repository().join(path);
        std::fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
        std::fs::write(file, text)?;
        self.git(&["add", "."])?;
        self.git(&["commit", "--quiet", "--message", path])?;
        self.git(&["rev-parse", "HEAD"])
    }
}

#[test]
fn a_git_branch_is_built_and_its_revision_shown() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let server = GitServer::start(&cluster)?;
    server.commit("services/web/app.txt", "first")?;
    let commit = server
        .commit("services/web/Dockerfile", "FROM busybox\nCOPY app.txt /\nRUN cp app.txt copy.txt\n")?;
    let spec = format!(
        "{{source: {{git: {{url: '{}', ref: {{branch: main}}}}, subPath: services/web}}, images: [{{name: REPO/web, tags: ['{{{{branch}}}}-{{{{shortSha}}}}', latest]}}]}}",
        server.url
    );
    ns.build("web", &spec)?;
    let status = ns.succeeded("web")?;
    let revision = status["source"]["revision"].as_str().unwrap();
    assert!(revision.contains(&commit) && revision.starts_with("main@"), "{revision}");
    assert_eq!(cluster.file(&ns.image("web"), "copy.txt")?, "first");
    let tag = format!("main-{}", &commit[..7]);
    assert!(cluster.crane(&["ls", &ns.image("web")])?.lines().any(|t| t == tag));
    // A new commit and a request to look again.
    server.commit("services/web/app.txt", "second")?;
    ns.rebuild("web", "again")?;
    ns.succeeded("web")?;
    assert_eq!(cluster.file(&ns.image("web"), "copy.txt")?, "second");
    // A branch that is not there.
    ns.build("lost", &spec.replace("branch: main", "branch: nowhere"))?;
    let status = ns.failed("lost")?;
    assert!(status["failure"]["message"].as_str().unwrap().contains("nowhere"), "{:#}", status["failure"]);
    Ok(())
}

#[test]
fn a_config_map_is_a_source() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: src}, data: {Dockerfile: \"FROM scratch\\nCOPY page.html /\\n\", page.html: hello}}")?;
    ns.build("page", "{source: {configMap: {name: src}}, images: [{name: REPO/page}]}")?;
    ns.succeeded("page")?;
    let listing = cluster.listing(&ns.image("page"))?;
    assert!(listing.contains("page.html") && !listing.contains("->"), "{listing}");
    assert_eq!(cluster.file(&ns.image("page"), "page.html")?, "hello");
    Ok(())
}
