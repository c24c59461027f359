//! BuildKit as the Docker daemon has it inside.

use anyhow::Result;

use super::{Builder, Job, common, complete, hosted, names};
use crate::{
    host::{command::Run, daemon::Process},
    peers::{Peer, Settings},
    speed::volume::Volume,
};

pub(in crate::speed) struct Buildkit {
    pub(in crate::speed) volume: Volume,
    pub(in crate::speed) mirror: String,
    /// The registry that is pushed to, where Docker does not know that it speaks plain HTTP: off loopback.
    pub(in crate::speed) plain: Option<String>,
}

/// The image store that keeps packed layers, as BuildKit does without Docker and Docker 29 by default: the faster one
/// to push from.
const STORE: &[&str] = &["--feature=containerd-snapshotter=true"];

impl Builder for Buildkit {
    fn name(&self) -> &'static str {
        "buildkit"
    }

    fn version(&self) -> Result<String> {
        let words = [
            "docker",
            "version",
            "--format",
            "BuildKit in Docker {{.Server.Version}}, image store of containerd",
        ];
        Ok(Peer::Buildkit.inside()?.args(words).text()?.trim().to_owned())
    }

    fn engine(&self) -> Vec<String> {
        names(&["dockerd", "containerd", "docker", "docker-buildx", "buildx", "runc", "docker-proxy"])
    }

    fn daemon(&self) -> Result<Option<Process>> {
        Peer::Buildkit.process()
    }

    fn reset(&self) -> Result<()> {
        self.end()?;
        self.volume.renew()?;
        let registry = Some(self.mirror.as_str());
        let plain = self.plain.as_ref().map(|registry| format!("--insecure-registry={registry}"));
        let flags: Vec<&str> = STORE.iter().copied().chain(plain.as_deref()).collect();
        Peer::Buildkit.up_with(&Settings { data: Some(self.volume.folder()), registry, flags: &flags })
    }

    fn end(&self) -> Result<()> {
        Peer::Buildkit.stop()?;
        self.volume.remove()
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
