//! How a build tells what it does: which view shows its events.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use slipway_executor::engine::{Excerpt, Outcome};
use slipway_executor::event::{Event, Events, Quiet, StageInfo, StepInfo};
use slipway_graph::Graph;

use super::args;
use super::live::Live;
use super::plain::{Json, Plain};
use super::stop::{FAILED, STOPPED};

/// How progress is shown.
pub(crate) struct Progress {
    pub(crate) events: Events,
    live: Option<Arc<Live>>,
}

impl Progress {
    pub(crate) fn new(how: args::Progress, quiet: bool) -> Self {
        let plain = || Self { events: Arc::new(Plain::new()), live: None };
        let terminal = io::stderr().is_terminal();
        match how {
            _ if quiet => Self { events: Arc::new(Quiet), live: None },
            args::Progress::Json => Self { events: Arc::new(Json::new()), live: None },
            args::Progress::Auto | args::Progress::Tty if terminal => Self::live(),
            args::Progress::Plain | args::Progress::Auto | args::Progress::Tty => plain(),
        }
    }

    fn live() -> Self {
        let live = Arc::new(Live::new());
        let shown = live.clone();
        let events: Events = Arc::new(move |event| slipway_executor::event::Sink::event(&*shown, event));
        Self { events, live: Some(live) }
    }

    /// Takes a live view off the terminal.
    pub(crate) fn finish(&self) {
        if let Some(live) = &self.live {
            live.finish();
        }
    }
}

/// Tells of the graph before anything of it runs.
pub(super) fn planned(graph: &Graph) -> Event {
    let info = |stage: &slipway_graph::ir::Stage| StageInfo {
        name: stage.name.clone(),
        steps: (stage.steps.iter().enumerate())
            .filter(|(_, step)| step.op.is_some())
            .map(|(number, step)| StepInfo { step: number, title: step.title.clone(), line: step.line })
            .collect(),
    };
    Event::Planned { platform: graph.platforms_line(), stages: graph.stages.iter().map(info).collect() }
}

/// Shows why a build failed, and returns its exit code.
pub(super) fn report_failure(outcome: &Outcome, path: &str, text: &str) -> ExitCode {
    for failed in &outcome.failures {
        say(&Excerpt { failed, path, text }.to_string());
    }
    if outcome.failures.is_empty() {
        say("stopped; what was finished is kept in the cache\n");
        return ExitCode::from(STOPPED);
    }
    ExitCode::from(FAILED)
}

/// Writes to standard error.
pub(super) fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
