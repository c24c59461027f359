//! The chart without a cluster: lint, schemas, and tests of its templates, rules, dashboard and Lua.

mod schemas;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::host::{
    command::{Run, cargo},
    debian, folders, parts,
};

/// The chart in the checkout.
pub(crate) fn folder() -> PathBuf {
    folders::checkout().join("charts/slipway")
}

/// Sets of values that between them switch everything on and off.
pub(crate) fn values() -> Result<Vec<PathBuf>> {
    let folder = folder().join("ci");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .with_context(|| format!("failed to read {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    Ok(files)
}

/// Checks the chart as far as that goes without a cluster.
pub(crate) fn check() -> Result<()> {
    let helm = parts::HELM.ensure()?.join("helm");
    let kubeconform = parts::KUBECONFORM.ensure()?.join("kubeconform");
    let schemas = schemas::ensure()?;
    for values in values()? {
        let name = values.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Command::new(&helm)
            .args(["lint", "--strict", "--quiet"])
            .arg(folder())
            .arg("--values")
            .arg(&values)
            .text()?;
        let manifests = render(&helm, &values)?;
        conform(&kubeconform, &schemas, &manifests).with_context(|| format!("{name}, rendered"))?;
        println!(
            "   ok      {name}: lint, {} objects against their schemas",
            manifests.matches("\nkind:").count()
        );
    }
    cargo()
        .current_dir(folders::checkout())
        // As the step `unit` compiles them.
        .args(["test", "--quiet", "--locked", "--workspace"])
        .args(["--test", "chart", "--test", "monitoring", "--test", "argocd"])
        .env("SLIPWAY_HELM", helm)
        .env("SLIPWAY_LUA", parts::LUA.ensure()?.join("argo-lua"))
        .env("SLIPWAY_PROMTOOL", debian::program("prometheus", "promtool")?)
        .run()
}

/// Renders the chart.
pub(crate) fn render(helm: &Path, values: &Path) -> Result<String> {
    Command::new(helm)
        .args(["template", "release"])
        .arg(folder())
        .args(["--namespace", "slipway-system", "--values"])
        .arg(values)
        .text()
}

fn conform(kubeconform: &Path, schemas: &Path, manifests: &str) -> Result<()> {
    let location = schemas.join("{{.ResourceKind}}{{.KindSuffix}}.json");
    let mut child = Command::new(kubeconform)
        .args(["-strict", "-schema-location"])
        .arg(location)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start kubeconform")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(manifests.as_bytes())?;
    }
    let done = child.wait_with_output()?;
    if !done.status.success() {
        bail!("{}", String::from_utf8_lossy(&done.stdout).trim_end());
    }
    Ok(())
}
