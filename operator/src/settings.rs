//! What an installation sets: one YAML file that the chart mounts.

use std::path::Path;

use serde::{Deserialize, Serialize};
use slipway_crds::validate::Defaults;
use slipway_protocol::request::RegistrySettings;

/// The settings of an installation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// The image of `slipway-executor`.
    pub executor_image: String,
    /// Its pull policy.
    pub executor_pull_policy: String,
    /// Secrets to pull it with; they must exist in the namespaces of the builds.
    pub image_pull_secrets: Vec<String>,
    /// What builds get that say nothing.
    pub defaults: Defaults,
    /// How registries are reached.
    pub registries: RegistrySettings,
    /// A Secret of type kubernetes.io/dockerconfigjson in the namespace of the build that is used where it exists.
    pub default_push_secret: String,
    /// Builds at once in the whole cluster.
    pub max_builds: usize,
    /// Builds at once in a namespace.
    pub max_builds_per_namespace: usize,
    /// Give stage pods a user namespace of their own (`hostUsers: false`).
    pub user_namespaces: bool,
    /// The access mode of claims that the operator makes.
    pub cache_access_mode: String,
    /// Requests of build pods: cpu and memory.
    pub build_pod_requests: Requests,
    /// Requests of stage pods that ask for nothing themselves.
    pub stage_pod_requests: Requests,
    /// The log filter of the pods.
    pub log: String,
}

/// What a container asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Requests {
    pub cpu: String,
    pub memory: String,
}

impl Default for Requests {
    fn default() -> Self {
        Self { cpu: "50m".into(), memory: "64Mi".into() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            executor_image: concat!("slipway-executor:", env!("CARGO_PKG_VERSION")).into(),
            executor_pull_policy: "IfNotPresent".into(),
            image_pull_secrets: vec![],
            defaults: Defaults::default(),
            registries: RegistrySettings::default(),
            default_push_secret: String::new(),
            max_builds: 20,
            max_builds_per_namespace: 10,
            user_namespaces: true,
            cache_access_mode: "ReadWriteOnce".into(),
            build_pod_requests: Requests::default(),
            stage_pod_requests: Requests::default(),
            log: "info".into(),
        }
    }
}

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is not there or may not be read.
    #[error("failed to read the settings file {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the settings file {path} is wrong")]
    Parse {
        /// The file.
        path: String,
        /// Where and why.
        source: serde_yaml::Error,
    },
}

impl Settings {
    /// Reads a settings file.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Read { path: shown.clone(), source })?;
        serde_yaml::from_str(&text).map_err(|source| SettingsError::Parse { path: shown, source })
    }
}
