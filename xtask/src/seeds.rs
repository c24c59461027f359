//! The Dockerfiles of the documents that the project started from: built as they stand, pushed, and run on a cluster.
//!
//! What each needs and what its image must do stands in `tests/seeds/blocks.yaml`; `examples.yaml` beside it has the
//! projects of `examples/`, which are built and run in the same way.

mod build;
mod catalogue;
mod pods;
mod table;

use std::{path::PathBuf, time::Instant};

use anyhow::{Result, bail, ensure};

use crate::{bases, cluster::Access, e2e::Namespace, host::folders, images};
use build::{Builder, Outcome};
use catalogue::{Case, Expectation};
use table::Row;

#[derive(Default, clap::Args)]
pub(crate) struct Options {
    /// Only the blocks and examples whose name has one of these words in it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only the few that `cargo xtask test` builds.
    #[arg(long)]
    short: bool,
    /// Starts with an empty cache, so that the times are those of a first build.
    #[arg(long)]
    fresh: bool,
    /// Builds with this program, and not with one that is compiled now.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// The few cases of a test run.
pub(crate) fn short(access: &Access) -> Result<()> {
    run(access, &Options { short: true, ..Options::default() })
}

/// Builds and runs what the options choose, and prints a table; fails when a case does not do what it should.
pub(crate) fn run(access: &Access, options: &Options) -> Result<()> {
    let cases: Vec<Case> = catalogue::read()?.into_iter().filter(|case| chosen(case, options)).collect();
    ensure!(!cases.is_empty(), "no block has such a name");
    bases::ensure(access, &catalogue::bases(&cases)?)?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => images::compile(images::PROFILE)?.join("slipway"),
    };
    let builder = Builder::new(access, program, options.fresh)?;
    let namespace = Namespace::create(access)?;
    let mut rows = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let start = Instant::now();
        let row = match try_case(access, &namespace, &builder, case, number) {
            Ok(row) => row,
            Err(error) => Row::failed(case, &error),
        };
        println!("   {}", row.line(start.elapsed()));
        rows.push(row);
    }
    namespace.delete(access)?;
    builder.clean()?;
    print!("\n{}", table::render(&rows));
    let failed: Vec<&str> = rows.iter().filter(|row| !row.passed).map(|row| row.name.as_str()).collect();
    if !failed.is_empty() {
        bail!("{} of {} blocks failed: {}", failed.len(), rows.len(), failed.join(", "));
    }
    Ok(())
}

fn chosen(case: &Case, options: &Options) -> bool {
    (options.only.is_empty() || options.only.iter().any(|word| case.name().contains(word.as_str())))
        && (!options.short || case.short)
}

fn try_case(
    access: &Access,
    namespace: &Namespace,
    builder: &Builder,
    case: &Case,
    number: usize,
) -> Result<Row> {
    let expectation = case.expectation()?;
    if let Expectation::Planned(reason) = expectation {
        return Ok(Row::planned(case, reason));
    }
    match (builder.build(case)?, expectation) {
        (Outcome::Failed { said, seconds }, Expectation::Fails(words)) => {
            ensure!(said.contains(words), "the error does not say `{words}`:\n{said}");
            Ok(Row::refused(case, seconds, None, &format!("fails as it must: {words}")))
        }
        (Outcome::Failed { said, .. }, _) => bail!("the build failed:\n{said}"),
        (Outcome::Built(_), Expectation::Fails(words)) => {
            bail!("it should fail with `{words}`, and it was built")
        }
        (Outcome::Built(built), expectation) => {
            let pod = pods::Pod::start(access, namespace, case, &built.image, number)?;
            let seen = pod.meets(expectation);
            pod.delete()?;
            let seen = seen?;
            Ok(match expectation {
                Expectation::Refuses(_) => Row::refused(case, built.seconds, Some(&built), &seen),
                _ => Row::passed(case, &built, &seen),
            })
        }
    }
}

/// The folder with the projects and the list.
fn folder() -> PathBuf {
    folders::checkout().join("tests/seeds")
}
