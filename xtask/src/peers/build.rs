//! Builds with a peer, and gives what is comparable: the flattened tree as an archive, and the image's configuration.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Peer;
use crate::host::{command::Run, mounts};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    peer: Peer,
    /// The Dockerfile; the context's own by default.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Builds up to this stage.
    #[arg(long)]
    target: Option<String>,
    /// A build argument, as NAME=VALUE; may be given several times.
    #[arg(long)]
    build_arg: Vec<String>,
    /// Where to write the flattened tree as tar.
    #[arg(short, long)]
    output: PathBuf,
    /// Where to write the image's configuration as JSON.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Uses nothing that was built before.
    #[arg(long)]
    no_cache: bool,
    /// The folder to build.
    context: PathBuf,
}

const TAG: &str = "slipway-peer-build:latest";

pub(crate) fn run(options: &Options) -> Result<()> {
    let context = absolute(&options.context)?;
    let file = absolute(options.file.as_ref().unwrap_or(&options.context.join("Dockerfile")))?;
    // Made here, so that the peer's own file system is not where results are looked for.
    let scratch = super::folder()?.join(format!("build-{}", std::process::id()));
    mounts::delete(&scratch)?;
    crate::host::folders::make(&scratch)?;
    let outcome = build(options, &context, &file, &scratch);
    mounts::delete(&scratch)?;
    outcome
}

fn build(options: &Options, context: &Path, file: &Path, scratch: &Path) -> Result<()> {
    let mut words: Vec<String> = vec!["--file".into(), hosted(file), "--tag".into(), TAG.into()];
    if let Some(target) = &options.target {
        words.extend(["--target".into(), target.clone()]);
    }
    for argument in &options.build_arg {
        words.extend(["--build-arg".into(), argument.clone()]);
    }
    let tree = scratch.join("tree.tar");
    let config = match options.peer {
        Peer::Buildkit => {
            let mut build = options.peer.inside()?;
            build.args(["docker", "build", "--network=host", "--progress=plain"]).args(&words);
            if options.no_cache {
                build.arg("--no-cache");
            }
            build.arg(hosted(context)).text()?;
            // The same once more, all from its cache, for the tree instead of the image.
            let output = format!("type=tar,dest={}", hosted(&tree));
            let mut export = options.peer.inside()?;
            export
                .args(["docker", "build", "--network=host", "--progress=plain", "--output", &output])
                .args(&words);
            export.arg(hosted(context)).text()?;
            let image = scratch.join("image.tar");
            options.peer.inside()?.args(["docker", "save", "--output", &hosted(&image), TAG]).text()?;
            saved_config(&image)?
        }
        Peer::Buildah => {
            let mut build = options.peer.inside()?;
            build
                .args([
                    "buildah",
                    "--storage-driver=overlay",
                    "build",
                    "--isolation=oci",
                    "--runtime=/usr/local/sbin/runc",
                ])
                .args(["--format=oci", "--network=host", "--layers"])
                // It would raise these, which takes a capability that not every root has.
                .args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"])
                .args(&words);
            if options.no_cache {
                build.arg("--no-cache");
            }
            build.arg(hosted(context)).text()?;
            let script = "container=$(buildah --storage-driver=overlay from \"$1\")
                mount=$(buildah --storage-driver=overlay mount \"$container\")
                tar --create --numeric-owner --xattrs --file \"$2\" --directory \"$mount\" .
                buildah --storage-driver=overlay rm \"$container\" >/dev/null
                buildah --storage-driver=overlay inspect --type image --format '{{.Config}}' \"$1\"";
            let local = format!("localhost/{TAG}");
            options.peer.inside()?.args(["sh", "-euc", script, "export", &local, &hosted(&tree)]).text()?
        }
    };
    fs::copy(&tree, &options.output)
        .with_context(|| format!("failed to write {}", options.output.display()))?;
    if let Some(place) = &options.config {
        let config: Value = serde_json::from_str(&config).context("the peer's configuration is no JSON")?;
        crate::host::folders::write(place, serde_json::to_string_pretty(&config)?)?;
    }
    Ok(())
}

/// The configuration inside an archive of `docker save`, whose manifest names it.
fn saved_config(image: &Path) -> Result<String> {
    let member = |name: &str| {
        Command::new("tar").args(["--extract", "--to-stdout", "--file"]).arg(image).arg(name).text()
    };
    let manifest: Value = serde_json::from_str(&member("manifest.json")?).context("an odd manifest")?;
    member(manifest[0]["Config"].as_str().context("a manifest without a configuration")?)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("there is no {}", path.display()))
}

/// A path of this machine, as the peer sees it.
fn hosted(path: &Path) -> String {
    format!("/host{}", path.display())
}
