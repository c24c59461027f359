//! Programs and images of a release, from the repository's Dockerfile by Slipway itself, twice if asked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::Options;
use crate::{
    cluster::Access,
    host::{command::Run, folders},
    images::{self, Builder, SMALL},
};

/// What is made, and where it goes.
pub(super) struct Making<'a> {
    pub(super) options: &'a Options,
    pub(super) version: &'a str,
    /// `host/path` of the images.
    pub(super) place: &'a str,
    pub(super) access: Option<&'a Access>,
}

impl Making<'_> {
    /// Returns the folder of the programs, and the images as `name:version@digest`.
    pub(super) fn make(&self) -> Result<(PathBuf, Vec<String>)> {
        // What builds need not be what is released: any Slipway makes the same of the same Dockerfile.
        let ours = images::compile(images::PROFILE)?;
        let store = folders::cache()?.join("store");
        let (programs, references) = self.once(&ours, &store, "first")?;
        if self.options.twice {
            let store = folders::target().join("release/store");
            delete(&store)?;
            let again = self.once(&ours, &store, "again")?;
            // A store of which little is used: its files may be read-only, its folders are ours.
            delete(&store)?;
            ensure!(again.1 == references, "the same sources gave {references:?}, then {:?}", again.1);
            same(&programs, &again.0)?;
            println!("   ok      made again from an empty store: the same programs and digests");
        }
        Ok((programs, references))
    }

    fn once(&self, ours: &Path, store: &Path, name: &str) -> Result<(PathBuf, Vec<String>)> {
        let builder = Builder::new(ours, self.access)?.store(store);
        let builder = if self.options.compiled {
            builder.compiled(&images::compile(&self.options.profile)?)?
        } else {
            builder.compiling(&self.options.profile)?
        };
        let builder = builder.words(["--build-arg".to_owned(), format!("SOURCE_DATE_EPOCH={}", epoch()?)]);
        let programs = folders::target().join("release").join(name);
        delete(&programs)?;
        builder.export("programs", &programs)?;
        let output = format!("{SMALL},rewrite-timestamp=true");
        let mut references = Vec::new();
        for target in ["operator", "executor"] {
            let tag = format!("{}/slipway-{target}:{}", self.place, self.version);
            let image = builder.push(target, &tag, &output)?;
            references.push(format!("{}:{}@{}", image.repository, self.version, image.digest));
        }
        Ok((programs, references))
    }
}

/// The time of the commit, which stands in for every later one.
fn epoch() -> Result<String> {
    let time = Command::new("git")
        .current_dir(folders::checkout())
        .args(["log", "-1", "--format=%ct"])
        .text()
        .context("a release is made from a clone: its time is that of the commit")?;
    Ok(time.trim().to_owned())
}

fn delete(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("failed to delete {}", folder.display()))?;
    }
    Ok(())
}

/// Refuses two folders whose programs differ.
fn same(one: &Path, other: &Path) -> Result<()> {
    for program in ["slipway", "slipway-executor", "slipway-operator"] {
        let read = |folder: &Path| {
            let file = folder.join(program);
            fs::read(&file).with_context(|| format!("failed to read {}", file.display()))
        };
        ensure!(read(one)? == read(other)?, "{program} was compiled twice and differs");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_differ_are_told() {
        let folder = std::env::temp_dir().join(format!("slipway-release-{}", std::process::id()));
        let [one, other] = ["one", "other"].map(|name| folder.join(name));
        for place in [&one, &other] {
            fs::create_dir_all(place).unwrap();
            for program in ["slipway", "slipway-executor", "slipway-operator"] {
                fs::write(place.join(program), program).unwrap();
            }
        }
        same(&one, &other).unwrap();
        fs::write(other.join("slipway-operator"), "else").unwrap();
        let told = same(&one, &other).unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();
        assert!(told.starts_with("slipway-operator"), "{told}");
    }
}
