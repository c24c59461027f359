//! Builds one case with the program itself, into the cluster's registry.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::catalogue::Case;
use crate::{
    cluster::Access,
    host::{folders, mounts},
};

/// Everything that all builds share.
pub(super) struct Builder {
    program: PathBuf,
    registry: String,
    store: PathBuf,
    scratch: PathBuf,
}

/// What came of a build.
pub(super) enum Outcome {
    Built(Built),
    Failed { said: String, seconds: f64 },
}

/// An image in the registry.
pub(super) struct Built {
    /// Its name with its digest.
    pub(super) image: String,
    pub(super) seconds: f64,
    /// Compressed bytes.
    pub(super) size: u64,
    /// Unpacked bytes.
    pub(super) unpacked: u64,
    /// Unpacked bytes of the largest stage.
    pub(super) largest: u64,
}

impl Builder {
    pub(super) fn new(access: &Access, program: PathBuf, fresh: bool) -> Result<Self> {
        let scratch = env::temp_dir().join(format!("slipway-seeds-{}", std::process::id()));
        folders::make(&scratch.join("empty"))?;
        let store = if fresh { scratch.join("store") } else { folders::cache()?.join("store") };
        Ok(Self { program, registry: access.registry().to_owned(), store, scratch })
    }

    /// Builds and pushes; a build that fails is an outcome, and only what keeps it from starting is an error.
    pub(super) fn build(&self, case: &Case) -> Result<Outcome> {
        let repository = format!("{}/seeds/{}", self.registry, case.block);
        let metadata = self.scratch.join("metadata.json");
        let start = Instant::now();
        let output = Command::new(&self.program)
            .args(["build", "--push", "--progress", "plain", "--tag", &repository])
            .arg("--file")
            .arg(self.dockerfile(case)?)
            .args(["--insecure-registry", &self.registry])
            .args(["docker.io", "gcr.io"].map(|host| format!("--registry-mirror={host}={}", self.registry)))
            .arg("--root")
            .arg(&self.store)
            .arg("--metadata-file")
            .arg(&metadata)
            .args(case.targets.iter().map(|target| format!("--target={target}")))
            .args(case.args.iter().map(|(name, value)| format!("--build-arg={name}={value}")))
            .arg(case.context().unwrap_or_else(|| self.scratch.join("empty")))
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("failed to start {}", self.program.display()))?;
        let seconds = start.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Ok(Outcome::Failed { said, seconds });
        }
        let document = fs::read(&metadata).context("the build wrote no metadata")?;
        let document: Value = serde_json::from_slice(&document)?;
        // One entry for each target that became an image, or the entry itself where only one did.
        let image = case.targets.last().and_then(|target| document.get(target)).unwrap_or(&document);
        let number = |name: &str| image[name].as_u64().with_context(|| format!("the metadata has no {name}"));
        let digest = image["containerimage.digest"].as_str().context("the metadata has no digest")?;
        Ok(Outcome::Built(Built {
            image: format!("{repository}@{digest}"),
            seconds,
            size: number("slipway.size")?,
            unpacked: number("slipway.unpacked")?,
            largest: number("slipway.largest")?,
        }))
    }

    /// The Dockerfile as the document has it, or completed.
    fn dockerfile(&self, case: &Case) -> Result<PathBuf> {
        if case.is_verbatim() {
            return Ok(case.dockerfile());
        }
        let file = self.scratch.join("Dockerfile");
        folders::write(&file, case.text()?)?;
        Ok(file)
    }

    /// Removes what the builds left, except for the cache where it is the usual one.
    pub(super) fn clean(&self) -> Result<()> {
        mounts::delete(&self.scratch)
    }
}
