//! Programs that keep running: started with a log, recorded with the moment of their start, stopped by their own id.
//!
//! A process id alone is not enough to stop a program: after a crash the same number may belong to something else.
//! The kernel's start time tells them apart.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{command::wait_until, folders};

/// One process, for good: the id, and when the kernel started it (in clock ticks since boot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: u32,
    started: u64,
}

impl Process {
    /// Returns the process that has this id now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let (state, _, started) = stat(pid)?;
        (state != 'Z').then_some(Self { pid, started })
    }

    /// Tells whether this very process still runs.
    pub(crate) fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Asks the process to end, and makes it end when it does not within `patience`.
    pub(crate) fn stop(self, patience: Duration) -> Result<()> {
        self.signal("TERM");
        if wait_until("end", patience, || Ok(!self.alive())).is_err() {
            self.signal("KILL");
            wait_until(&format!("end of process {}", self.pid), Duration::from_secs(10), || {
                Ok(!self.alive())
            })?;
        }
        Ok(())
    }

    /// Ends the process at once.
    pub(crate) fn kill(self) {
        self.signal("KILL");
    }

    /// The id, for messages.
    pub(crate) fn pid(self) -> u32 {
        self.pid
    }

    fn signal(self, name: &str) {
        if self.alive() {
            // A failure means that it ended by itself in between; the caller looks again.
            let _ = Command::new("kill")
                .arg(format!("-{name}"))
                .arg(self.pid.to_string())
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// The state letter, parent and start time that the kernel tells of a process.
fn stat(pid: u32) -> Option<(char, u32, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in the second field may hold spaces and brackets, so the fields are counted from the last bracket.
fn parse_stat(line: &str) -> Option<(char, u32, u64)> {
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

/// All processes of the machine with their parents.
pub(crate) fn all() -> Vec<(Process, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let (state, parent, started) = stat(pid)?;
            (state != 'Z').then_some((Process { pid, started }, parent))
        })
        .collect()
}

/// Everything below a process, the process itself last.
pub(crate) fn tree(root: Process) -> Vec<Process> {
    let everyone = all();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|process| process.pid) {
        found.extend(everyone.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
        next += 1;
    }
    found.reverse();
    found
}

/// A command that outlives the terminal, in a session of its own: shell and setsid become the program itself. It keeps
/// nothing of what a shell above has open under one digit, such as the lock of `flock`, which would else be held for as long
/// as it runs.
fn detached(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec setsid "$@""#, "sh"]).arg(program);
    command
}

/// A program of a running set, named by its log and its record in the set's folder.
pub(crate) struct Daemon {
    name: String,
    folder: PathBuf,
}

impl Daemon {
    /// Names a daemon of the set that lives in `folder`.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self { name: name.to_owned(), folder: folder.to_owned() }
    }

    /// The names of all daemons that were ever started in a folder and not stopped since.
    pub(crate) fn recorded(folder: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(folder.join("processes")) else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| Some(Self::new(folder, entry.path().file_stem()?.to_str()?)))
            .collect()
    }

    /// The name it was given.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds what it prints.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log").join(format!("{}.log", self.name))
    }

    fn record(&self) -> PathBuf {
        self.folder.join("processes").join(format!("{}.json", self.name))
    }

    /// The running process, if it runs.
    pub(crate) fn process(&self) -> Option<Process> {
        let text = fs::read_to_string(self.record()).ok()?;
        serde_json::from_str::<Process>(&text).ok().filter(|process| process.alive())
    }

    /// Starts the program in a session of its own unless it runs already.
    pub(crate) fn ensure(&self, program: &Path, configure: impl FnOnce(&mut Command)) -> Result<()> {
        if self.process().is_some() {
            return Ok(());
        }
        folders::make(&self.folder.join("processes"))?;
        folders::make(&self.folder.join("log"))?;
        let log =
            File::options().create(true).append(true).open(self.log()).context("failed to open a log")?;
        let mut command = detached(program);
        configure(&mut command);
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("failed to share a log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {}", self.name))?;
        let process = Process::of(child.id()).with_context(|| self.complaint("ended at once"))?;
        folders::write(&self.record(), serde_json::to_vec(&process)?)
    }

    /// Asks the program to end, without waiting for it.
    pub(crate) fn ask_to_stop(&self) {
        if let Some(process) = self.process() {
            process.signal("TERM");
        }
    }

    /// Stops the program if it runs, and forgets it.
    pub(crate) fn stop(&self, patience: Duration) -> Result<()> {
        if let Some(process) = self.process() {
            process.stop(patience).with_context(|| format!("failed to stop {}", self.name))?;
        }
        // Nothing to forget is as good as forgotten.
        let _ = fs::remove_file(self.record());
        Ok(())
    }

    /// Fails with the end of the log when the program does not run any more.
    pub(crate) fn must_run(&self) -> Result<()> {
        if self.process().is_none() {
            anyhow::bail!("{}", self.complaint("does not run"));
        }
        Ok(())
    }

    /// The last lines of the log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    fn complaint(&self, what: &str) -> String {
        format!("{} {what}; the end of {}:\n{}", self.name, self.log().display(), self.last_words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_keeps_nothing_open_that_a_shell_above_has() {
        let open = |command: &Command| {
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            let mut shell = Command::new("sh");
            shell
                .args(["-c", r#"exec 7</dev/null 9</dev/null; exec "$@""#, "sh"])
                .args(words)
                .arg("/proc/self/fd");
            let output = shell.output().expect("a shell runs");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let has = |listing: &str, name: &str| listing.lines().any(|line| line == name);
        let plain = open(&Command::new("ls"));
        assert!(has(&plain, "7") && has(&plain, "9"), "{plain}");
        let detached = open(&detached(Path::new("ls")));
        assert!(has(&detached, "2") && !has(&detached, "7") && !has(&detached, "9"), "{detached}");
    }

    #[test]
    fn reads_a_stat_line_whose_name_holds_brackets() {
        let line = "42 (odd) name)) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        assert_eq!(parse_stat(line), Some(('S', 7, 987_654)));
    }

    #[test]
    fn a_process_with_another_start_time_is_another_process() {
        let me = Process::of(std::process::id()).expect("this test runs");
        assert!(me.alive());
        assert!(!Process { started: me.started + 1, ..me }.alive());
    }

    #[test]
    fn a_recycled_id_is_never_stopped() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep starts");
        let process = Process::of(child.id()).expect("it runs");
        Process { started: process.started + 1, ..process }
            .stop(Duration::from_millis(100))
            .expect("is gone");
        assert!(process.alive(), "another process with the same id was stopped");
        let everyone = tree(Process::of(std::process::id()).expect("this test runs"));
        assert!(everyone.contains(&process), "a child is part of its parent's tree");
        process.kill();
        child.wait().expect("it was killed");
    }
}
