//! Debian packages that the commands need: installed when that is possible, named when it is not.

use std::process::Command;

use anyhow::{Result, bail};

use super::command::Run;

/// A program or file whose absence means that a package is missing.
pub(crate) struct Need {
    /// The package that Debian ships it in.
    pub(crate) package: &'static str,
    /// A program on the path, or an absolute path with `*` for what differs between architectures.
    pub(crate) sign: &'static str,
}

const fn need(package: &'static str, sign: &'static str) -> Need {
    Need { package, sign }
}

/// What building and running the cluster takes.
pub(crate) const CLUSTER: &[Need] = &[
    need("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
    need("curl", "curl"),
    need("gcc", "gcc"),
    need("git", "git"),
    need("iproute2", "ip"),
    need("libseccomp-dev", "/usr/include/seccomp.h"),
    need("mount", "umount"),
    need("musl-tools", "musl-gcc"),
    need("nftables", "nft"),
    need("openssl", "openssl"),
    need("pkg-config", "pkg-config"),
    need("procps", "sysctl"),
    need("util-linux", "setsid"),
];

/// What static programs are compiled with.
pub(crate) const STATIC: &[Need] = &[need("gcc", "gcc"), need("musl-tools", "musl-gcc")];

/// What base images are made with.
pub(crate) const BASES: &[Need] =
    &[need("busybox-static", "busybox"), need("fakeroot", "fakeroot"), need("mmdebstrap", "mmdebstrap")];

/// What an ordinary user needs to have a user namespace with more than one id.
pub(crate) const USER: &[Need] =
    &[need("uidmap", "newuidmap"), need("util-linux", "setpriv"), need("passwd", "/etc/subuid")];

/// What libFuzzer is compiled with.
pub(crate) const FUZZ: &[Need] = &[need("g++", "c++")];

fn present(sign: &str) -> bool {
    if sign.starts_with('/') {
        return std::path::Path::new(sign).exists();
    }
    on_path(sign).is_some()
}

/// Returns where a program lies.
pub(crate) fn on_path(program: &str) -> Option<std::path::PathBuf> {
    // The system's own folders are searched even where an ordinary user's path lacks them.
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .map(|folder| std::path::Path::new(folder).join(program))
        .find(|file| file.exists())
}

/// Makes sure that all needs are met, by `apt-get` as root, else by telling what to install.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> =
        needs.iter().filter(|need| !present(need.sign)).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_root() || !present("apt-get") {
        bail!(
            "these packages are missing: {list}\nhelp: install them, on Debian with `apt-get install {list}` as root"
        );
    }
    println!("installing {list}");
    let install = || {
        Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends", "-qq"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .text()
    };
    // A fresh machine has no package lists yet; one that has them is spared the download.
    if install().is_err() {
        Command::new("apt-get").args(["update", "-qq"]).text()?;
        install()?;
    }
    Ok(())
}

/// Tells whether this process is root.
pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").text().is_ok_and(|uid| uid.trim() == "0")
}

/// Makes sure that a Go toolchain of at least the version that the parts ask for is on the path.
pub(crate) fn ensure_go() -> Result<()> {
    let help = "help: install Go 1.26 or newer and put its `bin` folder on PATH; Debian's own is too old";
    let Ok(version) = Command::new("go").args(["env", "GOVERSION"]).text() else {
        bail!("the cluster's parts are built from Go modules, and there is no `go` on PATH\n{help}");
    };
    match go_minor(&version) {
        Some(minor) if minor >= 26 => Ok(()),
        _ => bail!("the cluster's parts need Go 1.26, and this is {}\n{help}", version.trim()),
    }
}

fn go_minor(version: &str) -> Option<u32> {
    let numbers = version.trim().strip_prefix("go1.")?;
    numbers.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_are_read_with_and_without_patch_or_suffix() {
        assert_eq!(go_minor("go1.26.8\n"), Some(26));
        assert_eq!(go_minor("go1.27rc1"), Some(27));
        assert_eq!(go_minor("devel"), None);
    }

    #[test]
    fn a_program_is_found_on_the_path_and_a_file_by_its_path() {
        assert!(present("sh") && present("/proc/self/stat"));
        assert!(!present("no-such-program") && !present("/no/such/file"));
    }
}
