//! What came of a build, stage by stage, step by step: plain data for tables, reports and tests.

use serde::Serialize;
use slipway_store::LayerId;

/// How a step went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StepState {
    /// Nobody needed it.
    #[default]
    NotNeeded,
    /// The cache had its result.
    Cached,
    /// It ran.
    Ran,
    /// It failed.
    Failed,
}

/// What came of a step that makes or changes files.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepOutcome {
    /// Its number in the stage.
    pub step: usize,
    /// The instruction on one line.
    pub title: String,
    /// Its line in the Dockerfile.
    pub line: usize,
    /// How it went.
    pub state: StepState,
    /// Seconds that it took; of the first time where it is cached.
    pub seconds: f64,
    /// Bytes of the files that it added.
    pub size: u64,
    /// Why the cache did not have it.
    pub why: String,
    /// The layer that it made.
    pub layer: Option<LayerId>,
    /// True where an imported cache had it, and it was not here.
    pub imported: bool,
}

/// What came of a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageOutcome {
    /// Its name.
    pub name: String,
    /// Its steps that make or change files.
    pub steps: Vec<StepOutcome>,
    /// Unix time at which it began; 0 where it never did.
    pub started: f64,
    /// Unix time at which it ended.
    pub finished: f64,
    /// Seconds spent waiting for other stages.
    pub waited: f64,
    /// Unpacked bytes of its whole tree, the base included where it is known.
    pub unpacked: u64,
}

impl StageOutcome {
    /// Counts the steps that went a certain way.
    pub fn count(&self, state: StepState) -> usize {
        self.steps.iter().filter(|step| step.state == state).count()
    }

    /// Counts the steps that an imported cache had.
    pub fn imported(&self) -> usize {
        self.steps.iter().filter(|step| step.imported).count()
    }

    /// Returns the seconds between begin and end.
    pub fn seconds(&self) -> f64 {
        (self.finished - self.started).max(0.0)
    }

    /// Returns the bytes that its steps added.
    pub fn size(&self) -> u64 {
        self.steps.iter().map(|step| step.size).sum()
    }

    /// Returns why its first step that was not cached was not.
    pub fn why(&self) -> &str {
        self.steps
            .iter()
            .find(|step| step.state != StepState::Cached && !step.why.is_empty())
            .map_or("", |step| &step.why)
    }

    /// Returns the step that took longest of those that ran.
    pub fn slowest(&self) -> Option<&StepOutcome> {
        let ran = self.steps.iter().filter(|step| matches!(step.state, StepState::Ran | StepState::Failed));
        ran.max_by(|a, b| a.seconds.total_cmp(&b.seconds))
    }
}
