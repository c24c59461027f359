//! Small figures of Slipway alone, each with its limit.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, bail};

use super::{
    builders::{Builder, Job, Slipway},
    cases,
    measure::Bench,
    results::{Figure, Results},
    statistics::median,
};
use crate::host::{command::Run, mounts};

/// Measures all of them and stores them.
pub(super) fn measure(bench: &Bench, slipway: &Slipway, runs: usize, output: &Path) -> Result<()> {
    let figures = vec![
        start(slipway)?,
        cached(bench, slipway)?,
        files(bench, slipway, runs)?,
        cores(bench, slipway, runs)?,
    ];
    println!("== figures");
    for figure in &figures {
        let verdict = if figure.met { "met" } else { "missed" };
        println!(
            "   {}: {:.2} {} (target {}, {verdict})",
            figure.what, figure.value, figure.unit, figure.target
        );
    }
    slipway.end()?;
    let mut results = Results::read(&output.join("results.json"))?;
    results.figures = figures;
    super::write(&results, output)
}

/// From nothing to a program that has read its arguments, and back.
fn start(slipway: &Slipway) -> Result<Figure> {
    let mut times = Vec::new();
    for _ in 0..30 {
        times.push(seconds(|| Command::new(&slipway.program).arg("--version").text().map(drop))? * 1e3);
    }
    figure("start of the program (`--version`)", times, "ms", "under 20 ms", |value| value < 20.0)
}

/// A build of two stages and a thousand files that is in the cache.
fn cached(bench: &Bench, slipway: &Slipway) -> Result<Figure> {
    let corpus = bench.corpus()?;
    cases::project(&corpus, 1000)?;
    corpus.file("stamp", "cached")?;
    let dockerfile = corpus.path().join("Dockerfile");
    let job = Job::new(corpus.path(), &dockerfile);
    slipway.reset()?;
    slipway.build(&job)?;
    slipway.rest()?;
    let mut times = Vec::new();
    for _ in 0..20 {
        times.push(seconds(|| slipway.build(&job))? * 1e3);
    }
    figure("rebuild of a project of 1,000 files, all cached", times, "ms", "under 30 ms", |value| {
        value < 30.0
    })
}

/// What a file costs that a RUN made: the build's time without the RUN's own and without what is not for files.
fn files(bench: &Bench, slipway: &Slipway, runs: usize) -> Result<Figure> {
    const COUNT: u32 = 100_000;
    let mut times = Vec::new();
    for _ in 0..runs {
        let many = beside_run(bench, slipway, COUNT as usize)?;
        let few = beside_run(bench, slipway, 100)?;
        times.push((many - few) * 1e6 / f64::from(COUNT - 100));
    }
    figure("snapshot, tar and upload of a small file", times, "µs", "at most 10 µs", |value| value <= 10.0)
}

/// Seconds of a build beside those that its RUN says it took.
fn beside_run(bench: &Bench, slipway: &Slipway, files: usize) -> Result<f64> {
    slipway.reset()?;
    let corpus = bench.corpus()?;
    let clock = "read up idle < /proc/uptime; echo took $up";
    corpus.file("make.sh", format!("{clock}\n{}{clock}\n", cases::make_tree(files)))?;
    corpus.file("Dockerfile", "FROM busybox\nCOPY make.sh /\nRUN sh /make.sh\n")?;
    let dockerfile = corpus.path().join("Dockerfile");
    let tag = Some(format!("{}/slipway/files:{files}", bench.registry()));
    let mut build = slipway.command(&Job { tag, ..Job::new(corpus.path(), &dockerfile) });
    Command::new("sync").run()?;
    let start = Instant::now();
    let output = build.output().context("failed to start slipway")?;
    let seconds = start.elapsed().as_secs_f64();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    slipway.rest()?;
    let mut times: Vec<f64> =
        said.lines().filter_map(|line| line.split_once("took ")?.1.trim().parse().ok()).collect();
    times.dedup();
    match times.as_slice() {
        [began, .., ended] if output.status.success() => Ok(seconds - (ended - began)),
        [_] if output.status.success() => Ok(seconds),
        _ => bail!("the build that measures files failed:\n{said}"),
    }
}

/// How much faster two cores pack a layer than one.
fn cores(bench: &Bench, slipway: &Slipway, runs: usize) -> Result<Figure> {
    let corpus = bench.corpus()?;
    corpus.words("words.txt", 300_000_000)?;
    corpus.file("Dockerfile", "FROM scratch\nCOPY words.txt /\n")?;
    let dockerfile = corpus.path().join("Dockerfile");
    let archive = bench.folder().join("packed.oci");
    let mut times = Vec::new();
    for _ in 0..runs {
        let timed = |set: &str| {
            slipway.reset()?;
            // The layer is there before; what is timed packs it.
            let job = Job::new(corpus.path(), &dockerfile);
            slipway.build(&job)?;
            slipway.rest()?;
            let build = slipway.command(&job);
            let mut bound = Command::new("taskset");
            bound.args(["--cpu-list", set]).arg(build.get_program()).args(build.get_args());
            bound.arg(format!("--output=type=oci,dest={}", archive.display()));
            seconds(|| bound.text().map(drop))
        };
        times.push(timed("0")? / timed("0,1")?);
    }
    mounts::delete(&archive)?;
    figure("packing of a layer of text, two cores ÷ one", times, "times", "at least 1.8", |value| {
        value >= 1.8
    })
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn figure(what: &str, values: Vec<f64>, unit: &str, target: &str, met: fn(f64) -> bool) -> Result<Figure> {
    let value = median(values).context("nothing was measured")?;
    let (what, unit, target) = (what.to_owned(), unit.to_owned(), target.to_owned());
    Ok(Figure { what, value, unit, target, met: met(value) })
}
