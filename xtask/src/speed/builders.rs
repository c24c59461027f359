//! The builders that are compared: each makes the same image and pushes it to the same registry.

mod buildah;
mod buildkit;
mod buildkitd;
mod kaniko;
mod slipway;

use std::{path::Path, process::Command, thread, time::Duration};

use anyhow::Result;

use crate::host::{command::Run, daemon::Process};

pub(super) use buildah::Buildah;
pub(super) use buildkit::Buildkit;
pub(super) use buildkitd::Buildkitd;
pub(super) use kaniko::{Kaniko, flags as kaniko_flags, version as kaniko_version};
pub(super) use slipway::{Slipway, program};

/// One build.
#[derive(Clone)]
pub(super) struct Job<'a> {
    pub(super) context: &'a Path,
    pub(super) dockerfile: &'a Path,
    /// The image, pushed after the build; without one nothing is.
    pub(super) tag: Option<String>,
    pub(super) arguments: Vec<(String, String)>,
    /// Asks the registry for the bases' digests even where they are known.
    pub(super) pull: bool,
}

impl<'a> Job<'a> {
    /// A build of a context with this file, which pushes nothing.
    pub(super) fn new(context: &'a Path, dockerfile: &'a Path) -> Self {
        Self { context, dockerfile, tag: None, arguments: Vec::new(), pull: false }
    }
}

/// A program that builds images.
pub(super) trait Builder: Sync {
    /// The name on the command line.
    fn name(&self) -> &'static str;
    /// The version, as it tells it.
    fn version(&self) -> Result<String>;
    /// The names of its own programs, to tell its memory from that of RUN.
    fn engine(&self) -> Vec<String>;
    /// The daemon that works for it, where there is one.
    fn daemon(&self) -> Result<Option<Process>> {
        Ok(None)
    }
    /// Forgets all that it ever built or pulled.
    fn reset(&self) -> Result<()>;
    /// Builds, and pushes.
    fn build(&self, job: &Job<'_>) -> Result<()>;
    /// Makes builds that begin at once.
    fn build_all(&self, jobs: &[Job<'_>]) -> Result<()> {
        if let [job] = jobs {
            return self.build(job);
        }
        thread::scope(|scope| {
            let builds: Vec<_> = jobs.iter().map(|job| scope.spawn(move || self.build(job))).collect();
            builds.into_iter().try_for_each(|build| {
                build.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread of the measurement ended")))
            })
        })
    }
    /// Whether pods do the work, so that their CPU time and memory are not this program's to tell.
    fn is_elsewhere(&self) -> bool {
        false
    }
    /// Waits for what goes on in the background after a build.
    fn rest(&self) -> Result<()> {
        Ok(())
    }
    /// Stops what was started for the measurement.
    fn end(&self) -> Result<()> {
        Ok(())
    }
}

/// Runs a command; of what it said the end is kept when it fails, and a build that does not end is ended.
fn complete(command: &Command) -> Result<()> {
    let mut limited = Command::new("timeout");
    limited.arg("--kill-after=20").arg(PATIENCE.as_secs().to_string());
    limited.arg(command.get_program()).args(command.get_args());
    let Err(error) = limited.text() else { return Ok(()) };
    let text = format!("{error:#}");
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines.len().saturating_sub(25).max(1);
    let end = lines.get(tail..).unwrap_or_default().join("\n");
    anyhow::bail!("{}\n{end}", lines.first().copied().unwrap_or_default())
}

/// No build of the corpus takes so long on a machine that is fit to measure.
pub(super) const PATIENCE: Duration = Duration::from_mins(20);

/// The flags that all of them spell alike.
fn common(job: &Job<'_>, place: impl Fn(&Path) -> String) -> Vec<String> {
    let mut words = vec!["--file".to_owned(), place(job.dockerfile)];
    for (name, value) in &job.arguments {
        words.extend(["--build-arg".to_owned(), format!("{name}={value}")]);
    }
    if let Some(tag) = &job.tag {
        words.extend(["--tag".to_owned(), tag.clone()]);
    }
    words
}

/// Names of programs, as they are compared.
fn names(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A path of this machine, as the peers in their own root folder see it.
fn hosted(path: &Path) -> String {
    format!("/host{}", path.display())
}
