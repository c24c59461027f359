//! buildah, which has no daemon: a build and a push.

use anyhow::Result;

use super::{Builder, Job, common, complete, hosted, names};
use crate::{
    host::command::Run,
    peers::{Peer, Settings},
    speed::volume::Volume,
};

pub(in crate::speed) struct Buildah {
    pub(in crate::speed) volume: Volume,
    pub(in crate::speed) mirror: String,
}

const STORAGE: &str = "--storage-driver=overlay";

impl Builder for Buildah {
    fn name(&self) -> &'static str {
        "buildah"
    }

    fn version(&self) -> Result<String> {
        Ok(Peer::Buildah.inside()?.args(["buildah", "--version"]).text()?.trim().to_owned())
    }

    fn engine(&self) -> Vec<String> {
        names(&["buildah", "runc", "conmon"])
    }

    fn reset(&self) -> Result<()> {
        self.end()?;
        self.volume.renew()?;
        let registry = Some(self.mirror.as_str());
        Peer::Buildah.up_with(&Settings { data: Some(self.volume.folder()), registry, flags: &[] })
    }

    fn end(&self) -> Result<()> {
        Peer::Buildah.stop()?;
        self.volume.remove()
    }

    fn build(&self, job: &Job<'_>) -> Result<()> {
        let mut build = Peer::Buildah.inside()?;
        build
            .args(["buildah", STORAGE, "build", "--isolation=oci", "--runtime=/usr/local/sbin/runc"])
            .args(["--network=host", "--layers", "--jobs=4", "--tls-verify=false"])
            // It would raise these, which takes a capability that not every root has.
            .args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"])
            .args(common(job, hosted));
        if job.pull {
            build.arg("--pull=always");
        }
        complete(build.arg(hosted(job.context)))?;
        let Some(tag) = &job.tag else { return Ok(()) };
        complete(Peer::Buildah.inside()?.args(["buildah", STORAGE, "push", "--tls-verify=false", tag]))
    }
}
