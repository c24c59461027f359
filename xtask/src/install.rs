//! The chart on a cluster, with images built from this checkout.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    chart,
    cluster::Access,
    host::{command::Run, parts},
    images::{self, Images},
};

/// The namespace of the operator.
pub(crate) const NAMESPACE: &str = "slipway-system";
/// The name of the release, and of most of its objects.
pub(crate) const RELEASE: &str = "slipway";

/// What commands on an installed chart are asked.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Takes the operator that is installed, instead of installing the one of this checkout.
    #[arg(long)]
    installed: bool,
}

impl Options {
    /// Makes sure that an operator runs.
    pub(crate) fn ensure(&self, access: &Access) -> Result<()> {
        if !self.installed {
            return install(access);
        }
        access
            .kubectl(["rollout", "status", "deployment", RELEASE, "--namespace", NAMESPACE, "--timeout=60s"])
            .map(drop)
    }
}

/// Builds the images and installs or upgrades the chart; returns when the operator is ready.
pub(crate) fn install(access: &Access) -> Result<()> {
    let images = images::push(access)?;
    Helm::new(access)?.upgrade(&images, &[]).map(drop)
}

/// Helm, working on one release.
pub(crate) struct Helm<'a> {
    program: PathBuf,
    access: &'a Access,
}

impl<'a> Helm<'a> {
    pub(crate) fn new(access: &'a Access) -> Result<Self> {
        Ok(Self { program: parts::HELM.ensure()?.join("helm"), access })
    }

    /// Runs a command on the release and returns what helm printed.
    pub(crate) fn run(&self, verb: &[&str], words: &[&str]) -> Result<String> {
        self.command(verb, words).text()
    }

    fn command(&self, verb: &[&str], words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .stdin(Stdio::null())
            .env("KUBECONFIG", self.access.kubeconfig())
            .args(verb)
            .args(["--namespace", NAMESPACE])
            .args(words);
        command
    }

    /// Runs `helm test`, which must have built an image, and returns what it printed. Helm tells what the pods of a test
    /// said in its own log, on standard error.
    pub(crate) fn test(&self) -> Result<String> {
        let output = self.command(&["test", RELEASE], &["--timeout", "6m"]).output().context("helm")?;
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        ensure!(output.status.success(), "helm test failed: {said}");
        ensure!(said.contains("made sha256:"), "helm test built nothing: {said}");
        Ok(said)
    }

    /// Installs or upgrades the chart with images from this checkout and some more values.
    pub(crate) fn upgrade(&self, images: &Images, more: &[&str]) -> Result<String> {
        let chart = chart::folder();
        let mut words: Vec<String> =
            ["--install", "--create-namespace", "--wait", "--timeout", "5m"].map(str::to_owned).into();
        for setting in settings(images, self.access) {
            words.extend(["--set".to_owned(), setting]);
        }
        // A mirror for each registry that the examples and tests name.
        for host in ["docker.io", "gcr.io", "mcr.microsoft.com"] {
            let mirror =
                format!("registries.mirrors.{}=[\"{}\"]", host.replace('.', "\\."), self.access.registry());
            words.extend(["--set-json".to_owned(), mirror]);
        }
        words.extend(more.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.run(&["upgrade", RELEASE, &chart.to_string_lossy()], &words)
    }
}

fn settings(images: &Images, access: &Access) -> Vec<String> {
    let registry = access.registry();
    let plain_http: Vec<&str> = std::iter::once(registry).chain(access.private_registry()).collect();
    vec![
        format!("operator.image.repository={}", images.operator.repository),
        format!("operator.image.digest={}", images.operator.digest),
        format!("executor.image.repository={}", images.executor.repository),
        format!("executor.image.digest={}", images.executor.digest),
        format!("defaults.registry={registry}"),
        format!("registries.insecure={{{}}}", plain_http.join(",")),
        "defaults.cacheSize=5Gi".to_owned(),
    ]
}
