//! Progress on a terminal: a bar per stage with the running command, and the last line of its output below.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use slipway_executor::event::{Event, Sink, StageInfo, StepAt};

use super::plain::bytes;

/// A live view.
pub(crate) struct Live {
    all: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stages: Vec<StageInfo>,
    bars: Vec<ProgressBar>,
    /// Bytes that each stage's steps added so far.
    added: Vec<u64>,
    pulls: BTreeMap<String, ProgressBar>,
    /// By repository.
    pushes: BTreeMap<String, Push>,
    preparing: Option<ProgressBar>,
}

/// What went to a repository so far.
struct Push {
    bar: ProgressBar,
    blobs: usize,
    sent: u64,
    /// Tags and indexes that point to it.
    tags: Vec<String>,
}

impl Push {
    fn line(&self, repository: &str) -> String {
        let blobs = if self.blobs == 1 { "blob" } else { "blobs" };
        let sent = format!("{} {blobs}, {} sent", self.blobs, bytes(self.sent));
        let tags = self.tags.join(", ");
        if tags.is_empty() {
            format!("{repository}: {sent}")
        } else {
            format!("{repository}: {sent}, tagged {tags}")
        }
    }
}

/// The longest name of a stage that is shown whole.
const NAME: usize = 32;

/// How much of a command stands before its output.
const COMMAND: usize = 36;

impl Live {
    pub(crate) fn new() -> Self {
        Self { all: MultiProgress::new(), state: Mutex::default() }
    }

    /// Takes the view off the terminal; what was printed above it stays.
    pub(crate) fn finish(&self) {
        if let Ok(mut state) = self.state.lock() {
            for bar in state.pulls.values() {
                bar.finish_and_clear();
            }
            for push in state.pushes.values() {
                push.bar.finish();
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
        let names: Vec<String> = stages.iter().map(|stage| middle_out(&stage.name, NAME)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        state.added = vec![0; stages.len()];
        for (stage, name) in stages.iter().zip(&names) {
            let bar = self.all.add(ProgressBar::new(stage.steps.len() as u64));
            let style = ProgressStyle::with_template(
                "{prefix} {bar:12.green/dim} {pos}/{len} {elapsed:>4.dim} {wide_msg}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
            bar.set_prefix(format!("{name:width$}"));
            state.bars.push(bar);
        }
        state.stages = stages;
    }
}

/// Shortens a name that is too long in its middle: stages of several platforms differ at their ends.
fn middle_out(name: &str, most: usize) -> String {
    let chars: Vec<char> = name.chars().collect();
    if chars.len() <= most {
        return name.to_owned();
    }
    let head = (most - 1) / 2;
    let tail = most - 1 - head;
    chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]).collect()
}

/// Shortens a command at its end.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
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
                let head = cut(&title(state, at), COMMAND);
                if let Some(bar) = state.bars.get(at.stage) {
                    bar.set_message(format!("{head} │ {}", line.replace(['\r', '\t'], " ")));
                }
            }
            Event::Finished { at, size, .. } => {
                if let Some(added) = state.added.get_mut(at.stage) {
                    *added += size;
                    if let Some(bar) = state.bars.get(at.stage) {
                        bar.inc(1);
                        bar.set_message(format!("+{}", bytes(*added)));
                        settle(bar);
                    }
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
            Event::Push { repository, what, how, size } => {
                let push = state.pushes.entry(repository.clone()).or_insert_with(|| {
                    let bar = self.all.add(ProgressBar::new_spinner());
                    bar.set_style(spinner("push {wide_msg}"));
                    Push { bar, blobs: 0, sent: 0, tags: vec![] }
                });
                match how.as_str() {
                    // What has a digest for a name is a part of an index.
                    "manifest" | "index" if what.starts_with("sha256:") => {}
                    "manifest" | "index" => push.tags.push(what),
                    "uploaded" => (push.blobs, push.sent) = (push.blobs + 1, push.sent + size),
                    _ => push.blobs += 1,
                }
                push.bar.set_message(push.line(&repository));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_where_it_says_least() {
        assert_eq!(middle_out("build@linux/arm64", 32), "build@linux/arm64");
        let cut_name = middle_out("a-stage-with-a-very-long-name@linux/arm64", 20);
        assert_eq!((cut_name.as_str(), cut_name.chars().count()), ("a-stage-w…inux/arm64", 20));
        assert_eq!(cut("RUN make", 8), "RUN make");
        assert_eq!(cut("RUN make all", 8), "RUN mak…");
    }
}
