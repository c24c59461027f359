//! Repositories, and addresses of repositories, that try to make git do something else.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use slipway_tests::server::Server;

use crate::bed::Bed;

fn git(place: &Path, words: &[&str]) -> Result<()> {
    let status = Command::new("git")
        .current_dir(place)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"])
        .args(["-c", "protocol.file.allow=always"])
        .args(words)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .context("no `git`")?;
    ensure!(status.success(), "git {words:?} failed");
    Ok(())
}

/// Makes a repository of what `fill` puts into a folder, served as `/repo.git`.
fn repository(bed: &Bed, server: &Server, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let served = bed.path("served");
    let _ = fs::remove_dir_all(&served);
    fs::create_dir_all(served.join("work"))?;
    git(&served.join("work"), &["init", "--quiet"])?;
    fill(&served.join("work"))?;
    git(&served.join("work"), &["add", "--all", "--force"])?;
    git(&served.join("work"), &["commit", "--quiet", "--allow-empty", "--message", "all"])?;
    git(&served, &["clone", "--quiet", "--bare", "work", "repo.git"])?;
    server.show(&served);
    Ok(())
}

#[test]
fn a_folder_of_a_repository_is_below_its_root() -> Result<()> {
    let bed = Bed::new()?;
    let server = Server::start()?;
    let victim = bed.victim();
    repository(&bed, &server, |work| {
        std::os::unix::fs::symlink(&victim, work.join("abs"))?;
        std::os::unix::fs::symlink("../../../../../../../../..", work.join("up"))?;
        fs::create_dir(work.join("real"))?;
        fs::write(work.join("real/f"), "f")?;
        std::os::unix::fs::symlink("../../.git", work.join("real/git"))?;
        Ok(())
    })?;
    let url = format!("{}/x/repo.git", server.url);
    let below = victim.display().to_string();
    let mut folders =
        vec!["abs".to_owned(), "abs/".into(), "real/../abs".into(), "../../victim".into(), "..".into()];
    folders.extend([
        format!("up{below}"),
        format!("real/../up{below}"),
        below,
        "real/git".into(),
        ".git".into(),
    ]);
    for folder in folders {
        for (flag, address) in [
            ("", format!("{url}#main:{folder}")),
            ("", format!("{url}?branch=main&subdir={folder}")),
            ("--keep-git-dir ", format!("{url}#main:{folder}")),
        ] {
            bed.write("Dockerfile", format!("FROM scratch\nADD {flag}{address} /x/\n"))?;
            let outcome = bed.build(&[])?;
            ensure!(!outcome.succeeded && !outcome.said.contains("panicked"), "{address}: {}", outcome.said);
            bed.unharmed(&address)?;
        }
    }
    // The way that is right works, so that what fails above fails for its folder.
    bed.write("Dockerfile", format!("FROM scratch\nADD {url}#main:real /x/\n"))?;
    bed.build(&[])?.ok()?;
    ensure!(bed.file("x/f")? == "f", "another folder was added");
    Ok(())
}

#[test]
fn no_address_of_a_repository_runs_a_program() -> Result<()> {
    let bed = Bed::new()?;
    let evil = bed.path("evil");
    let run = format!("touch {}", evil.display());
    let addresses = [
        "--upload-pack=RUN".to_owned(),
        "-oProxyCommand=RUN".into(),
        "ssh://-oProxyCommand=RUN/x.git".into(),
        "ssh://-oProxyCommand=RUN@h/x.git".into(),
        "git@-oProxyCommand=RUN:x.git".into(),
        "-oProxyCommand=RUN:x.git".into(),
        "git@[-oProxyCommand=RUN]:x.git".into(),
        "ext::sh -c RUN".into(),
        "ext::sh%20-c%20RUN.git".into(),
        "fd::17/x.git".into(),
        "file:///HERE/served/repo.git".into(),
        "/HERE/served/repo.git".into(),
        "https://127.0.0.1:1/x.git#--upload-pack=RUN".into(),
        "https://127.0.0.1:1/x.git#-b".into(),
        "https://127.0.0.1:1/x.git?ref=--upload-pack=RUN".into(),
        "https://127.0.0.1:1/x.git?tag=$(RUN)".into(),
        "https://127.0.0.1:1/x.git#`RUN`".into(),
        "https://127.0.0.1:1/$(RUN)/x.git".into(),
        "https://127.0.0.1:1/x.git#main:$(RUN)".into(),
        "https://127.0.0.1:1/x.git#main:`RUN`".into(),
        "https://127.0.0.1:1/x.git#;RUN".into(),
        "https://127.0.0.1:1/x.git#|RUN".into(),
        "git://127.0.0.1:1/x.git#..".into(),
        "git://127.0.0.1:1/x.git#refs/heads/../../x".into(),
        "git://-oProxyCommand=RUN/x.git".into(),
        "git://127.0.0.1:1/x.git#HEAD^{/RUN}".into(),
        "http://127.0.0.1:1/x.git?submodules=RUN".into(),
        "http://127.0.0.1:1/x.git?checksum=--output=RUN".into(),
        "http::ext::sh -c RUN.git".into(),
        "ssh://127.0.0.1:-oProxyCommand=RUN/x.git".into(),
        "ssh://h`RUN`/x.git".into(),
        "git@$(RUN):x.git".into(),
    ];
    ensure!(addresses.len() >= 30, "the table has shrunk");
    for address in addresses {
        let address = address.replace("RUN", &run).replace("/HERE", &bed.path("").display().to_string());
        for dockerfile in [
            format!("FROM scratch\nADD {}\n", serde_json::json!([address, "/x/"])),
            format!("FROM scratch\nADD {} /x/\n", address.replace(' ', "${IFS}")),
        ] {
            bed.write("Dockerfile", dockerfile)?;
            let outcome = bed.build(&[])?;
            ensure!(!outcome.succeeded && !outcome.said.contains("panicked"), "{address}: {}", outcome.said);
            ensure!(!evil.exists(), "{address} ran a program");
        }
        // As the context itself, and as a named one.
        let output = Command::new(slipway_tests::program()?)
            .args(["build", "--root"])
            .arg(bed.path("store"))
            .args(["--build-context", &format!("x={address}"), "--"])
            .arg(&address)
            .output()?;
        ensure!(!output.status.success(), "{address} as a context was built");
        ensure!(!evil.exists(), "{address} as a context ran a program");
    }
    Ok(())
}

#[test]
fn what_a_repository_brings_does_not_run() -> Result<()> {
    let bed = Bed::new()?;
    let server = Server::start()?;
    let evil = bed.path("evil");
    let run = format!("touch {}", evil.display());
    let modules = [
        format!("[submodule \"a\"]\n\tpath = a\n\turl = -u{run}\n"),
        format!("[submodule \"a\"]\n\tpath = a\n\turl = ext::sh -c '{run}'\n"),
        format!("[submodule \"a\"]\n\tpath = a\n\turl = URL/x/repo.git\n\tupdate = !{run}\n"),
        "[submodule \"../../hooks\"]\n\tpath = a\n\turl = URL/x/repo.git\n".to_owned(),
        "[submodule \"a\"]\n\tpath = ../a\n\turl = URL/x/repo.git\n".to_owned(),
        "[submodule \"a\"]\n\tpath = \"a\r\"\n\turl = URL/x/repo.git\n".to_owned(),
        "[submodule \"a\"]\n\tpath = .git/hooks\n\turl = URL/x/repo.git\n".to_owned(),
        format!("[submodule \"a\"]\n\tpath = a\n\turl = file://{}\n", bed.victim().display()),
    ];
    for text in modules {
        repository(&bed, &server, |work| {
            for hook in ["post-checkout", "post-merge", ".githooks/post-checkout"] {
                let file = work.join(hook);
                fs::create_dir_all(file.parent().context("in a folder")?)?;
                fs::write(&file, format!("#!/bin/sh\n{run}\n"))?;
            }
            fs::write(work.join(".gitattributes"), "* filter=evil diff=evil\n")?;
            fs::write(work.join(".lfsconfig"), format!("[lfs]\n\turl = ext::{run}\n"))?;
            fs::write(work.join(".gitmodules"), text.replace("URL", &server.url))?;
            git(work, &["update-index", "--add", "--cacheinfo", &format!("160000,{},a", "1".repeat(40))])
        })?;
        bed.write("Dockerfile", format!("FROM scratch\nADD {}/x/repo.git /x/\n", server.url))?;
        let outcome = bed.build(&["--no-cache"])?;
        ensure!(!outcome.said.contains("panicked"), "{text}: {}", outcome.said);
        ensure!(!evil.exists(), "a program ran for {text}");
        bed.unharmed(&text)?;
    }
    Ok(())
}

/// Not an attack, but what a cache must not do: an address stands for what is there now.
#[test]
fn what_was_at_an_address_before_is_not_added() -> Result<()> {
    let bed = Bed::new()?;
    let server = Server::start()?;
    bed.write(
        "Dockerfile",
        format!("FROM scratch\nADD {0}/x/repo.git /r/\nADD {0}/x/file /f/\n", server.url),
    )?;
    for text in ["first", "second"] {
        repository(&bed, &server, |work| Ok(fs::write(work.join("file"), text)?))?;
        fs::write(bed.path("served/file"), text)?;
        bed.build(&[])?.ok()?;
        ensure!(bed.file("r/file")? == text, "the repository as it was before was added");
        ensure!(bed.file("f/file")? == text, "the file as it was before was added");
    }
    Ok(())
}
