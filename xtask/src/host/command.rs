//! Running other programs, with errors that name the command and show what it said.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// What every started program is asked: to succeed, in one of three manners.
pub(crate) trait Run {
    /// Runs with the terminal's own output.
    fn run(&mut self) -> Result<()>;
    /// Runs and returns standard output; what the program said on standard error becomes part of the error.
    fn text(&mut self) -> Result<String>;
    /// Runs and tells whether it succeeded, showing nothing.
    fn succeeds(&mut self) -> bool;
}

impl Run for Command {
    fn run(&mut self) -> Result<()> {
        let status =
            self.stdin(Stdio::null()).status().with_context(|| format!("failed to start {}", words(self)))?;
        if !status.success() {
            bail!("{} failed: {status}", words(self));
        }
        Ok(())
    }

    fn text(&mut self) -> Result<String> {
        let output =
            self.stdin(Stdio::null()).output().with_context(|| format!("failed to start {}", words(self)))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("{} failed: {}\n{}{}", words(self), output.status, said, complaint.trim_end());
        }
        Ok(said)
    }

    fn succeeds(&mut self) -> bool {
        self.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// The command as a person would type it, cut where it gets unreadable.
fn words(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for word in command.get_args() {
        line.push(' ');
        line.push_str(&word.to_string_lossy());
    }
    if line.chars().count() > 300 {
        line = line.chars().take(300).chain("…".chars()).collect();
    }
    format!("`{line}`")
}

/// Cargo as a person calls it. What `cargo run` told this program of itself is left out: build scripts that watch one of those
/// variables would take it for a change, and most of the workspace would be compiled again for each of the two callers.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.env_remove("CARGO_MANIFEST_DIR");
    command
}

/// Asks until the answer is yes, or fails with `what` and the last complaint when the time is over.
pub(crate) fn wait_until(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let start = Instant::now();
    loop {
        let answer = ready();
        if matches!(answer, Ok(true)) {
            return Ok(start.elapsed());
        }
        if start.elapsed() > limit {
            return match answer {
                Err(complaint) => Err(complaint.context(format!("{what}: not after {} s", limit.as_secs()))),
                Ok(_) => bail!("{what}: not after {} s", limit.as_secs()),
            };
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
