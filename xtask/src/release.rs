//! A release: programs, images, the chart as an OCI artifact, a bill of materials, checksums.

mod sbom;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    chart,
    cluster::{self, Access},
    host::{command::Run, folders, parts},
    images,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Makes everything and pushes it to the cluster's own registry instead of the public one.
    #[arg(long)]
    dry_run: bool,
    /// Where images and chart go, as `host/path`.
    #[arg(long, default_value = "ghcr.io/slipway-dev")]
    to: String,
    /// Where files go.
    #[arg(long, default_value = "target/dist")]
    dist: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = metadata()?;
    let version = agree(&metadata)?;
    if options.dry_run {
        return cluster::lent(|access| make(options, &metadata, &version, Some(access)));
    }
    let changed =
        Command::new("git").current_dir(folders::checkout()).args(["status", "--porcelain"]).text()?;
    ensure!(changed.is_empty(), "the checkout has changes that are in no commit:\n{changed}");
    make(options, &metadata, &version, None)
}

fn metadata() -> Result<Value> {
    let text = Command::new("cargo")
        .current_dir(folders::checkout())
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", images::TARGET])
        .text()?;
    serde_json::from_str(&text).context("`cargo metadata` wrote no JSON")
}

/// Returns the version, on which workspace, chart and changelog must agree.
fn agree(metadata: &Value) -> Result<String> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    let own = packages.iter().find(|p| p["name"] == "slipway-operator").context("no slipway-operator")?;
    let version = own["version"].as_str().unwrap_or_default();
    let text = fs::read_to_string(chart::folder().join("Chart.yaml")).context("failed to read Chart.yaml")?;
    let chart: Value = serde_yaml::from_str(&text).context("Chart.yaml")?;
    for key in ["version", "appVersion"] {
        ensure!(chart[key] == version, "Chart.yaml has {key} {}, and the workspace is {version}", chart[key]);
    }
    ensure!(
        text.contains(&format!("slipway-executor:{version}")),
        "artifacthub.io/images in Chart.yaml is not {version}"
    );
    Ok(version.to_owned())
}

fn make(options: &Options, metadata: &Value, version: &str, access: Option<&Access>) -> Result<()> {
    let dist = folders::checkout().join(&options.dist);
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| format!("failed to delete {}", dist.display()))?;
    }
    folders::make(&dist)?;
    let place = access.map_or_else(|| options.to.clone(), |access| format!("{}/release", access.registry()));

    let profile = if options.dry_run { images::PROFILE } else { "release" };
    let programs = images::compile(profile)?;
    let archive = dist.join(format!("slipway-{version}-linux-amd64.tar.gz"));
    Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-czf"])
        .arg(&archive)
        .arg("-C")
        .arg(&programs)
        .arg("slipway")
        .text()?;

    let mut references = Vec::new();
    for target in ["operator", "executor"] {
        let tag = format!("{place}/slipway-{target}:{version}");
        let image = images::build(&programs, target, &tag, images::SMALL, access)?;
        references.push(format!("{}:{version}@{}", image.repository, image.digest));
    }
    folders::write(&dist.join("images.txt"), references.join("\n") + "\n")?;

    let package = package(&dist, &references)?;
    let mut push = Command::new(parts::HELM.ensure()?.join("helm"));
    push.arg("push").arg(&package).arg(format!("oci://{place}/charts"));
    if access.is_some() {
        push.arg("--plain-http");
    }
    push.text()?;

    for (program, file) in
        [("slipway-cli", "slipway"), ("slipway-operator", "operator"), ("slipway-executor", "executor")]
    {
        let document = sbom::document(metadata, program, version)?;
        folders::write(
            &dist.join(format!("{file}-{version}.spdx.json")),
            serde_json::to_string_pretty(&document)?,
        )?;
    }
    checksums(&dist)?;
    for reference in references {
        println!("image    {reference}");
    }
    println!("chart    oci://{place}/charts/slipway:{version}");
    println!("files    {}", dist.display());
    Ok(())
}

/// Packs the chart with images named by digest in its annotations' stead: what was tested is what is installed.
fn package(dist: &Path, references: &[String]) -> Result<PathBuf> {
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

fn checksums(dist: &Path) -> Result<()> {
    let mut names: Vec<String> = fs::read_dir(dist)
        .context("failed to read the files")?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let sums = Command::new("sha256sum").current_dir(dist).args(&names).text()?;
    folders::write(&dist.join("SHA256SUMS"), sums)
}

#[cfg(test)]
mod tests {
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
