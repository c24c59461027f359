//! The root folder that peers run in: Debian's unreleased distribution, whose builders are recent.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::host::{command::Run, daemon::Daemon, folders, mounts, packages, parts};

const PACKAGES: &str = "buildah,ca-certificates,docker-buildx,docker-cli,docker.io,git,iptables,netavark,\
                        openssh-client,skopeo,umoci,xz-utils";

/// Makes the folder, once per machine.
pub(crate) fn ensure() -> Result<PathBuf> {
    let finished =
        super::folder()?.join(format!("sid-{:016x}", parts::fnv(parts::FNV_START, PACKAGES.as_bytes())));
    if finished.is_dir() {
        return Ok(finished);
    }
    packages::ensure(packages::BASES)?;
    println!("making the peers' root folder (once per machine; about 1 min)");
    let half = super::folder()?.join("unfinished");
    mounts::delete(&half)?;
    folders::make(&half)?;
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--quiet", "--variant=apt", "--format=directory", "--skip=output/dev"])
        .args(["--aptopt=Acquire::Check-Valid-Until \"false\"", "--include", PACKAGES, "sid"])
        .arg(&half);
    // The mirror that this machine uses for its own release has this one too.
    if let Some(mirror) = mirror() {
        command.arg(mirror);
    }
    command.text()?;
    fs::rename(&half, &finished).context("failed to move the finished folder")?;
    Ok(finished)
}

fn mirror() -> Option<String> {
    let sources = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").ok()?;
    let line = sources.lines().find_map(|line| line.strip_prefix("URIs:"))?;
    line.split_whitespace().next().map(str::to_owned)
}

/// Starts a program over a fresh, writable view of the folder. Its mounts live and die with its namespace.
pub(crate) fn start(
    daemon: &Daemon,
    lower: &Path,
    state: &Path,
    data: &Path,
    registry: &str,
    program: &[String],
) -> Result<()> {
    for folder in ["upper/host", "upper/etc/containers", "work", "root"] {
        folders::make(&state.join(folder))?;
    }
    for folder in ["docker", "containers", "tmp"] {
        folders::make(&data.join(folder))?;
    }
    folders::write(
        &state.join("upper/etc/containers/registries.conf"),
        format!(
            "unqualified-search-registries = [\"docker.io\"]\nshort-name-mode = \"disabled\"\n\
             [[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"{registry}\"\ninsecure = true\n\
             [[registry]]\nlocation = \"{registry}\"\ninsecure = true\n"
        ),
    )?;
    let runc = parts::RUNC.ensure()?.join("runc");
    folders::make(&state.join("upper/usr/local/sbin"))?;
    fs::copy(&runc, state.join("upper/usr/local/sbin/runc")).context("failed to copy runc")?;
    // The old root stays below /host, for contexts and results.
    let script = "lower=$1 state=$2 data=$3; shift 3; cd $state
        mount -t overlay overlay -o lowerdir=$lower,upperdir=upper,workdir=work root
        mount -t proc proc root/proc
        mount --rbind /sys root/sys
        mkdir -p root/dev root/var/lib/docker root/var/lib/containers root/run
        mount --rbind /dev root/dev
        mount -t tmpfs tmpfs root/run
        mount --bind $data/docker root/var/lib/docker
        mount --bind $data/containers root/var/lib/containers
        chmod 1777 $data/tmp
        mount --bind $data/tmp root/var/tmp
        cp /etc/resolv.conf root/etc/resolv.conf
        cd root; pivot_root . host; exec chroot . \"$@\"";
    daemon.ensure(Path::new("unshare"), |command| {
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc", script, "peer"])
            .arg(lower)
            .arg(state)
            .arg(data)
            .args(program);
    })
}
