//! Makes the layer of a base as a compressed archive, and keeps it in the cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::recipes::{Base, Content, Installation};
use crate::host::{command::Run, folders, mounts, packages};

/// The machine's certificate bundle, and the same place in every base: programs in pods check certificates too.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Certificates of this site, which Debian's tool adds to the bundle whenever it makes it anew.
const SITE_CERTIFICATES: &str = "/usr/local/share/ca-certificates";
/// The moment that all files get which are made here, so that the same content is the same layer.
const EPOCH: &str = "1700000000";

/// Returns the archive of a base's layer, made now if it was not yet.
pub(crate) fn ensure(base: &Base) -> Result<PathBuf> {
    let shelf = folders::cache()?.join("bases");
    let finished = shelf.join(format!("{}.tar.gz", base.layer_key()));
    if finished.is_file() {
        return Ok(finished);
    }
    folders::make(&shelf)?;
    let _lock = folders::lock(&format!("bases/{}", base.name))?;
    if finished.is_file() {
        return Ok(finished);
    }
    println!("making the layer of {}", base.name);
    let scratch = shelf.join(format!("{}.unfinished", base.name));
    mounts::delete(&scratch)?;
    folders::make(&scratch)?;
    let tree = scratch.join("tree");
    folders::make(&tree)?;
    match &base.content {
        Content::Debian => debian(&tree)?,
        Content::Busybox => busybox(&tree)?,
        Content::Files => certificates(&tree)?,
        Content::Installed(what) => install(base, what, &scratch, &tree)?,
    }
    write_files(&tree, base.files)?;
    if matches!(base.content, Content::Debian | Content::Installed(_)) {
        client_settings(&tree)?;
    }
    pack(&scratch, &finished)?;
    mounts::delete(&scratch)?;
    forget_older(base, &shelf, &finished);
    Ok(finished)
}

/// Deletes what earlier recipes of a base made.
fn forget_older(base: &Base, shelf: &Path, finished: &Path) {
    let Ok(entries) = fs::read_dir(shelf) else { return };
    for file in entries.flatten().map(|entry| entry.path()).filter(|file| file != finished) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // What is before the last dash is the base's name; another base's name may begin with it.
        let owner =
            name.strip_suffix(".tar.gz").and_then(|name| name.rsplit_once('-')).map(|(owner, _)| owner);
        if owner == Some(base.name) {
            // A leftover costs room and nothing else.
            let _ = fs::remove_file(&file);
        }
    }
}

/// The architecture under the name that images use.
pub(crate) fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => anyhow::bail!("base images for {other} are not known here"),
    }
}

/// Settings by which this machine's programs find its certificates: Node and Python bring lists of their own.
pub(crate) fn certificate_settings(base: &Base) -> Vec<String> {
    if !matches!(base.content, Content::Installed(_)) {
        return Vec::new();
    }
    ["NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"]
        .iter()
        .filter(|name| std::env::var(name).is_ok_and(|value| value == CERTIFICATES))
        .map(|name| format!("--env={name}={CERTIFICATES}"))
        .collect()
}

/// A minimal system from the package sources that the machine itself uses.
fn debian(tree: &Path) -> Result<()> {
    let sources = Path::new("/etc/apt/sources.list.d/debian.sources");
    let mut command = Command::new("mmdebstrap");
    command
        .args([
            "--quiet",
            "--variant=minbase",
            "--format=directory",
            "--skip=output/dev,cleanup/reproducible",
        ])
        .args(["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"])
        .args([
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        ])
        .arg("bookworm")
        .arg(tree)
        .env("SOURCE_DATE_EPOCH", EPOCH);
    if sources.exists() {
        command.arg(sources);
    }
    command.text()?;
    certificates(tree)
}

/// One static program under the names of all its applets.
fn busybox(tree: &Path) -> Result<()> {
    for folder in
        ["bin", "sbin", "usr/bin", "usr/sbin", "etc", "root", "home", "var/log", "proc", "sys", "dev", "tmp"]
    {
        folders::make(&tree.join(folder))?;
    }
    let program = tree.join("bin/busybox");
    fs::copy("/usr/bin/busybox", &program)
        .or_else(|_| fs::copy("/bin/busybox", &program))
        .context("failed to copy this machine's busybox")?;
    for applet in Command::new(&program).arg("--list-full").text()?.lines() {
        let link = tree.join(applet);
        if link != program && link.parent().is_some_and(Path::is_dir) {
            std::os::unix::fs::symlink("/bin/busybox", &link)
                .with_context(|| format!("failed to link {applet}"))?;
        }
    }
    Command::new("chmod").arg("1777").arg(tree.join("tmp")).text()?;
    certificates(tree)
}

fn write_files(tree: &Path, files: &[(&str, &str)]) -> Result<()> {
    for (name, text) in files {
        let file = tree.join(name);
        folders::make(file.parent().context("a file without a folder")?)?;
        folders::write(&file, text)?;
        let mode = if text.starts_with("#!") { "755" } else { "644" };
        Command::new("chmod").arg(mode).arg(&file).text()?;
    }
    Ok(())
}

fn certificates(tree: &Path) -> Result<()> {
    let bundle = tree.join(CERTIFICATES.trim_start_matches('/'));
    folders::make(bundle.parent().context("a file without a folder")?)?;
    fs::copy(CERTIFICATES, &bundle).context("failed to copy the machine's certificates")?;
    copy_from_machine(tree, SITE_CERTIFICATES)
}

/// How package managers of this machine are set up, where that differs from their defaults.
fn client_settings(tree: &Path) -> Result<()> {
    copy_from_machine(tree, "/etc/pip.conf")?;
    let Some(home) = std::env::var_os("HOME") else { return Ok(()) };
    for file in [".npmrc", ".config/go/env", ".m2/settings.xml", ".cargo/config.toml", ".config/pip/pip.conf"]
    {
        let from = Path::new(&home).join(file);
        if from.is_file() {
            let to = tree.join("root").join(file);
            folders::make(to.parent().context("a file without a folder")?)?;
            fs::copy(&from, &to).with_context(|| format!("failed to copy {}", from.display()))?;
        }
    }
    Ok(())
}

/// Copies a file or folder to the same place below `tree`, if the machine has it.
fn copy_from_machine(tree: &Path, name: &str) -> Result<()> {
    let from = Path::new(name);
    if !from.exists() {
        return Ok(());
    }
    let beside =
        from.parent().and_then(|parent| parent.strip_prefix("/").ok()).context("a file without a folder")?;
    folders::make(&tree.join(beside))?;
    Command::new("cp").arg("--archive").arg(from).arg(tree.join(beside).join("")).text().map(drop)
}

/// Takes the toolchain that this machine compiles with, and what static programs need of it.
fn rust(tree: &Path) -> Result<()> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    Command::new("rustup").args(["target", "add", &target]).text()?;
    let root = Command::new("rustc").args(["--print", "sysroot"]).text()?;
    let usr_local = tree.join("usr/local");
    folders::make(&usr_local)?;
    for folder in ["bin", "lib", "libexec"] {
        let from = Path::new(root.trim()).join(folder);
        if from.is_dir() {
            Command::new("cp").arg("--archive").arg(from).arg(usr_local.join("")).text()?;
        }
    }
    Ok(())
}

/// Runs the installation in an overlay on top of the base below, and leaves what changed in `tree`.
fn install(base: &Base, what: &Installation, scratch: &Path, tree: &Path) -> Result<()> {
    let taken = what.machine.first().is_some_and(|file| Path::new(file).exists());
    let packages = if taken { what.packages.to_vec() } else { [what.packages, what.instead].concat() };
    let below = base.below().context("an installation needs a base")?;
    let [lower, work, merged] = ["lower", "work", "merged"].map(|name| scratch.join(name));
    for folder in [&lower, &work, &merged] {
        folders::make(folder)?;
    }
    Command::new("tar")
        .args(["--extract", "--numeric-owner", "--file"])
        .arg(ensure(below)?)
        .arg("-C")
        .arg(&lower)
        .text()?;
    for file in what.machine {
        copy_from_machine(tree, file)?;
    }
    if what.rust {
        rust(tree)?;
    }
    let install = if packages.is_empty() {
        String::new()
    } else {
        format!(
            // Java's packages fail without the folder, which a slim Debian lacks.
            "mkdir -p /usr/share/man/man1\napt-get -qq update\napt-get -qq install --yes --no-install-recommends {}\n",
            packages.join(" ")
        )
    };
    // What installing leaves behind is of no use in an image, and differs each time.
    let clean = "apt-get clean\nrm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache\n\
                 rm -f /var/log/*.log /var/log/apt/*\n";
    folders::write(&scratch.join("inside.sh"), format!("set -eu\n{install}{}{clean}", what.script))?;
    // A mount namespace of its own: whatever happens, no mount stays.
    let outside = "mount -t overlay overlay -o lowerdir=$1/lower,upperdir=$1/tree,workdir=$1/work $1/merged
        mount -t proc proc $1/merged/proc
        mkdir -p $1/merged/dev $1/merged/tmp
        mount --rbind /dev $1/merged/dev
        mount -t tmpfs tmpfs $1/merged/tmp
        cp $1/inside.sh $1/merged/tmp/inside.sh
        cp /etc/resolv.conf $1/merged/etc/resolv.conf
        printf '#!/bin/sh\\nexit 101\\n' > $1/merged/usr/sbin/policy-rc.d
        chmod 755 $1/merged/usr/sbin/policy-rc.d
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
            DEBIAN_FRONTEND=noninteractive chroot $1/merged sh /tmp/inside.sh
        rm $1/merged/usr/sbin/policy-rc.d";
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-euc", outside, "install"])
        .arg(scratch)
        .text()?;
    whiteouts(tree)
}

/// Turns an overlay's marks of deleted files (character devices 0:0) into those of image layers (`.wh.` files).
fn whiteouts(tree: &Path) -> Result<()> {
    let script = "find \"$1\" -type c | while IFS= read -r mark; do
        rm \"$mark\"; : > \"${mark%/*}/.wh.${mark##*/}\"; done";
    Command::new("sh").args(["-euc", script, "whiteouts"]).arg(tree).text().map(drop)
}

/// Packs the tree with sorted names and without owners' names, so that the same tree gives the same bytes.
fn pack(scratch: &Path, finished: &Path) -> Result<()> {
    let half = scratch.join("layer.tar.gz");
    Command::new("tar")
        .args([
            "--create",
            "--sort=name",
            "--numeric-owner",
            "--format=posix",
            "--xattrs",
            "--xattrs-include=security.*",
        ])
        .args(["--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"])
        .arg(format!("--mtime=@{EPOCH}"))
        .args(["--clamp-mtime", "--use-compress-program=gzip -n", "--file"])
        .arg(&half)
        .arg("-C")
        .arg(scratch.join("tree"))
        .arg(".")
        .text()?;
    fs::rename(&half, finished).with_context(|| format!("failed to move {}", half.display()))
}

/// Tells whether making layers is possible for this user.
pub(crate) fn ensure_possible() -> Result<()> {
    if packages::is_root() {
        return Ok(());
    }
    anyhow::bail!(
        "making base images takes root: they are installed in a mount namespace\nhelp: run this as root"
    )
}
