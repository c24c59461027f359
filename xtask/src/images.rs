//! The images of operator and executor: static programs, put into images by Slipway itself.

mod builder;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

pub(crate) use builder::Builder;

use crate::{
    cluster::Access,
    host::{
        command::{Run, cargo},
        folders, packages,
    },
};

/// Links statically, so that the images need no base.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-musl";
/// Optimised, but compiled fast enough for every test run; releases use `release`.
pub(crate) const PROFILE: &str = "ci";

/// Compressed as fast as it goes, for images that live for one test.
pub(crate) const QUICK: &str = "type=registry";
/// Compressed as small as it goes, for images that many nodes pull.
pub(crate) const SMALL: &str = "type=registry,compression=zstd,compression-level=19";

/// References of the pushed images.
pub(crate) struct Images {
    /// `registry/slipway/operator@sha256:…`
    pub(crate) operator: Image,
    /// `registry/slipway/executor@sha256:…`
    pub(crate) executor: Image,
}

impl std::str::FromStr for Images {
    type Err = anyhow::Error;

    /// Reads `operator@sha256:…,executor@sha256:…`.
    fn from_str(text: &str) -> Result<Self> {
        let image = |reference: &str| {
            let (repository, digest) = reference.split_once('@')?;
            Some(Image { repository: repository.to_owned(), digest: digest.to_owned() })
        };
        let both = text.split_once(',').and_then(|(operator, executor)| {
            Some(Self { operator: image(operator)?, executor: image(executor)? })
        });
        both.context("SLIPWAY_IMAGES must be `operator@sha256:…,executor@sha256:…`")
    }
}

/// A pushed image.
pub(crate) struct Image {
    pub(crate) repository: String,
    pub(crate) digest: String,
}

/// Compiles the programs, builds both images and pushes them; images that `SLIPWAY_IMAGES` names are taken instead.
pub(crate) fn push(access: &Access) -> Result<Images> {
    if let Some(named) = named()? {
        return Ok(named);
    }
    push_compiled(access, &compile(PROFILE)?)
}

/// The images that `SLIPWAY_IMAGES` names, if it names some.
pub(crate) fn named() -> Result<Option<Images>> {
    std::env::var("SLIPWAY_IMAGES")
        .ok()
        .filter(|named| !named.is_empty())
        .map(|named| named.parse())
        .transpose()
}

/// Builds both images of programs that are compiled, and pushes them.
pub(crate) fn push_compiled(access: &Access, programs: &Path) -> Result<Images> {
    let builder = Builder::new(programs, Some(access))?.compiled(programs)?;
    let image =
        |target: &str| builder.push(target, &format!("{}/slipway/{target}:dev", access.registry()), QUICK);
    Ok(Images { operator: image("operator")?, executor: image("executor")? })
}

/// Tells what is missing for [`push`] before a cluster is booted for it.
pub(crate) fn prerequisites() -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!(
            "images are built for {TARGET}, and this machine is {}\n\
             help: name images that are there already in SLIPWAY_IMAGES",
            std::env::consts::ARCH
        );
    }
    if packages::on_path("rustup").is_none() {
        bail!(
            "static programs need the target {TARGET} of the toolchain, and there is no `rustup` on PATH\n\
             help: install it from https://rustup.rs; a distribution's own Rust will not do"
        );
    }
    packages::ensure(packages::STATIC)
}

/// Compiles the three programs and returns the folder that they are in.
pub(crate) fn compile(profile: &str) -> Result<PathBuf> {
    prerequisites()?;
    Command::new("rustup").args(["target", "add", TARGET]).text()?;
    cargo()
        .current_dir(folders::checkout())
        .args(["build", "--quiet", "--locked", "--profile", profile, "--target", TARGET])
        .args(["--package", "slipway-cli", "--package", "slipway-executor", "--package", "slipway-operator"])
        .run()?;
    Ok(folders::target().join(TARGET).join(profile))
}

/// Pushes an image with the command line in it, to build with inside a pod, and returns its reference.
pub(crate) fn push_tool(access: &Access) -> Result<String> {
    let programs = compile(PROFILE)?;
    let context = folders::cache()?.join("tool");
    folders::make(&context)?;
    fs::copy(programs.join("slipway"), context.join("slipway")).context("failed to copy slipway")?;
    let file = context.join("Dockerfile");
    let text = format!(
        "FROM {}/slipway/executor:dev AS tool\nCOPY slipway /usr/bin/slipway\nENTRYPOINT []\n",
        access.registry()
    );
    folders::write(&file, text)?;
    let tag = format!("{}/slipway/tool:dev", access.registry());
    let image = Builder::new(&programs, Some(access))?.of(&file, &context).push("tool", &tag, QUICK)?;
    Ok(format!("{}@{}", image.repository, image.digest))
}
