//! Debian packages for the case that installs some: fetched once, so that no network is measured.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use super::corpus::Corpus;
use crate::host::{command::Run, folders, mounts, parts};

/// What an image for development often gets. Not all dependencies are there: the installation is what counts.
const PACKAGES: &[&str] = &[
    "bzip2",
    "curl",
    "file",
    "git",
    "git-man",
    "jq",
    "less",
    "libbrotli1",
    "libcurl3-gnutls",
    "libcurl4",
    "libexpat1",
    "libjq1",
    "libldap-2.5-0",
    "libmagic-mgc",
    "libmagic1",
    "libnghttp2-14",
    "libonig5",
    "libpsl5",
    "librtmp1",
    "libssh2-1",
    "libssl3",
    "openssl",
    "patch",
    "perl",
    "perl-modules-5.36",
    "rsync",
    "sudo",
    "tree",
    "unzip",
    "xz-utils",
];

/// Copies the packages into the context.
pub(super) fn put(corpus: &Corpus) -> Result<()> {
    let key = parts::fnv(parts::FNV_START, PACKAGES.join(" ").as_bytes());
    let shelf = folders::cache()?.join(format!("bench-debs-{key:016x}"));
    if !shelf.is_dir() {
        let half = folders::cache()?.join("bench-debs.unfinished");
        mounts::delete(&half)?;
        folders::make(&half)?;
        // apt would drop its rights and then not reach the folder.
        let fetch = || {
            Command::new("apt-get")
                .current_dir(&half)
                .args(["download", "-qq", "-o", "APT::Sandbox::User=root"])
                .args(PACKAGES)
                .text()
        };
        if fetch().is_err() {
            // A fresh machine has no package lists yet.
            Command::new("apt-get").args(["update", "-qq"]).text()?;
            fetch().context("the case of Debian packages needs a machine with Debian bookworm")?;
        }
        fs::rename(&half, &shelf).context("failed to move the packages")?;
    }
    Command::new("cp").arg("-r").arg(&shelf).arg(corpus.path().join("debs")).text().map(drop)
}
