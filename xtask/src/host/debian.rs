//! Programs of Debian packages, unpacked into the cache and not installed: no service starts, no root is needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{command::Run, folders, packages};

/// Returns a program of a package: the one on the path, or the package's own in the cache.
pub(crate) fn program(package: &str, name: &str) -> Result<PathBuf> {
    if let Some(installed) = packages::on_path(name) {
        return Ok(installed);
    }
    let shelf = folders::cache()?.join("parts");
    let finished = shelf.join(format!("debian-{package}"));
    let program = finished.join("usr/bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    if packages::on_path("apt-get").is_none() {
        bail!("`{name}` is missing\nhelp: install it; Debian has it in the package `{package}`");
    }
    folders::make(&shelf)?;
    let _lock = folders::lock(&format!("parts/debian-{package}"))?;
    let scratch = shelf.join(format!("debian-{package}.unfinished"));
    if scratch.exists() {
        fs::remove_dir_all(&scratch).with_context(|| format!("failed to delete {}", scratch.display()))?;
    }
    folders::make(&scratch)?;
    println!("unpacking Debian's {package}");
    if download(&scratch, package).is_err() {
        // A fresh machine has no package lists yet.
        Command::new("apt-get").args(["update", "-qq"]).text()?;
        download(&scratch, package)?;
    }
    let archives: Vec<PathBuf> = fs::read_dir(&scratch)
        .with_context(|| format!("failed to read {}", scratch.display()))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    for archive in archives {
        Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&scratch).text()?;
        fs::remove_file(&archive).with_context(|| format!("failed to delete {}", archive.display()))?;
    }
    fs::rename(&scratch, &finished).with_context(|| format!("failed to move {}", scratch.display()))?;
    Ok(program)
}

fn download(folder: &Path, package: &str) -> Result<()> {
    // apt would drop its rights and then not reach the folder.
    Command::new("apt-get")
        .current_dir(folder)
        .args(["download", "-qq", "-o", "APT::Sandbox::User=root", package])
        .text()
        .map(drop)
}
