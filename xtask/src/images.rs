//! The images of operator and executor: static programs, put into images by Slipway itself.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::{
    bases,
    cluster::Access,
    host::{command::Run, folders, packages},
};

/// Links statically, so that the images need no base.
const TARGET: &str = "x86_64-unknown-linux-musl";
/// Optimised, but compiled fast enough for every test run; releases use `release`.
const PROFILE: &str = "ci";

/// References of the pushed images.
pub(crate) struct Images {
    /// `registry/slipway/operator@sha256:…`
    pub(crate) operator: Image,
    /// `registry/slipway/executor@sha256:…`
    pub(crate) executor: Image,
}

/// A pushed image.
pub(crate) struct Image {
    pub(crate) repository: String,
    pub(crate) digest: String,
}

/// Compiles the programs, builds both images and pushes them.
pub(crate) fn push(access: &Access) -> Result<Images> {
    bases::ensure(access, &["debian"])?;
    let programs = compile()?;
    let context = folders::cache()?.join("images");
    folders::make(&context)?;
    for program in ["slipway-operator", "slipway-executor"] {
        fs::copy(programs.join(program), context.join(program))
            .with_context(|| format!("failed to copy {program}"))?;
    }
    Ok(Images {
        operator: build(access, &programs, &context, "operator")?,
        executor: build(access, &programs, &context, "executor")?,
    })
}

/// Compiles the three programs and returns the folder that they are in.
pub(crate) fn compile() -> Result<std::path::PathBuf> {
    packages::ensure(packages::STATIC)?;
    Command::new("rustup").args(["target", "add", TARGET]).text()?;
    Command::new("cargo")
        .current_dir(folders::checkout())
        .args(["build", "--quiet", "--locked", "--profile", PROFILE, "--target", TARGET])
        .args(["--package", "slipway-cli", "--package", "slipway-executor", "--package", "slipway-operator"])
        .run()?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| folders::checkout().join("target"), Into::into);
    Ok(target.join(TARGET).join(PROFILE))
}

/// Pushes an image with the command line in it, to build with inside a pod, and returns its reference.
pub(crate) fn push_tool(access: &Access) -> Result<String> {
    let programs = compile()?;
    let context = folders::cache()?.join("tool");
    folders::make(&context)?;
    fs::copy(programs.join("slipway"), context.join("slipway")).context("failed to copy slipway")?;
    let file = context.join("Dockerfile");
    let text = format!(
        "FROM {}/slipway/executor:dev AS tool\nCOPY slipway /usr/bin/slipway\nENTRYPOINT []\n",
        access.registry()
    );
    folders::write(&file, text)?;
    let image = build_file(access, &programs, &context, &file, "tool")?;
    Ok(format!("{}@{}", image.repository, image.digest))
}

fn build(access: &Access, programs: &Path, context: &Path, target: &str) -> Result<Image> {
    build_file(access, programs, context, &folders::checkout().join("Dockerfile"), target)
}

fn build_file(access: &Access, programs: &Path, context: &Path, file: &Path, target: &str) -> Result<Image> {
    let repository = format!("{}/slipway/{target}", access.registry());
    let digest_file = context.join(format!("{target}.digest"));
    Command::new(programs.join("slipway"))
        .arg("build")
        .arg("--file")
        .arg(file)
        .args(["--target", target, "--tag", &format!("{repository}:dev"), "--push", "--progress", "plain"])
        .args(["--insecure-registry", access.registry()])
        .args(["--registry-mirror", &format!("docker.io={}", access.registry())])
        .arg("--root")
        .arg(folders::cache()?.join("store"))
        .arg("--iidfile")
        .arg(&digest_file)
        .arg(context)
        .run()?;
    let digest = fs::read_to_string(&digest_file).with_context(|| format!("no digest of {target}"))?;
    Ok(Image { repository, digest: digest.trim().to_owned() })
}
