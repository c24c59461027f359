//! Files of other projects, taken from their Go modules: schemas and definitions that no package ships.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{command::Run, folders, packages};

/// A module at a version, with the hash that its content must have.
#[derive(Debug)]
pub(crate) struct Module {
    path: &'static str,
    version: &'static str,
    sum: &'static str,
}

/// The schemas of Kubernetes itself.
pub(crate) const KUBERNETES: Module = Module {
    path: "k8s.io/kubernetes",
    version: "v1.36.3",
    sum: "h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o=",
};
/// Definitions of ServiceMonitor, PodMonitor and PrometheusRule.
pub(crate) const PROMETHEUS_OPERATOR: Module = Module {
    path: "github.com/prometheus-operator/prometheus-operator",
    version: "v0.83.0",
    sum: "h1:qAKbm+45fqNGcn9sGTa1Ae2TM3KZuYA/uyoD2QKi9+o=",
};
/// Definitions of Flux's sources.
pub(crate) const FLUX_SOURCES: Module = Module {
    path: "github.com/fluxcd/source-controller",
    version: "v1.7.3",
    sum: "h1:gFfeBiNUgF0kFFGap/rrMeJqz+0Tod0ARENJO8w/UA8=",
};
/// The definition of Flux's Kustomization.
pub(crate) const FLUX_KUSTOMIZE: Module = Module {
    path: "github.com/fluxcd/kustomize-controller",
    version: "v1.7.3",
    sum: "h1:SzNnGn/4ObAPEHHleM5U7y/AKxKXph3Vj6ZhteeXw8M=",
};

impl Module {
    /// Returns the folder of the module's files, downloaded now if they were not yet. Nothing of it is built.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        packages::ensure_go()?;
        let told = Command::new("go")
            // Outside any module, whose own needs would count.
            .current_dir(folders::cache()?)
            .args(["mod", "download", "-json", &format!("{}@{}", self.path, self.version)])
            .env("GOWORK", "off")
            .env("GOFLAGS", "-mod=mod")
            .text()?;
        let told: Value = serde_json::from_str(&told).context("`go mod download` wrote no JSON")?;
        let sum = told["Sum"].as_str().unwrap_or_default();
        ensure!(sum == self.sum, "{} {} has the hash {sum}, not {}", self.path, self.version, self.sum);
        told["Dir"].as_str().map(PathBuf::from).with_context(|| format!("{} lies nowhere", self.path))
    }
}
