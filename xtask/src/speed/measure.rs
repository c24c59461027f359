//! Runs the cases: builders in turns, each phase measured, results stored after every case.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Result;

use super::{
    Options,
    builders::{Builder, Job},
    cases::{Case, Ground, Phase, Sizes, Start},
    corpus::Corpus,
    machine::{self, Machine},
    meter::{self, Sample, Watched},
    registry::Registry,
    report,
    results::{CaseResult, Results},
    volume::Volume,
};
use crate::host::{folders, mounts};

/// What all measurements share.
pub(super) struct Bench {
    folder: PathBuf,
    registry: Registry,
    mirror: String,
    builders: Vec<Box<dyn Builder>>,
    copied: u64,
    /// The file system of the contexts.
    volume: Volume,
}

/// The file system of the contexts.
pub(super) fn contexts(folder: &Path) -> Volume {
    Volume::at(folder.join("corpus"))
}

/// One of the sets of cases in the results.
pub(super) type Stored = fn(&mut Results) -> &mut BTreeMap<String, CaseResult>;

/// Measures the cases one after the other.
pub(super) fn cases(
    bench: &Bench,
    cases: &[&Case],
    options: &Options,
    output: &Path,
    stored: Stored,
) -> Result<()> {
    let mut results = Results::read(&output.join("results.json"))?;
    let versions = std::mem::take(&mut results.machine.versions);
    results.machine = Machine { versions, ..Machine::here(&bench.folder) };
    for builder in &bench.builders {
        // A daemon tells its version itself; a cluster runs already.
        if !builder.is_elsewhere() {
            builder.reset()?;
        }
        results.machine.versions.insert(builder.name().to_owned(), builder.version()?);
        builder.end()?;
    }
    let mut failed = Vec::new();
    for case in cases {
        println!("== {}: {}", case.name, case.title);
        // What is wrong with one case shall not cost the others.
        let result = match bench.case(case, options) {
            Ok(result) => result,
            Err(error) => {
                println!("   {} FAILED: {error:#}", case.name);
                failed.push(case.name);
                continue;
            }
        };
        let told = [(&case.name.to_owned(), &result)];
        print!("{}", if options.cluster { report::in_the_cluster(told) } else { report::details(told) });
        stored(&mut results).insert(case.name.to_owned(), result);
        super::write(&results, output)?;
    }
    let measured = stored(&mut results);
    let a_run: f64 = measured.values().map(|case| case.seconds_a_run).sum();
    let (one, five) = (a_run / 60.0, a_run / 12.0);
    println!("one run of all {} stored cases takes {one:.0} min, five {five:.0} min", measured.len());
    anyhow::ensure!(failed.is_empty(), "these cases could not be measured: {}", failed.join(", "));
    Ok(())
}

impl Bench {
    /// Takes the registry that everybody pushes to, and the builders.
    pub(super) fn start(
        folder: &Path,
        registry: Registry,
        mirror: String,
        builders: Vec<Box<dyn Builder>>,
        copied: u64,
    ) -> Result<Self> {
        // A measurement that was stopped may have left a peer running, which holds everybody's volumes.
        builders.iter().try_for_each(|builder| builder.end())?;
        let volume = contexts(folder);
        Ok(Self { folder: folder.to_owned(), registry, mirror, builders, copied, volume })
    }

    /// Where all lies that is measured.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The address of the registry that is pushed to.
    pub(super) fn registry(&self) -> &str {
        self.registry.address()
    }

    pub(super) fn builders(&self) -> impl Iterator<Item = &dyn Builder> {
        self.builders.iter().map(AsRef::as_ref)
    }

    /// A text without what this machine alone calls so.
    pub(super) fn nameless(&self, text: &str) -> String {
        text.replace(&*self.folder.to_string_lossy(), "BENCH")
    }

    /// The folder of the context.
    pub(super) fn context(&self) -> PathBuf {
        self.volume.folder().join("context")
    }

    /// An empty context.
    pub(super) fn corpus(&self) -> Result<Corpus> {
        self.volume.renew()?;
        Corpus::new(self.context())
    }

    /// The sizes that fit: a store, the registry and a context hold what is copied about four times.
    pub(super) fn sizes(&self) -> Sizes {
        Sizes { copied: self.copied.min(machine::free(&self.folder) / 4) }
    }

    /// Stops the registry, and deletes what builders and corpus left.
    pub(super) fn end(&self) -> Result<()> {
        for builder in &self.builders {
            builder.end()?;
        }
        self.volume.remove()?;
        self.registry.end()
    }

    /// One case, so many times, by each builder in turn.
    pub(super) fn case(&self, case: &Case, options: &Options) -> Result<CaseResult> {
        let corpus = self.corpus()?;
        let sizes = self.sizes();
        (case.make)(&corpus, &sizes)?;
        let mut result = CaseResult {
            title: case.title.to_owned(),
            target: case.target,
            date: machine::date(),
            commit: machine::commit(),
            note: (case.note)(&sizes),
            ..CaseResult::default()
        };
        let start = Instant::now();
        for run in 0..options.runs {
            for turn in 0..self.builders.len() {
                // Whoever was first is last the next time.
                let builder = self.builders[(turn + run) % self.builders.len()].as_ref();
                self.run(case, builder, run, corpus.path(), &mut result);
                // A peer that runs would hold the others' volumes.
                if let Err(error) = builder.end() {
                    println!("   {} did not end: {error:#}", builder.name());
                }
            }
        }
        self.registry.empty()?;
        result.seconds_a_run =
            start.elapsed().as_secs_f64() / super::statistics::float(options.runs.max(1) as u64);
        self.volume.remove()?;
        Ok(result)
    }

    /// All phases of a case by one builder. A failure is a result too, and ends the case for this builder.
    fn run(&self, case: &Case, builder: &dyn Builder, run: usize, context: &Path, result: &mut CaseResult) {
        for phase in case.phases {
            let outcome = result.outcome(phase.name, builder.name());
            if outcome.failure.is_some() {
                return;
            }
            let token = format!("{}-{}-{run}-{}", case.name, builder.name(), std::process::id());
            let token = format!("{token}-{}", phase.name.replace([' ', ','], "-"));
            match self.phase(case, phase, builder, context, &token) {
                Ok(sample) => {
                    println!(
                        "   {:<22} {:<10} {:>8.3} s, CPU {:.2} s, {} MB written",
                        phase.name,
                        builder.name(),
                        sample.seconds,
                        sample.cpu,
                        sample.written / 1_000_000
                    );
                    outcome.runs.push(sample);
                }
                Err(error) => {
                    println!("   {:<22} {:<10} FAILED: {error:#}", phase.name, builder.name());
                    outcome.failure = Some(self.nameless(&format!("{error:#}")));
                    return;
                }
            }
        }
    }

    /// Brings store, registry and context to the state that a phase begins with.
    pub(super) fn prepare(
        &self,
        case: &Case,
        phase: &Phase,
        builder: &dyn Builder,
        context: &Path,
        token: &str,
    ) -> Result<()> {
        if phase.start != Start::Kept {
            builder.reset()?;
            self.registry.empty()?;
        }
        if phase.start == Start::Bases {
            self.pull(case, builder)?;
        }
        let ground = Ground { context, token, registry: self.registry.address(), mirror: &self.mirror };
        (phase.change)(&ground)?;
        builder.rest()
    }

    /// Measures one phase of a case by one builder.
    pub(super) fn phase(
        &self,
        case: &Case,
        phase: &Phase,
        builder: &dyn Builder,
        context: &Path,
        token: &str,
    ) -> Result<Sample> {
        self.prepare(case, phase, builder, context, token)?;
        let watched = Watched {
            daemon: builder.daemon()?,
            engine: &builder.engine(),
            registry: self.registry.process()?,
        };
        let dockerfile = context.join("Dockerfile");
        let job = |number: usize| Job {
            tag: Some(format!("{}:{number}", self.repository(case, builder))),
            arguments: match phase.at_once {
                1 => Vec::new(),
                _ => vec![("NUMBER".to_owned(), number.to_string())],
            },
            pull: phase.pull,
            ..Job::new(context, &dockerfile)
        };
        let jobs: Vec<Job<'_>> = (0..phase.at_once).map(job).collect();
        let sample = meter::measure(&watched, || builder.build_all(&jobs))?;
        Ok(if builder.is_elsewhere() { sample.of_elsewhere() } else { sample })
    }

    /// Has the builder pull bases as whole trees and push an image of each, as an earlier build would have.
    fn pull(&self, case: &Case, builder: &dyn Builder) -> Result<()> {
        for base in case.bases {
            // Beside the context, where pods see it too.
            let folder = self.volume.folder().join("warm");
            mounts::delete(&folder)?;
            folders::make(&folder)?;
            let dockerfile = folder.join("Dockerfile");
            folders::write(&dockerfile, format!("FROM {base}\nRUN echo earlier > /earlier\n"))?;
            let tag = format!("{}:earlier", self.repository(case, builder));
            builder.build(&Job { tag: Some(tag), ..Job::new(&folder, &dockerfile) })?;
        }
        Ok(())
    }

    fn repository(&self, case: &Case, builder: &dyn Builder) -> String {
        format!("{}/{}/{}", self.registry.address(), builder.name(), case.name)
    }
}
