//! `cargo xtask conformance`: builds every case of `tests/conformance` with two builders and compares what came out.

use std::{env, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    bases,
    cluster::{self, Access},
    host::{
        command::{Run, cargo},
        folders, packages,
    },
    peers::Peer,
};

/// The bases that cases use.
const BASES: &[&str] = &["busybox", "debian"];

/// The uid of the ordinary user.
const USER: &str = "1000";

/// What of the suite every test run does as an ordinary user too: each kind of step, and all that ids decide.
const SHORT: &str = "add-tar-owners,config-inherit,copy-chown-name,copy-chmod-symbolic,copy-from-stage,copy-hardlinks,\
                     copy-link-chown,copy-merge-dirs,copy-over-file,copy-xattrs,run-chmod-chown,run-delete,\
                     run-mount-bind-rw,run-mount-cache-owner,run-mount-from-stage,run-mount-secret-mode,\
                     run-mount-ssh,run-mount-tmpfs,run-network-none,run-no-trace,run-replace-dir,run-touch-same,\
                     stage-onbuild-inherit,user-groups,workdir-user";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Compares with this builder instead of with what BuildKit once made.
    #[arg(long, alias = "reference", value_enum)]
    peer: Option<Peer>,
    /// Judges this builder in Slipway's place, which proves the cases themselves.
    #[arg(long, value_enum)]
    subject: Option<Peer>,
    /// Runs only cases that a pattern matches, as in `copy-*,run-mount-*`.
    #[arg(long, default_value = "")]
    case: String,
    /// Runs Slipway as an ordinary user, with nothing but `newuidmap` to help it.
    #[arg(long)]
    as_user: bool,
    /// Writes what is stored: BuildKit's results, and our own where the two differ on purpose.
    #[arg(long)]
    bless: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut peers: Vec<Peer> = options.peer.into_iter().chain(options.subject).collect();
    if options.bless {
        peers.push(Peer::Buildkit);
    }
    if options.as_user && options.subject.is_some() {
        bail!("only Slipway runs as an ordinary user");
    }
    cluster::lent(|access| {
        bases::ensure(access, BASES)?;
        peers.into_iter().try_for_each(Peer::up)?;
        let mut suite = suite(access)?;
        suite.env("CASE", &options.case);
        if let Some(peer) = options.peer {
            suite.env("SLIPWAY_CONFORMANCE_REFERENCE", peer.name());
        }
        if let Some(peer) = options.subject {
            suite.env("SLIPWAY_CONFORMANCE_SUBJECT", peer.name());
        }
        if options.bless {
            suite.env("SLIPWAY_BLESS", "1");
        }
        if options.as_user {
            packages::ensure(packages::USER)?;
            suite.env("SLIPWAY_CONFORMANCE_USER", USER);
        }
        suite.run()
    })
}

/// The suite as every test run has it: all cases against what is stored, and as root some of them as an ordinary user.
pub(crate) fn short(access: &Access) -> Result<()> {
    suite(access)?.run()?;
    if !packages::is_root() {
        println!("   left out: conformance as another user, since only root can become one");
        return Ok(());
    }
    packages::ensure(packages::USER)?;
    suite(access)?.env("CASE", SHORT).env("SLIPWAY_CONFORMANCE_USER", USER).run()
}

/// The test, with the program that it tests built before.
fn suite(access: &Access) -> Result<Command> {
    cargo()
        .current_dir(folders::checkout())
        .args(["build", "--quiet", "--locked", "--workspace", "--bin", "slipway"])
        .run()?;
    let mut command = cargo();
    command
        .current_dir(folders::checkout())
        // With the workspace's features, so that dependencies are not compiled once more.
        .args(["test", "--quiet", "--locked", "--workspace", "--features", "slipway-tests/cluster"])
        .args(["--test", "conformance", "--", "--nocapture"])
        .env("SLIPWAY_TEST_REGISTRY", access.registry())
        .env("SLIPWAY_XTASK", env::current_exe().context("this program has no path")?);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_case_of_the_short_form_exists() {
        let cases = folders::checkout().join("tests/conformance");
        let missing: Vec<&str> = SHORT.split(',').filter(|case| !cases.join(case).is_dir()).collect();
        assert!(missing.is_empty(), "no such cases: {missing:?}");
    }

    #[test]
    fn peers_are_called_the_same_everywhere() {
        for peer in Peer::value_variants() {
            assert_eq!(
                peer.to_possible_value().map(|value| value.get_name().to_owned()),
                Some(peer.name().to_owned())
            );
        }
    }
}
