//! A release: programs, images, the chart as an OCI artifact, a bill of materials, checksums.

mod making;
mod package;
mod sbom;
mod verify;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use making::Making;
use serde_json::Value;

use crate::{
    chart,
    cluster::{self, Access},
    host::{
        command::{Run, cargo},
        folders, parts,
    },
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
    /// Cargo's profile for the programs.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Takes programs that cargo compiles here instead of those of the Dockerfile's own stage: minutes less.
    #[arg(long, requires = "dry_run")]
    compiled: bool,
    /// Makes programs and images a second time, in an empty store, and fails if a byte differs.
    #[arg(long)]
    twice: bool,
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
    let text = cargo()
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

    let images = Making { options, version, place: &place, access };
    let (programs, references) = images.make()?;
    let archive = dist.join(format!("slipway-{version}-linux-amd64.tar.gz"));
    Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"])
        // gzip's own header would have a time.
        .args(["--use-compress-program=gzip -9n", "-cf"])
        .arg(&archive)
        .arg("-C")
        .arg(&programs)
        .arg("slipway")
        .text()?;
    folders::write(&dist.join("images.txt"), references.join("\n") + "\n")?;

    let package = package::package(&dist, &references)?;
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
    verify::Pushed { place: &place, version, plain: access.is_some() }.verify(
        &dist,
        &package,
        &references,
    )?;
    for reference in references {
        println!("image    {reference}");
    }
    println!("chart    oci://{place}/charts/slipway:{version}");
    println!("files    {}", dist.display());
    Ok(())
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
