//! A BuildKit daemon that is given by path, with its `buildctl` beside it.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result};

use super::{Builder, Job, complete, names};
use crate::host::{
    command::{Run, wait_until},
    daemon::{Daemon, Process},
    folders, mounts, parts,
};

pub(in crate::speed) struct Buildkitd {
    client: PathBuf,
    folder: PathBuf,
}

impl Buildkitd {
    /// Starts the daemon with a store of its own.
    pub(in crate::speed) fn start(program: &std::path::Path, folder: PathBuf, mirror: &str) -> Result<Self> {
        let client = program.with_file_name("buildctl");
        anyhow::ensure!(client.is_file(), "there is no {}: it must lie beside buildkitd", client.display());
        folders::make(&folder)?;
        let settings = folder.join("buildkitd.toml");
        let text = format!(
            "[registry.\"docker.io\"]\nmirrors = [\"{mirror}\"]\n[registry.\"{mirror}\"]\nhttp = true\ninsecure = true\n"
        );
        folders::write(&settings, text)?;
        let runc = parts::RUNC.ensure()?.join("runc");
        let this = Self { client, folder };
        this.process().ensure(program, |command| {
            command.arg("--config").arg(&settings).arg("--root").arg(this.folder.join("data"));
            command.arg("--addr").arg(this.address()).arg("--oci-worker-binary").arg(&runc);
        })?;
        wait_until("answer of buildkitd", Duration::from_secs(30), || {
            this.process().must_run()?;
            Ok(this.command().args(["debug", "workers"]).succeeds())
        })?;
        Ok(this)
    }

    fn process(&self) -> Daemon {
        Daemon::new(&self.folder, "buildkitd")
    }

    fn address(&self) -> String {
        format!("unix://{}", self.folder.join("socket").display())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.client);
        command.arg("--addr").arg(self.address());
        command
    }
}

impl Builder for Buildkitd {
    fn name(&self) -> &'static str {
        "buildkitd"
    }

    fn version(&self) -> Result<String> {
        Ok(Command::new(&self.client).arg("--version").text()?.trim().to_owned())
    }

    fn engine(&self) -> Vec<String> {
        names(&["buildkitd", "buildctl", "runc"])
    }

    fn daemon(&self) -> Result<Option<Process>> {
        Ok(self.process().process())
    }

    fn reset(&self) -> Result<()> {
        self.command().args(["prune", "--all"]).text().map(drop)
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
        mounts::unmount_below(&self.folder)?;
        mounts::delete(&self.folder)
    }
}
