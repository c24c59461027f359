//! What an installation sets: one YAML file that the chart mounts.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
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
    /// PEM certificates that build pods trust beside the usual ones: of registries, git servers and downloads.
    pub ca_bundle: String,
    /// Build pods: they hold credentials and run no user code.
    pub build_pods: PodDefaults,
    /// Requests and limits of the small container beside each build, which waits for the plan and does nothing else.
    pub report_resources: ResourceRequirements,
    /// Stage pods: they run user code.
    pub stage_pods: PodDefaults,
    /// The log filter of the pods.
    pub log: String,
    /// Where build pods reach this replica, as `http://address:port`; none where it takes no reports. Not of the file.
    #[serde(skip)]
    pub reports: Option<String>,
}

/// What the pods of a kind get; where a build says something itself, that counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PodDefaults {
    /// Requests and limits.
    pub resources: ResourceRequirements,
    /// Labels that the nodes must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that they tolerate.
    pub tolerations: Vec<Toleration>,
    /// Affinity.
    pub affinity: Option<Affinity>,
    /// The priority class.
    pub priority_class_name: String,
    /// The runtime class, such as one of virtual machines.
    pub runtime_class_name: String,
    /// More labels.
    pub labels: BTreeMap<String, String>,
    /// More annotations.
    pub annotations: BTreeMap<String, String>,
}

impl PodDefaults {
    /// What waits and copies asks for; work that needs more says so.
    fn small() -> Self {
        Self { resources: requests("50m", "64Mi"), ..Self::default() }
    }
}

fn requests(cpu: &str, memory: &str) -> ResourceRequirements {
    let requests = [("cpu", cpu), ("memory", memory)];
    let requests = requests.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())));
    ResourceRequirements { requests: Some(requests.into()), ..ResourceRequirements::default() }
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
            ca_bundle: String::new(),
            build_pods: PodDefaults::small(),
            report_resources: requests("10m", "16Mi"),
            stage_pods: PodDefaults::small(),
            log: "info".into(),
            reports: None,
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
