//! The chart as a release has it: an archive whose images are named by digest.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    chart,
    host::{command::Run, folders, parts},
};

/// Packs the chart with both images pinned: what was tested is what is installed.
pub(super) fn package(dist: &Path, references: &[String]) -> Result<PathBuf> {
    let helm = parts::HELM.ensure()?.join("helm");
    let copy = dist.join("chart");
    Command::new("cp").arg("-a").arg(chart::folder()).arg(&copy).text()?;
    let values = copy.join("values.yaml");
    let mut text = fs::read_to_string(&values).context("failed to read values.yaml")?;
    for reference in references {
        let (name, digest) = reference.split_once('@').context("a reference without digest")?;
        let (repository, _) = name.rsplit_once(':').context("a reference without tag")?;
        let kind = if repository.ends_with("operator") { "operator" } else { "executor" };
        text = pin(&text, kind, repository, digest)?;
    }
    folders::write(&values, text)?;
    Command::new(helm).args(["package", "--destination"]).arg(dist).arg(&copy).text()?;
    fs::remove_dir_all(&copy).context("failed to delete the copy of the chart")?;
    let archives = fs::read_dir(dist).context("failed to read the files")?;
    let is_chart = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "tgz");
    archives.flatten().map(|entry| entry.path()).find(is_chart).context("helm made no package")
}

/// Writes repository and digest into the values of an image.
fn pin(values: &str, kind: &str, repository: &str, digest: &str) -> Result<String> {
    let mut out = String::new();
    let (mut inside, mut done) = (false, 0);
    for line in values.lines() {
        if !line.starts_with([' ', '#']) && !line.is_empty() {
            inside = line == format!("{kind}:");
        }
        let words = line.trim_start();
        let replaced = match words.split_once(':') {
            Some(("repository", _)) if inside && done == 0 => Some(format!("repository: {repository}")),
            Some(("digest", _)) if inside && done == 1 => Some(format!("digest: \"{digest}\"")),
            _ => None,
        };
        match replaced {
            Some(new) => {
                done += 1;
                out.push_str(&line[..line.len() - words.len()]);
                out.push_str(&new);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    if done != 2 {
        bail!("values.yaml has no place for the {kind}'s image");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn images_are_pinned_by_digest() {
        let values = fs::read_to_string(chart::folder().join("values.yaml")).unwrap();
        let pinned = pin(&values, "executor", "r.example/executor", "sha256:ab").unwrap();
        let read: Value = serde_yaml::from_str(&pinned).unwrap();
        assert_eq!(read["executor"]["image"]["repository"], "r.example/executor");
        assert_eq!(read["executor"]["image"]["digest"], "sha256:ab");
        assert_eq!(read["operator"]["image"]["digest"], "");
    }
}
