//! Progress as lines, for logs: every line whole, each with the step that it belongs to.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Mutex;
use std::time::Instant;

use slipway_executor::event::{Event, Sink, StageInfo, StepAt};

/// Writes events as lines.
pub(crate) struct Plain {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stages: Vec<StageInfo>,
    pulled: BTreeMap<String, u64>,
}

impl Plain {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), state: Mutex::default() }
    }
}

/// Names a step: `build 2/5`, counting the steps that make or change files.
pub(crate) fn label(stages: &[StageInfo], at: StepAt) -> (String, String) {
    let Some(stage) = stages.get(at.stage) else { return (format!("stage {}", at.stage), String::new()) };
    let place = stage.steps.iter().position(|step| step.step == at.step);
    let title =
        place.and_then(|place| stage.steps.get(place)).map(|step| step.title.clone()).unwrap_or_default();
    (format!("{} {}/{}", stage.name, place.map_or(0, |n| n + 1), stage.steps.len()), title)
}

/// Writes seconds with as many digits as help.
pub(crate) fn seconds(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}s") } else { format!("{value:.1}s") }
}

pub(crate) use slipway_executor::size::bytes;

impl Sink for Plain {
    fn event(&self, event: Event) {
        let Ok(mut state) = self.state.lock() else { return };
        let line = match event {
            Event::Planned { platform, stages } => {
                let steps: usize = stages.iter().map(|stage| stage.steps.len()).sum();
                let line = format!("plan: {} stages, {steps} steps, {platform}", stages.len());
                state.stages = stages;
                line
            }
            Event::Note { text } => text,
            Event::Preparing { what } => what,
            Event::Cached { at } => {
                let (label, title) = label(&state.stages, at);
                format!("[{label}] CACHED {title}")
            }
            Event::Waiting { at, for_stage } => {
                format!("[{}] waits for {for_stage}", label(&state.stages, at).0)
            }
            Event::Started { at, why } => {
                let (label, title) = label(&state.stages, at);
                if why.is_empty() {
                    format!("[{label}] {title}")
                } else {
                    format!("[{label}] {title}  ({why})")
                }
            }
            Event::Output { at, line, .. } => {
                let now = self.started.elapsed().as_secs_f64();
                format!("[{}] {now:.3} {line}", label(&state.stages, at).0)
            }
            Event::Finished { at, seconds: took, size } => {
                format!("[{}] DONE {} +{}", label(&state.stages, at).0, seconds(took), bytes(size))
            }
            Event::Failed { at, message } => format!("[{}] FAILED {message}", label(&state.stages, at).0),
            Event::Pull { image, layer, done, total } => {
                // One line when a layer begins and one when it is there.
                let before = state.pulled.insert(layer.clone(), done);
                match before {
                    None if done < total => format!("pull {image}: {} {}", short(&layer), bytes(total)),
                    _ if done >= total && before != Some(done) => {
                        format!("pull {image}: {} done", short(&layer))
                    }
                    _ => return,
                }
            }
            Event::Push { repository, what, how, size } => {
                format!("push {repository}: {} {how} {}", short(&what), bytes(size))
            }
        };
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

fn short(digest: &str) -> &str {
    digest.strip_prefix("sha256:").and_then(|hex| hex.get(..12)).unwrap_or(digest)
}

/// Writes events as JSON, one a line, with the seconds since the start.
pub(crate) struct Json {
    started: Instant,
}

impl Json {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Sink for Json {
    fn event(&self, event: Event) {
        #[derive(serde::Serialize)]
        struct Line {
            time: f64,
            #[serde(flatten)]
            event: Event,
        }
        let line = Line { time: self.started.elapsed().as_secs_f64(), event };
        if let Ok(text) = serde_json::to_string(&line) {
            let _ = writeln!(io::stdout().lock(), "{text}");
        }
    }
}
