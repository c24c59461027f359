//! Whether what is lent to a build stays anywhere: every byte that a build leaves is searched, unpacked where it is packed.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use slipway_oci::archive::Limits;
use slipway_oci::compress::Decoder;
use slipway_tests::server::{self, Server};

use crate::bed::Bed;

/// Every secret begins so.
const MARK: &str = "canary-lent-91b2e7";

/// Searches a file, and what it unpacks to.
fn has_mark(file: &Path) -> Result<bool> {
    let bytes = fs::read(file)?;
    let found = |bytes: &[u8]| bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes());
    let mut unpacked = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Decoder::new(&bytes[..], Limits::default())?.read_to_end(&mut unpacked)?;
    }
    Ok(found(&bytes) || found(&unpacked))
}

/// Counts files below a folder, and collects those with the mark.
fn search(folder: &Path, marked: &mut Vec<String>) -> Result<u32> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if entry.file_name().to_string_lossy().contains(MARK) {
            marked.push(entry.path().display().to_string());
        }
        if kind.is_dir() {
            count += search(&entry.path(), marked)?;
        } else if kind.is_file() {
            count += 1;
            if has_mark(&entry.path())? {
                marked.push(entry.path().display().to_string());
            }
        }
    }
    Ok(count)
}

#[test]
fn nothing_that_is_lent_stays_anywhere() -> Result<()> {
    let bed = Bed::new()?;
    let server = Server::start()?;
    let served = bed.path("served/auth");
    fs::create_dir_all(&served)?;
    fs::write(served.join("f"), "guarded")?;
    fs::write(bed.path("served/authorization"), format!("Bearer {MARK}-http"))?;
    server.show(&bed.path("served"));
    let lent = bed.path("lent");
    fs::create_dir_all(&lent)?;
    for name in ["file", "env", "http"] {
        fs::write(lent.join(name), format!("{MARK}-{name}"))?;
    }
    // The credentials of a registry that is asked in this build, and refuses.
    let docker = bed.path("lent/docker");
    fs::create_dir_all(&docker)?;
    let login = serde_json::json!({"auths": {"127.0.0.1:1": {"username": "u", "password": format!("{MARK}-registry")}}});
    fs::write(docker.join("config.json"), login.to_string())?;
    let agent = lent.join(format!("{MARK}-agent.sock"));
    server::agent(&agent)?;
    let url = &server.url;
    let host = url.trim_start_matches("http://");
    let stages = format!(
        "RUN --mount=type=secret,id=file --mount=type=secret,id=file,target=/etc/deep/token --mount=type=secret,id=env,env=TOKEN \
         --mount=type=ssh test -S $SSH_AUTH_SOCK && grep -q {MARK}-file /run/secrets/file /etc/deep/token && \
         test \"$TOKEN\" = {MARK}-env && wc -c < /run/secrets/file > /length\n\
         RUN --mount=type=secret,id=file --mount=type=secret,id=env,env=TOKEN ls /run/secrets /etc/deep > /seen 2>&1; \
         mkdir -p /run/secrets/own; echo kept > /run/secrets/own/f\n\
         FROM base AS later\nRUN env > /env; ls -R /run > /run-list 2>&1 || true\n\
         FROM scratch\nADD {url}/x/auth/f /f\nCOPY --from=0 /length /seen /run /out/\nCOPY --from=later /env /run-list /later/\n",
    );
    // The command itself must not name what it compares with, as history keeps commands.
    let stages = stages
        .replace(&format!("grep -q {MARK}-file"), "grep -q -e -file$")
        .replace(&format!("test \"$TOKEN\" = {MARK}-env"), "test ${#TOKEN} -gt 10");
    if !bed.busybox(&stages)? {
        eprintln!("left out: this machine has no /bin/busybox (Debian's busybox-static)");
        return Ok(());
    }
    let flag = |id: &str, name: &str| format!("id={id},src={}", lent.join(name).display());
    let output = Command::new(slipway_tests::program()?)
        .args(["build", "--progress", "plain", "--root"])
        .arg(bed.path("store"))
        .args(["--output", &format!("type=oci,tar=false,dest={}", bed.path("image").display())])
        .args(["--output", &format!("type=tar,dest={}", bed.path("tree.tar").display())])
        .args(["--metadata-file".as_ref(), bed.path("metadata.json").as_os_str()])
        .args(["--secret", &flag("file", "file"), "--secret", &flag("env", "env")])
        .args(["--secret", &flag(&format!("HTTP_AUTH_TOKEN_{host}"), "http")])
        .args(["--ssh", &format!("default={}", agent.display())])
        .env("DOCKER_CONFIG", &docker)
        .arg(bed.context())
        .output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{said}");
    ensure!(bed.file("out/length")?.trim() == format!("{}", MARK.len() + 5), "the secret was not there");
    ensure!(bed.file("f")? == "guarded", "the download's secret was not used");
    // The same with a failure while the secrets are mounted, and with every registry refusing.
    bed.write("Dockerfile.fails", "FROM 127.0.0.1:1/private/base\nRUN --mount=type=secret,id=file false\n")?;
    let failed = Command::new(slipway_tests::program()?)
        .args(["build", "--progress", "json", "--root"])
        .arg(bed.path("store"))
        .args(["--insecure-registry", "127.0.0.1:1", "--secret", &flag("file", "file"), "--file"])
        .arg(bed.context().join("Dockerfile.fails"))
        .env("DOCKER_CONFIG", &docker)
        .arg(bed.context())
        .output()?;
    let failure =
        format!("{}{}", String::from_utf8_lossy(&failed.stdout), String::from_utf8_lossy(&failed.stderr));
    ensure!(!failed.status.success(), "a registry that does not exist answered");
    ensure!(
        !said.contains(MARK) && !failure.contains(MARK),
        "what was printed has a secret:\n{said}{failure}"
    );
    let mut marked = Vec::new();
    let mut count = 0;
    for place in ["store", "image"] {
        count += search(&bed.path(place), &mut marked)?;
    }
    for file in ["tree.tar", "metadata.json"] {
        if has_mark(&bed.path(file))? {
            marked.push(file.to_owned());
        }
    }
    ensure!(count > 10, "only {count} files were searched");
    ensure!(marked.is_empty(), "secrets stay in {marked:?}");
    Ok(())
}
