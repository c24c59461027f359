//! Slipway itself: the static program as it is released, as root, with a store of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use super::{Builder, Job, common, complete};
use crate::{
    host::command::Run,
    speed::{meter, volume::Volume},
};

#[derive(Clone)]
pub(in crate::speed) struct Slipway {
    /// Resolved, since that is what the kernel tells of a process.
    pub(in crate::speed) program: PathBuf,
    /// A file system of its own for what it stores.
    pub(in crate::speed) volume: Volume,
    /// The registry that has the bases.
    pub(in crate::speed) mirror: String,
}

impl Slipway {
    /// The command of a build, to start or to look into.
    pub(in crate::speed) fn command(&self, job: &Job<'_>) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("build")
            .arg("--root")
            .arg(self.volume.folder().join("store"))
            .args(["--progress", "plain"]);
        command.args(["--insecure-registry", &self.mirror]);
        command.arg("--registry-mirror").arg(format!("docker.io={}", self.mirror));
        command.args(common(job, |path| path.display().to_string()));
        if job.tag.is_some() {
            command.arg("--push");
        }
        if job.pull {
            command.arg("--pull");
        }
        command.arg(job.context);
        command
    }
}

impl Builder for Slipway {
    fn name(&self) -> &'static str {
        "slipway"
    }

    fn version(&self) -> Result<String> {
        Ok(Command::new(&self.program).arg("--version").text()?.trim().to_owned())
    }

    fn engine(&self) -> Vec<String> {
        self.program.file_name().map(|name| name.to_string_lossy().into_owned()).into_iter().collect()
    }

    fn reset(&self) -> Result<()> {
        self.rest()?;
        self.volume.renew()
    }

    fn build(&self, job: &Job<'_>) -> Result<()> {
        complete(&self.command(job))
    }

    fn end(&self) -> Result<()> {
        self.rest()?;
        self.volume.remove()
    }

    fn rest(&self) -> Result<()> {
        meter::wait_for_end_of(&self.program, Duration::from_mins(3))
    }
}

/// Finds the program that was compiled for releases.
pub(in crate::speed) fn program(programs: &Path) -> Result<PathBuf> {
    let program = programs.join("slipway");
    std::fs::canonicalize(&program).with_context(|| format!("there is no {}", program.display()))
}
