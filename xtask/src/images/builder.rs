//! `slipway build` on a Dockerfile: the one of this repository, or another.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::Image;
use crate::{
    bases,
    cluster::Access,
    host::{command::Run, folders},
};

/// Builds targets of one Dockerfile with one store.
pub(crate) struct Builder<'a> {
    slipway: PathBuf,
    access: Option<&'a Access>,
    file: PathBuf,
    context: PathBuf,
    store: PathBuf,
    words: Vec<String>,
}

impl<'a> Builder<'a> {
    /// Builds what the repository's Dockerfile says with the program in a folder; with a cluster, by its registry, plainly
    /// and from its bases.
    pub(crate) fn new(programs: &Path, access: Option<&'a Access>) -> Result<Self> {
        let mut words = Vec::new();
        if let Some(access) = access {
            bases::ensure(access, &["debian"])?;
            words.extend(["--insecure-registry".to_owned(), access.registry().to_owned()]);
            words.extend(["--registry-mirror".to_owned(), format!("docker.io={}", access.registry())]);
        }
        Ok(Self {
            slipway: programs.join("slipway"),
            access,
            file: folders::checkout().join("Dockerfile"),
            context: folders::checkout(),
            store: folders::cache()?.join("store"),
            words,
        })
    }

    /// Another Dockerfile.
    pub(crate) fn of(self, file: &Path, context: &Path) -> Self {
        Self { file: file.to_owned(), context: context.to_owned(), ..self }
    }

    /// Another store.
    pub(crate) fn store(self, store: &Path) -> Self {
        Self { store: store.to_owned(), ..self }
    }

    /// Puts compiled programs in the place of the stage `programs`, so that nothing is compiled.
    pub(crate) fn compiled(self, programs: &Path) -> Result<Self> {
        // A folder of their own: beside them lies everything that cargo made on the way.
        let folder = folders::target().join("images");
        folders::make(&folder)?;
        for program in ["slipway", "slipway-operator", "slipway-executor"] {
            fs::copy(programs.join(program), folder.join(program))
                .with_context(|| format!("failed to copy {program}"))?;
        }
        let stand_in = format!("programs={}", folder.display());
        Ok(self.words(["--build-context".to_owned(), stand_in]))
    }

    /// Compiles in the Dockerfile's own stage, with a profile of cargo.
    pub(crate) fn compiling(self, profile: &str) -> Result<Self> {
        if let Some(access) = self.access {
            bases::ensure(access, &["rust"])?;
        }
        Ok(self.words(["--build-arg".to_owned(), format!("PROFILE={profile}")]))
    }

    /// More words of the command line.
    pub(crate) fn words(mut self, words: impl IntoIterator<Item = String>) -> Self {
        self.words.extend(words);
        self
    }

    /// Builds a target and pushes it.
    pub(crate) fn push(&self, target: &str, tag: &str, output: &str) -> Result<Image> {
        let digest_file = folders::target().join(format!("{target}.digest"));
        self.command(target, output).args(["--tag", tag, "--iidfile"]).arg(&digest_file).run()?;
        let digest = fs::read_to_string(&digest_file).with_context(|| format!("no digest of {target}"))?;
        fs::remove_file(&digest_file).context("failed to delete the file with the digest")?;
        let (repository, _) = tag.rsplit_once(':').context("an image without tag")?;
        Ok(Image { repository: repository.to_owned(), digest: digest.trim().to_owned() })
    }

    /// Builds a target and writes its files into a folder.
    pub(crate) fn export(&self, target: &str, folder: &Path) -> Result<()> {
        self.command(target, &format!("type=local,dest={}", folder.display())).run()
    }

    fn command(&self, target: &str, output: &str) -> Command {
        let mut command = Command::new(&self.slipway);
        command
            .arg("build")
            .arg("--file")
            .arg(&self.file)
            .args(["--target", target, "--output", output, "--progress", "plain"])
            .args(&self.words)
            .arg("--root")
            .arg(&self.store)
            // The last word: a command adds its options behind it as well.
            .arg(&self.context);
        command
    }
}
