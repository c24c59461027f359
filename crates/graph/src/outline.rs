//! The outline of a build: which stages there are, what each is made from, which ones the targets need, and in what
//! order. It needs no network and no files.
//!
//! It says nothing about cache keys or about what a base image brings along; see [`crate::lower()`] for those.

mod args;
mod names;
mod order;
mod resolve;
#[cfg(test)]
mod tests;

use slipway_dockerfile::ast::Dockerfile;
use slipway_dockerfile::diagnostic::Diagnostic;
use slipway_oci::Platform;

pub(crate) use self::args::GlobalArgs;
pub use self::order::default_cost;
pub(crate) use self::resolve::{PlannedStep, Resolved, Triggers, resolve};

use crate::request::Request;

/// The name of the main build context.
pub const MAIN_CONTEXT: &str = "context";

/// All stages of a file and how they hang together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Every stage in the order of the file, those that no target needs included.
    pub stages: Vec<StageOutline>,
    /// What was asked for, in that order.
    pub targets: Vec<Target>,
    /// The needed stages, each after all that it needs.
    pub order: Vec<usize>,
    /// The needed stages that can run side by side, level by level: each needs only stages of earlier levels.
    pub levels: Vec<Vec<usize>>,
    /// The chain of needed stages that takes longest, by [`default_cost`].
    pub critical: Vec<usize>,
    /// What is likely a mistake but can be built.
    pub warnings: Vec<Diagnostic>,
}

/// A target and the stage that makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The target as asked for; the last stage's name or number where none was.
    pub name: String,
    /// The stage.
    pub stage: usize,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageOutline {
    /// Its number in the file.
    pub index: usize,
    /// The name after `AS`, in lower case.
    pub name: Option<String>,
    /// What it starts from.
    pub base: Origin,
    /// The base as written, not expanded.
    pub written: String,
    /// What it runs on.
    pub platform: Platform,
    /// The line of its `FROM`.
    pub line: usize,
    /// Its last line.
    pub end_line: usize,
    /// Its instructions, triggers of the base stage first.
    pub steps: Vec<StepOutline>,
    /// What it takes from elsewhere, in the order of the instructions.
    pub flows: Vec<Flow>,
    /// True where a target needs it.
    pub needed: bool,
    /// Its level among the needed stages; 0 for those that wait for none.
    pub level: usize,
    /// True where a named context stands in for it, so that its instructions do not run.
    pub replaced: bool,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepOutline {
    /// The instruction on one line, shortened.
    pub title: String,
    /// Its first line.
    pub line: usize,
    /// Its last line.
    pub end_line: usize,
    /// What it does.
    pub kind: StepKind,
}

/// What an instruction does, as far as time and room are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Runs user code.
    Run,
    /// Brings files.
    Copy,
    /// Makes a directory.
    Workdir,
    /// Changes the image's configuration alone.
    Config,
}

/// Where something comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Nothing.
    Scratch,
    /// A stage.
    Stage(usize),
    /// An image, by its full reference.
    Image(String),
    /// A build context; the main one is [`MAIN_CONTEXT`].
    Context(String),
    /// A download or a repository, by its address as written.
    Remote(String),
}

/// How something gets into a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// The stage starts from it.
    From,
    /// COPY or ADD.
    Copy,
    /// `RUN --mount`.
    Mount,
}

/// Something that a stage takes from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// From where.
    pub origin: Origin,
    /// How.
    pub via: Via,
    /// The paths, as written.
    pub paths: Vec<String>,
    /// The line that takes it.
    pub line: usize,
}

impl Outline {
    /// Returns the name of a stage, or its number where it has none.
    pub fn label(&self, stage: usize) -> String {
        self.stages.get(stage).map_or_else(|| stage.to_string(), StageOutline::label)
    }

    /// Returns the chain of needed stages with the largest total cost, first to last.
    pub fn critical_path(&self, cost: &dyn Fn(&StageOutline) -> u64) -> Vec<usize> {
        order::critical_path(&self.stages, &self.order, cost)
    }
}

impl StageOutline {
    /// Returns its name, or its number where it has none.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.index.to_string())
    }

    /// Returns the numbers of the stages that it takes something from, each once, ascending.
    pub fn needs(&self) -> Vec<usize> {
        let mut out: Vec<usize> = self
            .flows
            .iter()
            .filter_map(|flow| match flow.origin {
                Origin::Stage(stage) => Some(stage),
                _ => None,
            })
            .collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Returns true where it runs user code.
    pub fn runs(&self) -> bool {
        self.steps.iter().any(|step| step.kind == StepKind::Run)
    }
}

/// Outlines a build, or returns everything that keeps it from being one.
pub fn outline(file: &Dockerfile, source: &str, request: &Request) -> Result<Outline, Vec<Diagnostic>> {
    resolve(file, source, request, &Triggers::default()).map(|resolved| resolved.outline)
}
