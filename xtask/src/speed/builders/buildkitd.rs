//! A BuildKit daemon that is given by path, with its `buildctl` beside it.

use std::{fmt::Write, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result};

use super::{Builder, Job, complete, names};
use crate::host::{
    command::{Run, wait_until},
    daemon::{Daemon, Process},
    folders, parts,
};
use crate::speed::volume::Volume;

pub(in crate::speed) struct Buildkitd {
    pub(in crate::speed) program: PathBuf,
    pub(in crate::speed) volume: Volume,
    pub(in crate::speed) mirror: String,
    /// The registry that is pushed to, where it would not be asked plainly: off loopback.
    pub(in crate::speed) plain: Option<String>,
}

impl Buildkitd {
    /// Starts the daemon over an empty store.
    fn start(&self) -> Result<()> {
        let settings = self.volume.folder().join("buildkitd.toml");
        let mirror = &self.mirror;
        let mut text = format!("[registry.\"docker.io\"]\nmirrors = [\"{mirror}\"]\n");
        for plain in std::iter::once(mirror).chain(&self.plain) {
            // Writing to a text cannot fail.
            let _ = write!(text, "[registry.\"{plain}\"]\nhttp = true\ninsecure = true\n");
        }
        folders::write(&settings, text)?;
        let runc = parts::RUNC.ensure()?.join("runc");
        self.process().ensure(&self.program, |command| {
            command.arg("--config").arg(&settings).arg("--root").arg(self.volume.folder().join("data"));
            command.args(["--oci-worker=true", "--containerd-worker=false"]);
            command.arg("--addr").arg(self.address()).arg("--oci-worker-binary").arg(&runc);
        })?;
        wait_until("answer of buildkitd", Duration::from_secs(30), || {
            self.process().must_run()?;
            Ok(self.command().args(["debug", "workers"]).succeeds())
        })
        .map(drop)
    }

    fn process(&self) -> Daemon {
        Daemon::new(self.volume.folder(), "buildkitd")
    }

    fn address(&self) -> String {
        format!("unix://{}", self.volume.folder().join("socket").display())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program.with_file_name("buildctl"));
        command.arg("--addr").arg(self.address());
        command
    }
}

impl Builder for Buildkitd {
    fn name(&self) -> &'static str {
        "buildkitd"
    }

    fn version(&self) -> Result<String> {
        Ok(Command::new(self.program.with_file_name("buildctl")).arg("--version").text()?.trim().to_owned())
    }

    fn engine(&self) -> Vec<String> {
        names(&["buildkitd", "buildctl", "runc"])
    }

    fn daemon(&self) -> Result<Option<Process>> {
        Ok(self.process().process())
    }

    fn reset(&self) -> Result<()> {
        self.end()?;
        self.volume.renew()?;
        self.start()
    }

    fn build(&self, job: &Job<'_>) -> Result<()> {
        let mut build = self.command();
        build.args(["build", "--progress=plain", "--frontend=dockerfile.v0"]);
        build.arg(format!("--local=context={}", job.context.display()));
        let beside = job.dockerfile.parent().context("a Dockerfile without a folder")?;
        build.arg(format!("--local=dockerfile={}", beside.display()));
        for (name, value) in &job.arguments {
            build.arg(format!("--opt=build-arg:{name}={value}"));
        }
        if job.pull {
            build.arg("--opt=image-resolve-mode=pull");
        }
        if let Some(tag) = &job.tag {
            build.arg(format!("--output=type=image,name={tag},push=true"));
        }
        complete(&build)
    }

    fn end(&self) -> Result<()> {
        self.process().stop(Duration::from_secs(20))?;
        self.volume.remove()
    }
}
