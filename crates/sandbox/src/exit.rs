//! How a command ended and what it used.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It returned this code; 127 where the program was not found, 126 where it could not be started.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// The kernel killed it, or a process of it, for want of memory.
    OutOfMemory,
}

impl Exit {
    /// Returns whether the command succeeded.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// Reads the status word of `wait`.
    pub(crate) fn from_wait(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }

    /// Returns whether this is how a command ends that the kernel, or its own shell's child, was killed by SIGKILL.
    pub(crate) fn looks_killed(self) -> bool {
        matches!(self, Self::Signal(libc::SIGKILL) | Self::Code(137))
    }
}

/// What all processes of a command used together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time in programs.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// The largest resident size of any one process, in bytes.
    pub max_rss: u64,
}

/// The end of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// What it used.
    pub usage: Usage,
}
