//! Independent builders to compare Slipway with: BuildKit (in Docker) and buildah, from Debian's newest packages.
//!
//! Each runs in a mount namespace over a root folder of its own, so that nothing is installed on this machine. They are
//! for differential tests and benchmarks; no part of the product knows them.

mod build;
mod root;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};

use crate::{
    cluster::REGISTRY_ADDRESS,
    host::{
        command::{Run, wait_until},
        daemon::{self, Daemon, Process},
        folders, mounts, packages,
    },
};

#[derive(Subcommand)]
pub(crate) enum Commands {
    /// Starts peers; the first time their root folder is made of Debian packages.
    Up {
        #[arg(required = true)]
        peers: Vec<Peer>,
    },
    /// Stops all peers, and deletes what they built.
    Down,
    /// Builds an image with a peer, and gives its tree and its configuration.
    Build(build::Options),
    /// Runs a command in a peer's root folder, where this machine's files are below `/host`.
    Exec {
        #[arg(long)]
        peer: Peer,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

/// A builder that can be had from packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// BuildKit, as the Docker daemon has it inside.
    Buildkit,
    /// buildah, which needs no daemon.
    Buildah,
}

pub(crate) fn run(command: Commands) -> Result<()> {
    match command {
        Commands::Up { peers } => peers.into_iter().try_for_each(|peer| {
            peer.up()?;
            println!("{} is up: {}", peer.name(), peer.inside()?.args(peer.question()).text()?.trim());
            Ok(())
        }),
        Commands::Down => down(),
        Commands::Build(options) => build::run(&options),
        Commands::Exec { peer, command } => peer.inside()?.args(command).run(),
    }
}

/// The registry that peers take base images from.
fn registry() -> String {
    std::env::var("SLIPWAY_TEST_REGISTRY").unwrap_or_else(|_| REGISTRY_ADDRESS.to_owned())
}

fn folder() -> Result<PathBuf> {
    Ok(folders::cache()?.join("peers"))
}

/// How a peer is started where the usual does not do.
#[derive(Default)]
pub(crate) struct Settings<'a> {
    /// What it stores lies in this folder instead of beside its root.
    pub(crate) data: Option<&'a Path>,
    /// The registry that has the bases, where it is not the cluster's.
    pub(crate) registry: Option<&'a str>,
    /// Further flags of its daemon.
    pub(crate) flags: &'a [&'a str],
}

impl Peer {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Buildkit => "buildkit",
            Self::Buildah => "buildah",
        }
    }

    fn daemon(self) -> Result<Daemon> {
        Ok(Daemon::new(&folder()?, self.name()))
    }

    /// Starts the peer unless it runs.
    pub(crate) fn up(self) -> Result<()> {
        self.up_with(&Settings::default())
    }

    /// The same with other settings.
    pub(crate) fn up_with(self, settings: &Settings<'_>) -> Result<()> {
        if self.daemon()?.process().is_some() {
            return Ok(());
        }
        if !packages::is_root() {
            bail!("a peer needs a mount namespace, so root\nhelp: run this as root");
        }
        let lower = root::ensure()?;
        let state = folder()?.join(self.name());
        mounts::delete(&state)?;
        let data = settings.data.map_or_else(|| state.join("data"), Path::to_path_buf);
        let registry = settings.registry.map_or_else(registry, ToOwned::to_owned);
        let mut program = self.program(&registry);
        program.extend(settings.flags.iter().map(|flag| (*flag).to_owned()));
        root::start(&self.daemon()?, &lower, &state, &data, &registry, &program)?;
        wait_until(&format!("{} answers", self.name()), Duration::from_mins(1), || {
            self.daemon()?.must_run()?;
            // Until the root has changed, a command would find this machine's own programs.
            let moved = self.inside()?.args(["test", "-d", "/host/proc"]).succeeds();
            Ok(moved && self.inside()?.args(self.question()).succeeds())
        })?;
        Ok(())
    }

    /// Stops the peer with all that it started, and deletes what it built beside its root.
    pub(crate) fn stop(self) -> Result<()> {
        stop(&self.daemon()?)
    }

    /// What holds the namespace: the daemon, or something that sleeps where there is none.
    fn program(self, registry: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Buildkit => &[
                "dockerd",
                "--host=unix:///run/docker.sock",
                "--bridge=none",
                "--iptables=false",
                "--ip6tables=false",
                "--ip-forward=false",
                "--insecure-registry",
                registry,
                "--registry-mirror",
                &format!("http://{registry}"),
            ],
            Self::Buildah => &["sleep", "infinity"],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// A command that succeeds once the peer works, and prints its version.
    fn question(self) -> &'static [&'static str] {
        match self {
            Self::Buildkit => &["docker", "version", "--format", "Docker {{.Server.Version}}"],
            Self::Buildah => &["buildah", "--version"],
        }
    }

    /// The process that holds the namespace, where it runs.
    pub(crate) fn process(self) -> Result<Option<Process>> {
        Ok(self.daemon()?.process())
    }

    /// The start of a command in the peer's namespace and root.
    pub(crate) fn inside(self) -> Result<Command> {
        let process = self.daemon()?.process().with_context(|| {
            format!("{0} does not run\nhelp: start it with `cargo xtask peers up {0}`", self.name())
        })?;
        let mut command = Command::new("nsenter");
        command
            .arg("--target")
            .arg(process.pid().to_string())
            .args(["--mount", "--root", "--wd=/", "env", "-i", "HOME=/root", "LC_ALL=C.UTF-8"])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        Ok(command)
    }
}

/// Stops every peer with all that it started.
fn down() -> Result<()> {
    Daemon::recorded(&folder()?).iter().try_for_each(stop)
}

fn stop(daemon: &Daemon) -> Result<()> {
    let below = daemon.process().map(daemon::tree).unwrap_or_default();
    daemon.stop(Duration::from_secs(15))?;
    for process in below {
        process.kill();
    }
    mounts::delete(&folder()?.join(daemon.name()))
}
