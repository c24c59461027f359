//! The chart on a cluster, with images built from this checkout.

use std::process::Command;

use anyhow::Result;

use crate::{
    cluster::Access,
    host::{command::Run, folders, parts},
    images,
};

/// The namespace of the operator.
pub(crate) const NAMESPACE: &str = "slipway-system";

/// Builds the images and installs or upgrades the chart; returns when the operator is ready.
pub(crate) fn install(access: &Access) -> Result<()> {
    let images = images::push(access)?;
    let helm = parts::HELM.ensure()?.join("helm");
    let registry = access.registry();
    let plain_http: Vec<&str> = std::iter::once(registry).chain(access.private_registry()).collect();
    let settings = [
        format!("operator.image.repository={}", images.operator.repository),
        format!("operator.image.digest={}", images.operator.digest),
        format!("executor.image.repository={}", images.executor.repository),
        format!("executor.image.digest={}", images.executor.digest),
        format!("defaults.registry={registry}"),
        format!("registries.insecure={{{}}}", plain_http.join(",")),
        "defaults.cacheSize=5Gi".to_owned(),
    ];
    let mut command = Command::new(helm);
    command
        .env("KUBECONFIG", access.kubeconfig())
        .args(["upgrade", "--install", "slipway"])
        .arg(folders::checkout().join("charts/slipway"))
        .args(["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", "3m"]);
    for setting in &settings {
        command.args(["--set", setting]);
    }
    // A mirror for each registry that the examples and tests name.
    for host in ["docker.io", "gcr.io", "mcr.microsoft.com"] {
        command.args([
            "--set-json",
            &format!("registries.mirrors.{}=[\"{registry}\"]", host.replace('.', "\\.")),
        ]);
    }
    command.text().map(drop)
}
