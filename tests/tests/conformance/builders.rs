//! Who builds a case: Slipway, or one of the builders that `cargo xtask peers` starts.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::listing::Built;
use crate::user::User;

/// A builder, or what BuildKit once made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builder {
    Slipway,
    Buildkit,
    Buildah,
    /// `expected.txt`, written by BuildKit.
    Stored,
}

impl Builder {
    pub(crate) fn of(variable: &str, default: Self) -> Result<Self> {
        match std::env::var(variable).unwrap_or_default().as_str() {
            "" => Ok(default),
            "slipway" => Ok(Self::Slipway),
            "buildkit" => Ok(Self::Buildkit),
            "buildah" => Ok(Self::Buildah),
            "stored" => Ok(Self::Stored),
            other => bail!("{variable}: there is no builder `{other}`"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Slipway => "Slipway",
            Self::Buildkit => "BuildKit",
            Self::Buildah => "buildah",
            Self::Stored => "BuildKit (stored)",
        }
    }
}

/// A prepared case.
pub(crate) struct Job<'a> {
    /// Has the context, and takes results.
    pub(crate) place: &'a Path,
    pub(crate) flags: Vec<String>,
    pub(crate) environment: &'a Environment,
}

/// What is the same for all cases.
pub(crate) struct Environment {
    /// Keeps Slipway's store and program.
    pub(crate) place: PathBuf,
    pub(crate) user: Option<User>,
}

/// What came of a build: the image, or what the builder said.
pub(crate) type Outcome = std::result::Result<Built, String>;

impl Environment {
    fn slipway(&self) -> Result<Command> {
        match &self.user {
            Some(user) => Ok(user.command()),
            None => Ok(Command::new(slipway_tests::program()?)),
        }
    }
}

pub(crate) fn build(builder: Builder, job: &Job<'_>) -> Result<Outcome> {
    match builder {
        Builder::Slipway => slipway(job),
        Builder::Buildkit => peer("buildkit", job),
        Builder::Buildah => peer("buildah", job),
        Builder::Stored => bail!("what is stored cannot build"),
    }
}

fn slipway(job: &Job<'_>) -> Result<Outcome> {
    let registry = std::env::var("SLIPWAY_TEST_REGISTRY").unwrap_or_default();
    let (tree, image) = (job.place.join("tree.tar"), job.place.join("image"));
    let output = job
        .environment
        .slipway()?
        .args(["build", "--progress", "plain", "--tag", "conformance:latest"])
        .arg("--root")
        .arg(job.environment.place.join("store"))
        .args(["--registry-mirror", &format!("docker.io={registry}"), "--insecure-registry", &registry])
        .args(["--output", &format!("type=tar,dest={}", tree.display())])
        .args(["--output", &format!("type=oci,tar=false,dest={}", image.display())])
        .args(&job.flags)
        .arg(job.place.join("context"))
        .output()?;
    if !output.status.success() {
        return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let read = |path: PathBuf| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    let blob =
        |digest: &Value| image.join("blobs").join(digest.as_str().unwrap_or_default().replace(':', "/"));
    let index = read(image.join("index.json"))?;
    let manifest = read(blob(&index["manifests"][0]["digest"]))?;
    let config = read(blob(&manifest["config"]["digest"]))?;
    Ok(Ok(Built { tree: fs::read(tree)?, config }))
}

fn peer(name: &str, job: &Job<'_>) -> Result<Outcome> {
    let (tree, config) = (job.place.join("peer.tar"), job.place.join("peer.json"));
    // Without cargo where `cargo xtask conformance` started this.
    let mut command = if let Some(program) = std::env::var_os("SLIPWAY_XTASK") {
        Command::new(program)
    } else {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg("xtask");
        cargo
    };
    let words: Vec<OsString> = vec![
        "peers".into(),
        "build".into(),
        "--peer".into(),
        name.into(),
        "--output".into(),
        tree.clone().into(),
        "--config".into(),
        config.clone().into(),
        job.place.join("context").into(),
        "--".into(),
    ];
    let output = command.args(words).args(&job.flags).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Else a peer that is down would pass for a case that fails.
        ensure!(!said.contains("does not run"), "{said}");
        return Ok(Err(said));
    }
    Ok(Ok(Built { tree: fs::read(tree)?, config: serde_json::from_slice(&fs::read(config)?)? }))
}
