//! Files that are made from code, so that they cannot tell another story than the code does.

mod values;

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::host::{
    command::{Run, cargo},
    folders,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Changes nothing, and fails where a file is stale.
    #[arg(long)]
    pub(crate) check: bool,
}

/// What prints a file, and where it stands.
const FILES: &[(&[&str], &[&str])] = &[
    (&["slipway-crds"], &["crds/imagebuilds.yaml", "charts/slipway/crds-source/imagebuilds.yaml"]),
    (&["slipway-crds", "--reference"], &["docs/resource.md"]),
    (&["slipway-operator", "--metrics-reference"], &["docs/metrics.md"]),
];

const VALUES: &str = "charts/slipway/values.yaml";
const SCHEMA: &str = "charts/slipway/values.schema.json";
const README: &str = "charts/slipway/README.md";
const ARGOCD: &str = "docs/gitops/argocd/argocd-cm.yaml";

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut stale = Vec::new();
    for (place, text) in made()? {
        let path = folders::checkout().join(place);
        if fs::read_to_string(&path).is_ok_and(|stored| stored == text) {
            continue;
        }
        if options.check {
            stale.push(place);
        } else {
            fs::write(&path, &text).with_context(|| format!("failed to write {place}"))?;
            println!("wrote {place}");
        }
    }
    if !stale.is_empty() {
        bail!("stale: {}; run `cargo xtask gen`", stale.join(", "));
    }
    Ok(())
}

/// Returns every file as it should be.
fn made() -> Result<Vec<(&'static str, String)>> {
    let mut files = Vec::new();
    // With the features of the whole workspace, so that dependencies are compiled once for all steps.
    cargo()
        .current_dir(folders::checkout())
        .args([
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--bin",
            "slipway-crds",
            "--bin",
            "slipway-operator",
        ])
        .run()?;
    for (words, places) in FILES {
        let text = Command::new(folders::target().join("debug").join(words[0])).args(&words[1..]).text()?;
        files.extend(places.iter().map(|place| (*place, text.clone())));
    }
    let stored = |place: &str| {
        fs::read_to_string(folders::checkout().join(place)).with_context(|| format!("failed to read {place}"))
    };
    let values = stored(VALUES)?;
    files.push((SCHEMA, values::schema(&values)?));
    files.push((README, values::readme(&stored(README)?, &values)?));
    files.push((ARGOCD, argocd(stored)?));
    Ok(files)
}

/// Returns the Lua of docs/gitops/argocd as a patch of Argo CD's settings.
fn argocd(stored: impl Fn(&str) -> Result<String>) -> Result<String> {
    let lua = |name: &str| stored(&format!("docs/gitops/argocd/{name}.lua"));
    let indented = |text: &str, spaces: usize| {
        let pad = " ".repeat(spaces);
        text.lines().map(|line| format!("{pad}{line}").trim_end().to_owned() + "\n").collect::<String>()
    };
    let mut text = String::from(
        "# Made by `cargo xtask gen` from the Lua beside it: what Argo CD's ConfigMap argocd-cm needs for ImageBuilds.\ndata:\n",
    );
    text.push_str("  resource.customizations.health.slipway.dev_ImageBuild: |\n");
    text.push_str(&indented(&lua("health")?, 4));
    text.push_str("  resource.customizations.actions.slipway.dev_ImageBuild: |\n    discovery.lua: |\n");
    text.push_str(&indented(&lua("actions/discovery")?, 6));
    text.push_str("    definitions:\n");
    for action in ["rebuild", "suspend", "resume"] {
        text.push_str("    - name: ");
        text.push_str(action);
        text.push_str("\n      action.lua: |\n");
        text.push_str(&indented(&lua(&format!("actions/{action}/action"))?, 8));
    }
    Ok(text)
}
