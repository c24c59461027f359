//! The log of a pod: one line an event, for `kubectl logs`.

use std::io::{self, Write};
use std::sync::Mutex;
use std::time::Instant;

use slipway_executor::event::{Event, Sink, StageInfo, StepAt};

/// Writes events as lines.
pub(crate) struct Log {
    started: Instant,
    stages: Mutex<Vec<StageInfo>>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), stages: Mutex::default() }
    }

    fn label(&self, at: StepAt) -> (String, String) {
        let stages = self.stages.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(stage) = stages.get(at.stage) else { return (format!("stage {}", at.stage), String::new()) };
        let place = stage.steps.iter().position(|step| step.step == at.step);
        let title = place.map(|place| stage.steps[place].title.clone()).unwrap_or_default();
        (format!("{} {}/{}", stage.name, place.map_or(0, |place| place + 1), stage.steps.len()), title)
    }
}

impl Sink for Log {
    fn event(&self, event: Event) {
        let line = match event {
            Event::Planned { platform, stages } => {
                let line = format!("plan: {} stages, {platform}", stages.len());
                *self.stages.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = stages;
                line
            }
            Event::Note { text } => text,
            Event::Preparing { what } => what,
            Event::Cached { at } => {
                let (label, title) = self.label(at);
                format!("[{label}] CACHED {title}")
            }
            Event::Waiting { at, for_stage } => format!("[{}] waits for {for_stage}", self.label(at).0),
            Event::Started { at, why } => {
                let (label, title) = self.label(at);
                if why.is_empty() {
                    format!("[{label}] {title}")
                } else {
                    format!("[{label}] {title}  ({why})")
                }
            }
            Event::Output { at, line, .. } => {
                format!("[{}] {:.3} {line}", self.label(at).0, self.started.elapsed().as_secs_f64())
            }
            Event::Finished { at, seconds, size } => {
                format!("[{}] DONE {seconds:.2}s, {size} bytes", self.label(at).0)
            }
            Event::Failed { at, message } => format!("[{}] FAILED {message}", self.label(at).0),
            Event::Pull { image, layer, done, total } if done >= total => {
                format!("pulled {layer} of {image}, {total} bytes")
            }
            Event::Pull { .. } => return,
            Event::Push { repository, what, how, size } => {
                format!("push {repository}: {what} {how}, {size} bytes")
            }
        };
        say(&line);
    }
}

/// Writes a line; nobody reading is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Writes an error.
pub(crate) fn error(line: &str) {
    let _ = writeln!(io::stderr().lock(), "error: {line}");
}
