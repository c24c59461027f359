//! BuildKit as the Docker daemon has it inside.

use anyhow::Result;

use super::{Builder, Job, common, complete, hosted, names};
use crate::{
    host::{command::Run, daemon::Process},
    peers::Peer,
};

pub(in crate::speed) struct Buildkit;

impl Builder for Buildkit {
    fn name(&self) -> &'static str {
        "buildkit"
    }

    fn version(&self) -> Result<String> {
        let words = ["docker", "version", "--format", "BuildKit in Docker {{.Server.Version}}"];
        Ok(Peer::Buildkit.inside()?.args(words).text()?.trim().to_owned())
    }

    fn engine(&self) -> Vec<String> {
        names(&["dockerd", "containerd", "docker", "docker-buildx", "buildx", "runc", "docker-proxy"])
    }

    fn daemon(&self) -> Result<Option<Process>> {
        Peer::Buildkit.process()
    }

    fn reset(&self) -> Result<()> {
        let docker = |words: &[&str]| Peer::Buildkit.inside()?.arg("docker").args(words).text().map(drop);
        docker(&["buildx", "prune", "--all", "--force"])?;
        docker(&["system", "prune", "--all", "--force"])
    }

    fn build(&self, job: &Job<'_>) -> Result<()> {
        let mut build = Peer::Buildkit.inside()?;
        build
            .args(["docker", "buildx", "build", "--network=host", "--allow=network.host"])
            .args(["--progress=plain", "--provenance=false"])
            .args(common(job, hosted));
        if job.tag.is_some() {
            build.arg("--push");
        }
        if job.pull {
            build.arg("--pull");
        }
        complete(build.arg(hosted(job.context)))
    }
}
