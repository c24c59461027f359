//! `cargo xtask bench`: the same images made by Slipway and by other builders, on the same machine, in turns.

mod builders;
mod cases;
mod corpus;
mod debs;
mod machine;
mod measure;
mod meter;
mod registry;
mod report;
mod results;
mod statistics;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{
    bases, cluster,
    host::{folders, packages},
    images,
    peers::Peer,
};
use builders::{Buildah, Builder, Buildkit, Slipway};
use results::Results;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Measures only these cases, by their letters or names; other results stay as they are.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// The builders to measure.
    #[arg(long, value_delimiter = ',', default_value = "slipway,buildkit,buildah")]
    peers: Vec<String>,
    /// Runs of each case; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// A `slipway` program to measure, instead of one compiled now for releases.
    #[arg(long)]
    slipway: Option<PathBuf>,
    /// Gigabytes that the case with the largest COPY copies.
    #[arg(long, default_value_t = 5)]
    copy_gb: u64,
    /// The folder of the results.
    #[arg(long)]
    output: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if !packages::is_root() {
        bail!("the peers need mount namespaces, so root\nhelp: run this as root");
    }
    let chosen = choose(&options.cases)?;
    let program = match &options.slipway {
        Some(program) => std::fs::canonicalize(program)?,
        None => builders::program(&images::compile("release")?)?,
    };
    let folder = folders::cache()?.join("bench");
    let output = options.output.clone().unwrap_or_else(|| folders::checkout().join("docs/benchmarks"));
    folders::make(&output)?;
    folders::make(&folder)?;
    cluster::lent(|access| {
        let needs = chosen.iter().flat_map(|case| case.needs).copied();
        bases::ensure(access, &["busybox", "debian"].into_iter().chain(needs).collect::<Vec<_>>())?;
        let mirror = access.registry().to_owned();
        let builders = start(&options.peers, program, &folder, &mirror)?;
        let bench = measure::Bench::start(&folder, mirror, builders)?;
        let outcome = measure::cases(&bench, &chosen, options, &output);
        bench.end()?;
        outcome
    })
}

/// The builders in the order in which they were asked for.
fn start(
    names: &[String],
    program: PathBuf,
    folder: &std::path::Path,
    mirror: &str,
) -> Result<Vec<Box<dyn Builder>>> {
    let mut builders: Vec<Box<dyn Builder>> = Vec::new();
    for name in names {
        builders.push(match name.as_str() {
            "slipway" => Box::new(Slipway {
                program: program.clone(),
                store: folder.join("store"),
                mirror: mirror.to_owned(),
            }),
            "buildkit" => {
                Peer::Buildkit.up()?;
                Box::new(Buildkit)
            }
            "buildah" => {
                Peer::Buildah.up()?;
                Box::new(Buildah)
            }
            other => bail!("there is no builder {other}; there are slipway, buildkit and buildah"),
        });
    }
    Ok(builders)
}

/// The cases that were asked for; all without a word.
fn choose(names: &[String]) -> Result<Vec<&'static cases::Case>> {
    let all = cases::all();
    if names.is_empty() {
        return Ok(all);
    }
    let mut chosen = Vec::new();
    for name in names {
        let before = chosen.len();
        chosen.extend(all.iter().filter(|case| {
            case.name == name || case.name.split_once('-').is_some_and(|(letter, _)| letter == name)
        }));
        if chosen.len() == before {
            let known: Vec<&str> = all.iter().map(|case| case.name).collect();
            bail!("there is no case {name}; there are {}", known.join(", "));
        }
    }
    Ok(chosen)
}

fn write(results: &Results, output: &std::path::Path) -> Result<()> {
    results.write(&output.join("results.json"))?;
    folders::write(
        &output.join("table.md"),
        report::ratios(results) + "\n" + &report::details(&results.cases),
    )
}
