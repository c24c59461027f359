//! Progress on a terminal: a bar per stage with the running command, and the last line of its output below.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use slipway_executor::event::{Event, Sink, StageInfo, StepAt};

use super::plain::{bytes, seconds};

/// A live view.
pub(crate) struct Live {
    all: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stages: Vec<StageInfo>,
    bars: Vec<ProgressBar>,
    pulls: BTreeMap<String, ProgressBar>,
    pushed: u64,
    push: Option<ProgressBar>,
    preparing: Option<ProgressBar>,
    /// The last lines of each running step, to be shown whole if it fails.
    width: usize,
}

impl Live {
    pub(crate) fn new() -> Self {
        let width = console_width();
        Self { all: MultiProgress::new(), state: Mutex::new(State { width, ..State::default() }) }
    }

    /// Takes the view off the terminal; what was printed above it stays.
    pub(crate) fn finish(&self) {
        if let Ok(mut state) = self.state.lock() {
            for bar in state.pulls.values() {
                bar.finish_and_clear();
            }
            if let Some(bar) = state.push.take() {
                bar.finish();
            }
            if let Some(bar) = state.preparing.take() {
                bar.finish_and_clear();
            }
            for bar in &state.bars {
                if !bar.is_finished() {
                    bar.abandon();
                }
            }
        }
    }

    fn planned(&self, state: &mut State, stages: Vec<StageInfo>) {
        if let Some(bar) = state.preparing.take() {
            bar.finish_and_clear();
        }
        let name_width = stages.iter().map(|stage| stage.name.chars().count()).max().unwrap_or(0).min(24);
        for stage in &stages {
            let bar = self.all.add(ProgressBar::new(stage.steps.len() as u64));
            let style = ProgressStyle::with_template(
                "{prefix} {bar:12.green/dim} {pos}/{len} {elapsed:>4.dim} {wide_msg}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
            bar.set_prefix(format!("{:name_width$}", stage.name));
            state.bars.push(bar);
        }
        state.stages = stages;
    }
}

fn console_width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or(120)
}

fn spinner(text: &'static str) -> ProgressStyle {
    ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn title(state: &State, at: StepAt) -> String {
    let stage = state.stages.get(at.stage);
    let step = stage.and_then(|stage| stage.steps.iter().find(|step| step.step == at.step));
    step.map(|step| step.title.clone()).unwrap_or_default()
}

impl Sink for Live {
    fn event(&self, event: Event) {
        let Ok(mut state) = self.state.lock() else { return };
        let state = &mut *state;
        match event {
            Event::Planned { stages, .. } => self.planned(state, stages),
            Event::Note { text } => {
                let _ = self.all.println(text);
            }
            Event::Preparing { what } => {
                let bar = state.preparing.get_or_insert_with(|| {
                    let bar = self.all.add(ProgressBar::new_spinner());
                    bar.set_style(spinner("{spinner} {wide_msg}"));
                    bar.enable_steady_tick(Duration::from_millis(100));
                    bar
                });
                bar.set_message(what);
            }
            Event::Cached { at } => {
                if let Some(bar) = state.bars.get(at.stage) {
                    bar.inc(1);
                    bar.set_message("cached");
                    settle(bar);
                }
            }
            Event::Waiting { at, for_stage } => {
                if let Some(bar) = state.bars.get(at.stage) {
                    bar.set_message(format!("waits for {for_stage}"));
                }
            }
            Event::Started { at, .. } => {
                let title = title(state, at);
                if let Some(bar) = state.bars.get(at.stage) {
                    bar.enable_steady_tick(Duration::from_millis(100));
                    bar.set_message(title);
                }
            }
            Event::Output { at, line, .. } => {
                let title = title(state, at);
                let room = state.width / 3;
                let head: String = title.chars().take(room).collect();
                if let Some(bar) = state.bars.get(at.stage) {
                    bar.set_message(format!("{head} │ {}", line.replace(['\r', '\t'], " ")));
                }
            }
            Event::Finished { at, seconds: took, size } => {
                if let Some(bar) = state.bars.get(at.stage) {
                    bar.inc(1);
                    bar.set_message(format!("{} +{}", seconds(took), bytes(size)));
                    settle(bar);
                }
            }
            Event::Failed { at, message } => {
                if let Some(bar) = state.bars.get(at.stage) {
                    bar.abandon_with_message(format!("FAILED {message}"));
                }
            }
            Event::Pull { image, layer, done, total } => {
                let bar = state.pulls.entry(layer).or_insert_with(|| {
                    let bar = self.all.add(ProgressBar::new(total));
                    bar.set_style(spinner(
                        "pull {msg} {bar:20.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec}",
                    ));
                    bar.set_message(image);
                    bar
                });
                bar.set_position(done);
                if done >= total {
                    bar.finish_and_clear();
                }
            }
            Event::Push { repository, size, how, .. } => {
                state.pushed += size;
                let text = format!("push {repository} {} {how}", bytes(state.pushed));
                let bar = state.push.get_or_insert_with(|| {
                    let bar = self.all.add(ProgressBar::new_spinner());
                    bar.set_style(spinner("{spinner} {wide_msg}"));
                    bar
                });
                bar.set_message(text);
            }
        }
    }
}

/// Stops a bar whose stage is done.
fn settle(bar: &ProgressBar) {
    if Some(bar.position()) >= bar.length() {
        bar.disable_steady_tick();
        bar.finish();
    }
}
