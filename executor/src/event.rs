//! What a build says while it goes on: typed events, for a terminal, a log or a program. Nothing here prints.

use std::sync::Arc;

use serde::Serialize;

/// A step by its place: the stage's number in the graph, the step's number in the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct StepAt {
    /// The stage's number in the graph.
    pub stage: usize,
    /// The step's number in the stage.
    pub step: usize,
}

/// A stage, as announced before anything runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageInfo {
    /// Its name.
    pub name: String,
    /// The instructions that make or change files, one line each.
    pub steps: Vec<StepInfo>,
}

/// A step, as announced before anything runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepInfo {
    /// Its number in the stage, steps that only change the configuration counted.
    pub step: usize,
    /// The instruction on one line.
    pub title: String,
    /// Its line in the Dockerfile.
    pub line: usize,
}

/// One of the two streams of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The graph is known: the stages that will be looked at, in order.
    Planned {
        /// The platform, or the platforms with commas between them.
        platform: String,
        /// The stages.
        stages: Vec<StageInfo>,
    },
    /// Something worth a line: the isolation chosen, a mirror that failed.
    Note {
        /// The line.
        text: String,
    },
    /// Preparation that takes time: resolving an image, fetching a source.
    Preparing {
        /// What.
        what: String,
    },
    /// The cache had the step's result.
    Cached {
        /// The step.
        at: StepAt,
    },
    /// The step waits for another stage.
    Waiting {
        /// The step.
        at: StepAt,
        /// The stage's name.
        for_stage: String,
    },
    /// The step runs.
    Started {
        /// The step.
        at: StepAt,
        /// Why the cache did not have it.
        why: String,
    },
    /// The command of a step wrote something; lines are whole, except for the last one of a stream.
    Output {
        /// The step.
        at: StepAt,
        /// Which stream.
        stream: Stream,
        /// The line, without its end.
        line: String,
    },
    /// The step is done.
    Finished {
        /// The step.
        at: StepAt,
        /// How long it took.
        seconds: f64,
        /// Bytes of the files that it added.
        size: u64,
    },
    /// The step failed.
    Failed {
        /// The step.
        at: StepAt,
        /// Why, on one line.
        message: String,
    },
    /// Bytes of a base image's layer arrived.
    Pull {
        /// The image.
        image: String,
        /// The layer's digest.
        layer: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Something is sent to a registry.
    Push {
        /// The repository.
        repository: String,
        /// The blob's digest, or the tag.
        what: String,
        /// How it went: `uploaded`, `exists`, `mounted`, `manifest`.
        how: String,
        /// Its size.
        size: u64,
    },
}

/// Takes events, from any thread.
pub trait Sink: Send + Sync {
    /// Takes one.
    fn event(&self, event: Event);
}

/// A shared sink.
pub type Events = Arc<dyn Sink>;

/// Throws events away.
#[derive(Debug)]
pub struct Quiet;

impl Sink for Quiet {
    fn event(&self, _event: Event) {}
}

impl<F: Fn(Event) + Send + Sync> Sink for F {
    fn event(&self, event: Event) {
        self(event);
    }
}
