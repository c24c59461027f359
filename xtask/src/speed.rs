//! `cargo xtask bench`: the same images made by Slipway and by other builders, on the same machine, in turns.

mod builders;
mod cases;
mod chart;
mod check;
mod cluster;
mod corpus;
mod debs;
mod figures;
mod machine;
mod measure;
mod meter;
mod profile;
mod registry;
mod report;
mod results;
mod scaling;
mod statistics;
mod volume;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{
    host::{folders, mounts, packages},
    images,
};
use builders::{Buildah, Builder, Buildkit, Buildkitd, Kaniko, Slipway};
use cases::Case;
use measure::Bench;
use registry::{LOOPBACK, Registry};
use results::Results;
use volume::Volume;

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
    /// A buildkitd to measure too, with its buildctl beside it.
    #[arg(long, value_name = "PATH")]
    buildkitd: Option<PathBuf>,
    /// A kaniko executor to measure too.
    #[arg(long, value_name = "PATH")]
    kaniko: Option<PathBuf>,
    /// Measures a few short cases, and fails where a ratio is more than 25 % above the stored one.
    #[arg(long, conflicts_with_all = ["scaling", "figures", "profile"])]
    check: bool,
    /// Measures how cost grows with files, bytes, layers and stages.
    #[arg(long, conflicts_with_all = ["figures", "profile"])]
    scaling: bool,
    /// With `--scaling`: only what has this word in its name.
    #[arg(long, value_delimiter = ',', value_name = "WORD", requires = "scaling")]
    axes: Vec<String>,
    /// Measures the small figures: start, a cached rebuild, a small file, two cores.
    #[arg(long, conflicts_with = "profile")]
    figures: bool,
    /// Writes profiles of the cases instead: samples, system calls, instructions.
    #[arg(long, requires = "cases")]
    profile: bool,
    /// Measures the cases in the cluster: an ImageBuild, a kaniko pod where there is an executor, a daemon on the node.
    #[arg(long, conflicts_with_all = ["check", "scaling", "figures", "profile", "peers"])]
    cluster: bool,
    /// With `--cluster`: measures an ImageBuild with one pod for all stages too.
    #[arg(long, requires = "cluster")]
    single: bool,
    /// Measures nothing, and writes page and charts again from what is stored.
    #[arg(long, conflicts_with_all = ["check", "scaling", "figures", "profile", "cluster"])]
    report: bool,
    /// Gigabytes that the case with the largest COPY copies.
    #[arg(long, default_value_t = 5)]
    copy_gb: u64,
    /// The folder of the results.
    #[arg(long)]
    output: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let output = options.output.clone().unwrap_or_else(|| folders::checkout().join("docs/benchmarks"));
    if options.report {
        return write(&Results::read(&output.join("results.json"))?, &output);
    }
    if !packages::is_root() {
        bail!("the peers need mount namespaces, so root\nhelp: run this as root");
    }
    let chosen = choose(options)?;
    let program = match &options.slipway {
        Some(program) => std::fs::canonicalize(program)?,
        None if options.profile => profile::compile()?,
        None => builders::program(&images::compile("release")?)?,
    };
    let folder = folders::cache()?.join("bench");
    folders::make(&output)?;
    folders::make(&folder)?;
    let _lock = folders::lock("bench")?;
    if options.cluster {
        return cluster::measure(options, &program, &chosen, &folder, &output);
    }
    crate::cluster::lent(|access| {
        cases::bring_bases(access, &chosen)?;
        // A registry of our own over the same images: the cluster's may be restarted by others.
        let images = folders::cache()?.join("registry");
        let bases = images.is_dir().then(|| Registry::over(&images, folder.join("bases"))).transpose()?;
        let mirror = bases.as_ref().map_or_else(|| access.registry(), Registry::address).to_owned();
        let slipway = Slipway { program, volume: Volume::at(folder.join("slipway")), mirror: mirror.clone() };
        let peers = if options.profile || options.figures { Vec::new() } else { options.peers() };
        let builders = start(&peers, options, &slipway, &folder)?;
        let registry = Registry::start(LOOPBACK, folder.join("registry"))?;
        let bench = Bench::start(&folder, registry, mirror, builders, options.copy_gb * 1_000_000_000)?;
        let outcome = measure(&bench, &slipway, &chosen, options, &output);
        slipway.end()?;
        bench.end()?;
        if let Some(bases) = bases {
            bases.end()?;
        }
        mounts::delete(&folder)?;
        outcome
    })
}

fn measure(
    bench: &Bench,
    slipway: &Slipway,
    chosen: &[&Case],
    options: &Options,
    output: &Path,
) -> Result<()> {
    if options.profile {
        return chosen.iter().try_for_each(|case| profile::run(bench, slipway, case, output));
    }
    if options.check {
        return check::run(bench, chosen, options, output);
    }
    if options.figures {
        return figures::measure(bench, slipway, options.runs, output);
    }
    if options.scaling {
        return scaling::measure(bench, &options.axes, options.runs, output);
    }
    measure::cases(bench, chosen, options, output, |results| &mut results.cases)
}

impl Options {
    /// The builders by name; those that were given by path are meant to be measured.
    fn peers(&self) -> Vec<String> {
        let mut names = self.peers.clone();
        names.extend(self.buildkitd.is_some().then(|| "buildkitd".to_owned()));
        names.extend(self.kaniko.is_some().then(|| "kaniko".to_owned()));
        names
    }
}

/// The builders in the order in which they were asked for.
fn start(
    names: &[String],
    options: &Options,
    slipway: &Slipway,
    folder: &Path,
) -> Result<Vec<Box<dyn Builder>>> {
    let mut builders: Vec<Box<dyn Builder>> = Vec::new();
    for name in names {
        let volume = Volume::at(folder.join(name));
        builders.push(match (name.as_str(), &options.buildkitd, &options.kaniko) {
            ("slipway", ..) => Box::new(slipway.clone()),
            ("buildkit", ..) => Box::new(Buildkit { volume, mirror: slipway.mirror.clone(), plain: None }),
            ("buildah", ..) => Box::new(Buildah { volume, mirror: slipway.mirror.clone() }),
            ("buildkitd", Some(program), _) => {
                let (program, mirror) = (program.clone(), slipway.mirror.clone());
                Box::new(Buildkitd { program, volume, mirror, plain: None })
            }
            ("kaniko", _, Some(program)) => {
                Box::new(Kaniko { program: program.clone(), volume, mirror: slipway.mirror.clone() })
            }
            (other, ..) => bail!("there is no builder {other}; there are slipway, buildkit and buildah"),
        });
    }
    Ok(builders)
}

/// The cases that were asked for, by name or letter; all without a word.
fn choose(options: &Options) -> Result<Vec<&'static Case>> {
    let all = cases::all();
    let short: Vec<String> = check::SHORT.iter().map(|name| (*name).to_owned()).collect();
    let names = match &options.cases {
        named if !named.is_empty() => named,
        _ if options.check => &short,
        _ if options.scaling || options.figures => return Ok(Vec::new()),
        _ => return Ok(all),
    };
    let mut chosen = Vec::new();
    for name in names {
        let before = chosen.len();
        chosen.extend(all.iter().filter(|case| {
            case.name == name
                || case.name.split_once('-').is_some_and(|(letter, _)| {
                    letter == name || letter.strip_suffix(|digit: char| digit.is_ascii_digit()) == Some(name)
                })
        }));
        if chosen.len() == before {
            let known: Vec<&str> = all.iter().map(|case| case.name).collect();
            bail!("there is no case {name}; there are {}", known.join(", "));
        }
    }
    Ok(chosen)
}

fn write(results: &Results, output: &Path) -> Result<()> {
    results.write(&output.join("results.json"))?;
    folders::write(&output.join("ratios.svg"), chart::ratios(results))?;
    if !results.scaling.is_empty() {
        folders::write(&output.join("scaling.svg"), chart::scaling(results))?;
    }
    folders::write(&output.join("README.md"), report::page(results))
}
