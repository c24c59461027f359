//! The cases in which builders differ on purpose, each with its reason: one file for each peer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::builders::Builder;

/// Names of cases, and why they differ.
pub(crate) type Differences = BTreeMap<String, String>;

/// Reads what two builders may differ in: the union of what each peer among them does.
pub(crate) fn between(folder: &Path, one: Builder, other: Builder) -> Result<Differences> {
    let mut all = Differences::new();
    for builder in [one, other] {
        let file = match builder {
            Builder::Buildkit | Builder::Stored => "differences.txt",
            Builder::Buildah => "differences-buildah.txt",
            Builder::Slipway => continue,
        };
        all.extend(read(folder, file)?);
    }
    Ok(all)
}

/// Reads one file of `case: reason` lines. A line without a case or without a reason is an error.
pub(crate) fn read(folder: &Path, file: &str) -> Result<Differences> {
    let text = fs::read_to_string(folder.join(file)).with_context(|| format!("no {file}"))?;
    let mut all = Differences::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let (name, reason) =
            line.split_once(": ").with_context(|| format!("{file}: `{line}` has no reason"))?;
        ensure!(!reason.trim().is_empty(), "{file}: `{line}` has no reason");
        ensure!(folder.join(name).join("context").is_dir(), "{file}: there is no case `{name}`");
        ensure!(all.insert(name.to_owned(), reason.to_owned()).is_none(), "{file}: `{name}` stands twice");
    }
    Ok(all)
}
