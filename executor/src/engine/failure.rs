//! Why a step failed, and how to tell people: the lines of the Dockerfile, the command, its end, its last words.

use std::fmt;

use slipway_sandbox::Exit as SandboxExit;

use crate::event::StepAt;
use crate::room::{self, is_full};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With a code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// The kernel killed it for want of memory.
    OutOfMemory,
}

impl From<SandboxExit> for Exit {
    fn from(exit: SandboxExit) -> Self {
        match exit {
            SandboxExit::Code(code) => Self::Code(code),
            SandboxExit::Signal(signal) => Self::Signal(signal),
            SandboxExit::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl Exit {
    /// Returns the code as a shell would give it.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
            Self::OutOfMemory => 137,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(127) => write!(f, "exit code 127 (the command was not found)"),
            Self::Code(126) => write!(f, "exit code 126 (the command could not be started)"),
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}{}", signal_name(*signal)),
            Self::OutOfMemory => {
                write!(f, "out of memory: the kernel killed it (raise the memory limit, or do less at once)")
            }
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        2 => " (SIGINT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

/// Why a step failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The command ran and did not succeed.
    #[error("the command ended with {exit}")]
    Command {
        /// How.
        exit: Exit,
        /// The last lines of its output.
        tail: Vec<String>,
    },
    /// The instruction asks for what cannot be: a missing file, an unknown user.
    #[error("{0}")]
    Instruction(String),
    /// An image could not be had.
    #[error("{0}")]
    Image(String),
    /// There is no such image, or not with these credentials.
    #[error("{0}")]
    NoImage(String),
    /// A layer of an imported cache could not be had, and is not counted on any more.
    #[error("{0}")]
    Lost(String),
    /// A download or clone failed.
    #[error("{0}")]
    Fetch(String),
    /// The sandbox could not be set up.
    #[error("{0}")]
    Sandbox(String),
    /// The store, the disk, a pod: another try may help.
    #[error("{0}")]
    Infrastructure(String),
    /// The volume that layers are written to is full.
    #[error("{why}; {room}")]
    Full {
        /// What failed.
        why: String,
        /// How full which volume is, and what to do.
        room: String,
        /// The last lines of a command's output.
        tail: Vec<String>,
    },
    /// The build was stopped.
    #[error("the build was stopped")]
    Cancelled,
}

impl Cause {
    /// Returns a stable word for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Command { exit: Exit::OutOfMemory, .. } => "OutOfMemory",
            Self::Command { .. } => "RunFailed",
            Self::Instruction(_) => "InstructionFailed",
            Self::Image(_) => "ImagePullFailed",
            Self::NoImage(_) => "ImageNotFound",
            Self::Lost(_) => "CacheImportFailed",
            Self::Fetch(_) => "FetchFailed",
            Self::Sandbox(_) => "SandboxFailed",
            Self::Infrastructure(_) => "InfrastructureFault",
            Self::Full { .. } => "DiskFull",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Tells whether another try may help without a change by the user.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Image(_) | Self::Lost(_) | Self::Fetch(_) | Self::Infrastructure(_))
    }

    /// Describes an error with all its sources, for the causes that carry text.
    pub fn text(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            source = error.source();
        }
        text
    }
}

impl From<slipway_store::Error> for Cause {
    fn from(error: slipway_store::Error) -> Self {
        let text = Self::text(&error);
        match error {
            slipway_store::Error::Io { path, .. } if is_full(&text) => room::full(text, &path, vec![]),
            _ => Self::Infrastructure(text),
        }
    }
}

/// A step that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Its place.
    pub at: StepAt,
    /// The stage's name.
    pub stage: String,
    /// The instruction on one line.
    pub title: String,
    /// Its first line in the Dockerfile.
    pub line: usize,
    /// Its last line.
    pub end_line: usize,
    /// Why.
    pub cause: Cause,
}

impl Failed {
    /// Returns the last lines of the command's output.
    pub fn tail(&self) -> &[String] {
        match &self.cause {
            Cause::Command { tail, .. } | Cause::Full { tail, .. } => tail,
            _ => &[],
        }
    }

    /// Returns the exit code, where a command ran.
    pub fn exit_code(&self) -> Option<i32> {
        match &self.cause {
            Cause::Command { exit, .. } => Some(exit.code()),
            _ => None,
        }
    }
}

/// A failure beside the lines of the Dockerfile that it comes from.
#[derive(Debug)]
pub struct Excerpt<'a> {
    /// The failure.
    pub failed: &'a Failed,
    /// The Dockerfile's path, for people.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Lines shown before and after the instruction.
const AROUND: usize = 2;

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { stage, title, line, end_line, cause, .. } = self.failed;
        writeln!(f, "error: stage `{stage}`: {cause}")?;
        writeln!(f, "  --> {}:{line}", self.path)?;
        let first = line.saturating_sub(AROUND).max(1);
        let last = end_line.max(line) + AROUND;
        let width = last.to_string().len();
        for (number, text) in (1..).zip(self.text.lines()).skip(first - 1).take(last + 1 - first) {
            let mark = if (*line..=*end_line.max(line)).contains(&number) { '>' } else { ' ' };
            writeln!(f, "{mark} {number:width$} | {text}")?;
        }
        writeln!(f, "  instruction: {title}")?;
        let tail = self.failed.tail();
        if !tail.is_empty() {
            writeln!(f, "  last lines of its output:")?;
            for line in tail {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_excerpt_marks_the_failing_lines() {
        let failed = Failed {
            at: StepAt { stage: 0, step: 1 },
            stage: "build".into(),
            title: "RUN make all".into(),
            line: 3,
            end_line: 4,
            cause: Cause::Command { exit: Exit::Code(2), tail: vec!["make: *** No rule".into()] },
        };
        let text = "FROM a\nCOPY . .\nRUN make \\\n  all\nUSER x\nCMD y\n";
        let shown = Excerpt { failed: &failed, path: "Dockerfile", text }.to_string();
        let expected = "error: stage `build`: the command ended with exit code 2\n  --> Dockerfile:3\n  1 | FROM a\n  2 | COPY . .\n\
                        > 3 | RUN make \\\n> 4 |   all\n  5 | USER x\n  6 | CMD y\n  instruction: RUN make all\n  last lines of its output:\n    \
                        make: *** No rule\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn signals_become_codes_as_in_a_shell() {
        assert_eq!(Exit::Signal(9).code(), 137);
        assert_eq!(Exit::OutOfMemory.code(), 137);
        assert!(Exit::OutOfMemory.to_string().contains("memory"));
    }
}
