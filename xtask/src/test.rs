//! Everything that must pass before a change is merged, as steps with their times.

use std::{process::Command, time::Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::{
    chart,
    cluster::{self, Access, State},
    e2e, generate,
    host::{
        command::{self, Run},
        folders, parts,
    },
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Runs only these steps; may be given several times.
    #[arg(long, value_enum)]
    only: Vec<Step>,
    /// Leaves out these steps.
    #[arg(long, value_enum)]
    skip: Vec<Step>,
}

/// A step, in the order in which the steps run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Every file is formatted.
    Fmt,
    /// No lint complains.
    Clippy,
    /// Files that are made from code are not stale.
    Generated,
    /// Licences, sources and duplicates of the dependencies.
    Deny,
    /// Tests of all crates that need no cluster.
    Unit,
    /// The chart: lint, schemas, templates, rules, dashboard, Lua of Argo CD.
    Chart,
    /// The whole on a real Kubernetes, booted for it when there is none.
    Cluster,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let chosen = |step: &Step| {
        (options.only.is_empty() || options.only.contains(step)) && !options.skip.contains(step)
    };
    let mut passed = 0;
    let mut failed = Vec::new();
    for step in Step::value_variants().iter().filter(|step| chosen(step)) {
        let name = format!("{step:?}").to_lowercase();
        println!("== {name}");
        let start = Instant::now();
        match step.run() {
            Ok(()) => {
                passed += 1;
                println!("== {name} passed in {:.1} s", start.elapsed().as_secs_f64());
            }
            Err(error) => {
                println!("{error:#}");
                println!("== {name} FAILED after {:.1} s", start.elapsed().as_secs_f64());
                failed.push(name);
            }
        }
    }
    println!("all steps took {:.0} s", start.elapsed().as_secs_f64());
    // The last line is the one that a script reads.
    println!("{passed} passed, {} failed", failed.len());
    if !failed.is_empty() {
        bail!("failed steps: {}", failed.join(", "));
    }
    if passed == 0 {
        bail!("no step ran");
    }
    Ok(())
}

impl Step {
    fn run(self) -> Result<()> {
        match self {
            Self::Fmt => cargo(&["fmt", "--all", "--check"]),
            Self::Clippy => cargo(&[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--features=slipway-tests/cluster",
                "--locked",
                "--",
                "--deny=warnings",
            ]),
            Self::Generated => generate::run(&generate::Options { check: true }),
            Self::Deny => deny(),
            Self::Unit => cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]),
            Self::Chart => chart::check(),
            Self::Cluster => on_a_cluster(e2e::run),
        }
    }
}

fn cargo(words: &[&str]) -> Result<()> {
    command::cargo().current_dir(folders::checkout()).args(words).run()
}

/// Advisories are left out: their database is fetched from outside the package registries.
fn deny() -> Result<()> {
    let program = parts::cargo_deny()?;
    Command::new(program)
        .current_dir(folders::checkout())
        .args(["--workspace", "--locked", "check", "bans", "licenses", "sources"])
        .run()
}

/// Lends a cluster to `work`: the given one, the one that is up, or one that is booted and stopped for it.
pub(crate) fn on_a_cluster(work: impl FnOnce(&Access) -> Result<()>) -> Result<()> {
    if let Some(given) = Access::given()? {
        return work(&given);
    }
    let state = State::locate();
    let was_up = cluster::is_up(&state);
    let outcome = cluster::up(&state).and_then(|access| work(&access));
    if was_up {
        return outcome;
    }
    if outcome.is_err() {
        // The logs are about to go away with the cluster.
        cluster::show_ends_of_logs(&state);
    }
    // Stopped after a failure too, of which the first thing that went wrong is the one to tell.
    let stopped = cluster::down(&state);
    outcome.and(stopped)
}
