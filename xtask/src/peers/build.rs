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
    /// Further flags, for the builder as they are; paths beside the context are found.
    #[arg(last = true)]
    flags: Vec<String>,
}

/// A RUN may use the machine's network there as it may here.
const BUILDKIT: &[&str] =
    &["docker", "buildx", "build", "--network=host", "--allow=network.host", "--progress=plain"];

/// A name for the image of this build alone, so that several can go on at once.
fn tag() -> String {
    format!("slipway-peer-build:{}", std::process::id())
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let context = absolute(&options.context)?;
    let usual = ["Dockerfile", "dockerfile"].map(|name| options.context.join(name));
    let usual = usual.iter().find(|file| file.exists()).unwrap_or(&usual[0]);
    let file = absolute(options.file.as_ref().unwrap_or(usual))?;
    // Made here, so that the peer's own file system is not where results are looked for.
    let scratch = super::folder()?.join(format!("build-{}", std::process::id()));
    mounts::delete(&scratch)?;
    crate::host::folders::make(&scratch)?;
    let outcome = build(options, &context, &file, &scratch);
    mounts::delete(&scratch)?;
    outcome
}

fn build(options: &Options, context: &Path, file: &Path, scratch: &Path) -> Result<()> {
    let tag = tag();
    let mut words: Vec<String> = vec!["--file".into(), hosted(file), "--tag".into(), tag.clone()];
    if let Some(target) = &options.target {
        words.extend(["--target".into(), target.clone()]);
    }
    for argument in &options.build_arg {
        words.extend(["--build-arg".into(), argument.clone()]);
    }
    if let Some(beside) = context.parent() {
        let (here, there) = (beside.display().to_string(), hosted(beside));
        words.extend(options.flags.iter().map(|flag| flag.replace(&here, &there)));
    }
    let tree = scratch.join("tree.tar");
    let config = match options.peer {
        Peer::Buildkit => {
            let mut build = options.peer.inside()?;
            build.args(BUILDKIT).args(&words);
            if options.no_cache {
                build.arg("--no-cache");
            }
            build.arg(hosted(context)).text()?;
            // The same once more, all from its cache, for the tree instead of the image.
            let output = format!("type=tar,dest={}", hosted(&tree));
            let mut export = options.peer.inside()?;
            export.args(BUILDKIT).args(["--output", &output]).args(&words);
            export.arg(hosted(context)).text()?;
            let image = scratch.join("image.tar");
            options.peer.inside()?.args(["docker", "save", "--output", &hosted(&image), &tag]).text()?;
            options.peer.inside()?.args(["docker", "image", "rm", &tag]).text()?;
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
                .args(["--format=docker", "--network=host", "--layers", "--identity-label=false"])
                // It would raise these, which takes a capability that not every root has.
                .args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"])
                .args(&words);
            if options.no_cache {
                build.arg("--no-cache");
            }
            build.arg(hosted(context)).text()?;
            let script = "container=$(buildah --storage-driver=overlay from \"$1\")
                mount=$(buildah --storage-driver=overlay mount \"$container\")
                tar --create --numeric-owner --xattrs --xattrs-include='*' --file \"$2\" --directory \"$mount\" .
                buildah --storage-driver=overlay rm \"$container\" >/dev/null
                buildah --storage-driver=overlay inspect --type image --format '{{.Config}}' \"$1\"
                buildah --storage-driver=overlay rmi \"$1\" >/dev/null 2>&1 || true";
            let local = format!("localhost/{tag}");
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
