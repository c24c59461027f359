//! What was pushed is looked at as its users will: sums, sizes, the chart from the registry.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::host::{command::Run, folders, parts};

/// What nodes may have to pull before their first build.
const LIMIT: u64 = 15_000_000;

/// A release in its registry.
pub(super) struct Pushed<'a> {
    /// `host/path` of images and chart.
    pub(super) place: &'a str,
    pub(super) version: &'a str,
    /// Whether the registry speaks plain HTTP.
    pub(super) plain: bool,
}

impl Pushed<'_> {
    /// Fails where something is not as it was made.
    pub(super) fn verify(&self, dist: &Path, package: &Path, references: &[String]) -> Result<()> {
        Command::new("sha256sum")
            .current_dir(dist)
            .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
            .text()?;
        for reference in references {
            let manifest = self.crane(&["manifest", reference])?;
            let (layers, size) = layers(&manifest)?;
            let repository = reference.split_once('@').map_or(reference.as_str(), |(name, _)| name);
            for layer in layers {
                // Read to its end and digested; `crane validate` knows no zstd.
                ensure!(
                    self.command(&["blob", &format!("{repository}@{layer}")])?.succeeds(),
                    "{reference}: the registry does not have the layer {layer} as it was pushed"
                );
            }
            println!("   ok      {reference}: {} kB compressed", size / 1000);
            ensure!(
                size < LIMIT || !reference.contains("executor"),
                "{reference} has {size} bytes, and may have {LIMIT}"
            );
        }
        self.chart(dist, package, references)
    }

    /// Pulls the chart and renders it with nothing set.
    fn chart(&self, dist: &Path, package: &Path, references: &[String]) -> Result<()> {
        let helm = parts::HELM.ensure()?.join("helm");
        let pulled = folders::target().join("release/chart");
        folders::make(&pulled)?;
        let mut pull = Command::new(&helm);
        pull.arg("pull").arg(format!("oci://{}/charts/slipway", self.place));
        pull.args(["--version", self.version, "--destination"]).arg(&pulled);
        if self.plain {
            pull.arg("--plain-http");
        }
        pull.text()?;
        let archive = pulled.join(package.file_name().context("a chart without a name")?);
        let read = |file: &Path| fs::read(file).with_context(|| format!("failed to read {}", file.display()));
        ensure!(read(&archive)? == read(package)?, "the registry has another chart than {}", dist.display());
        let rendered = Command::new(&helm).arg("template").arg("slipway").arg(&archive).text()?;
        for reference in references {
            let (name, digest) = reference.split_once('@').context("a reference without digest")?;
            let repository = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
            ensure!(
                rendered.contains(&format!("{repository}@{digest}")),
                "the chart does not install {reference}"
            );
        }
        println!("   ok      oci://{}/charts/slipway:{} installs these images", self.place, self.version);
        Ok(())
    }

    fn crane(&self, words: &[&str]) -> Result<String> {
        self.command(words)?.text()
    }

    fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(parts::CRANE.ensure()?.join("crane"));
        if self.plain {
            command.arg("--insecure");
        }
        command.args(words);
        Ok(command)
    }
}

/// The layers of a manifest, and the size of all of them as they travel.
fn layers(manifest: &str) -> Result<(Vec<String>, u64)> {
    let manifest: Value = serde_json::from_str(manifest).context("a manifest that is no JSON")?;
    let layers = manifest["layers"].as_array().context("a manifest without layers")?;
    let digest =
        |layer: &Value| layer["digest"].as_str().map(str::to_owned).context("a layer without digest");
    let size = layers.iter().filter_map(|layer| layer["size"].as_u64()).sum();
    Ok((layers.iter().map(digest).collect::<Result<_>>()?, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_added_up() {
        let manifest =
            r#"{"layers": [{"digest": "sha256:a", "size": 3}, {"digest": "sha256:b", "size": 4}]}"#;
        assert_eq!(layers(manifest).unwrap(), (vec!["sha256:a".to_owned(), "sha256:b".to_owned()], 7));
        assert!(layers(r#"{"manifests": []}"#).is_err());
    }
}
