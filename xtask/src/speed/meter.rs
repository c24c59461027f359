//! What a build costs: seconds, CPU, memory, bytes to the disk and bytes to the registry.
//!
//! Everything is read from `/proc` before and after. The kernel adds what a process used to its parent when the parent
//! waits for it, so the counters of this program (for what it starts) and of a peer's daemon with all that is below it
//! (for what it starts) hold the whole build, the processes of RUN among them.

use std::{
    fs,
    path::Path,
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::host::daemon::{self, Process};

/// What one build took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    /// From the start of the first program to the end of the last, the push among it.
    pub(super) seconds: f64,
    /// Seconds of CPU of all processes, those of RUN among them.
    pub(super) cpu: f64,
    /// The largest sum of resident memory of the builder's own processes, in bytes; 0 where none lived long enough.
    pub(super) peak: u64,
    /// Bytes that the processes made the kernel write to disks.
    pub(super) written: u64,
    /// Bytes that the registry received.
    pub(super) sent: u64,
}

impl Sample {
    /// What of it is true of work that other machines or pods do: they are no children of this program.
    pub(super) fn of_elsewhere(self) -> Self {
        Self { cpu: 0.0, peak: 0, written: 0, ..self }
    }
}

/// Whose counters belong to a builder.
#[derive(Clone, Copy)]
pub(super) struct Watched<'a> {
    /// The daemon, where there is one.
    pub(super) daemon: Option<Process>,
    /// The names of the builder's own programs; what else runs is a RUN's.
    pub(super) engine: &'a [String],
    /// Where it pushes to.
    pub(super) registry: Process,
}

/// Measures one piece of work.
pub(super) fn measure(watched: &Watched<'_>, work: impl FnOnce() -> Result<()>) -> Result<Sample> {
    // What an earlier build left in memory shall not be written during this one.
    process::Command::new("sync").status().context("failed to start sync")?;
    let ended = AtomicBool::new(false);
    let before = Counters::read(watched)?;
    thread::scope(|scope| {
        let watcher = scope.spawn(|| peak(watched, &ended));
        let start = Instant::now();
        let outcome = work();
        let seconds = start.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        let after = Counters::read(watched)?;
        let peak = watcher.join().unwrap_or_default();
        outcome?;
        Ok(Sample {
            seconds,
            cpu: super::statistics::float(after.ticks.saturating_sub(before.ticks)) / TICKS,
            peak,
            written: after.written.saturating_sub(before.written),
            sent: after.received.saturating_sub(before.received),
        })
    })
}

/// Linux tells CPU time in hundredths of a second, whatever its own clock is.
const TICKS: f64 = 100.0;

/// Sums of counters that only grow.
struct Counters {
    ticks: u64,
    written: u64,
    received: u64,
}

impl Counters {
    fn read(watched: &Watched<'_>) -> Result<Self> {
        let own = process::id();
        let mut ticks = stat(own).context("no /proc/self/stat")?.children;
        let mut written = io(own, "write_bytes");
        for below in watched.daemon.map(daemon::tree).unwrap_or_default() {
            ticks += stat(below.pid()).map_or(0, |stat| stat.own + stat.children);
            written += io(below.pid(), "write_bytes");
        }
        Ok(Self { ticks, written, received: io(watched.registry.pid(), "rchar") })
    }
}

/// CPU time of a process, and of those that it waited for.
struct Stat {
    own: u64,
    children: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat { own: number(11)? + number(12)?, children: number(13)? + number(14)? })
}

fn io(pid: u32, name: &str) -> u64 {
    field(&format!("/proc/{pid}/io"), name)
}

/// A number of a file with lines such as `VmRSS:  12 kB`.
fn field(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Watches the builder's processes until the end, and returns the largest sum of their memory in bytes.
fn peak(watched: &Watched<'_>, ended: &AtomicBool) -> u64 {
    let start = Instant::now();
    let mut processes = Vec::new();
    let mut asked: Option<Instant> = None;
    let mut largest = 0;
    while !ended.load(Ordering::Relaxed) {
        // Looking for processes costs more than reading their memory, so a long build is looked at more rarely.
        let pause = if start.elapsed() < Duration::from_secs(1) { 20 } else { 250 };
        if asked.is_none_or(|asked| asked.elapsed() > Duration::from_millis(pause)) {
            processes = engine(watched);
            asked = Some(Instant::now());
        }
        let sum: u64 = processes.iter().map(|pid| field(&format!("/proc/{pid}/status"), "VmRSS")).sum();
        largest = largest.max(sum);
        thread::sleep(Duration::from_millis(if start.elapsed() < Duration::from_secs(1) { 5 } else { 25 }));
    }
    largest * 1024
}

/// The builder's own processes, below this one and below its daemon.
fn engine(watched: &Watched<'_>) -> Vec<u32> {
    let mine = Process::of(process::id());
    let roots = mine.into_iter().chain(watched.daemon);
    let all = roots.flat_map(daemon::tree).map(Process::pid);
    all.filter(|pid| program(*pid).is_some_and(|name| watched.engine.contains(&name))).collect()
}

fn program(pid: u32) -> Option<String> {
    let target = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

/// Waits until no process of a program runs any more: some work goes on after the program that was started has ended.
pub(super) fn wait_for_end_of(program: &Path, patience: Duration) -> Result<()> {
    crate::host::command::wait_until("end of work in the background", patience, || {
        let runs = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
        Ok(!daemon::all().into_iter().any(|(process, _)| runs(process.pid())))
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_past_a_name_with_spaces() {
        let line = "7 (a b) c) S 1 7 7 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 1 0 555 1 1";
        let stat = parse_stat(line).expect("a line of the kernel");
        assert_eq!((stat.own, stat.children), (33, 77));
    }

    #[test]
    fn a_child_that_computes_is_counted() {
        let registry = Process::of(process::id()).expect("this process");
        let engine = ["sh", "dash", "bash"].map(ToOwned::to_owned);
        let watched = Watched { daemon: None, engine: &engine, registry };
        let work = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let sample = measure(&watched, || {
            let status = process::Command::new("sh").args(["-c", work]).status()?;
            anyhow::ensure!(status.success(), "the shell failed");
            Ok(())
        })
        .expect("a shell");
        assert!(sample.seconds > 0.0 && sample.cpu > 0.0 && sample.peak > 0, "{sample:?}");
    }
}
