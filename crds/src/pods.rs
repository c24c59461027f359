//! What users may say of the pods of a build. Only fields that cannot widen a pod's rights are taken.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::source::NameRef;

/// Settings for one stage.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageSettings {
    /// The stage's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Requests and limits of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels that its node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that its pod tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

/// Settings for all pods of a build.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSettings {
    /// Requests and limits of each stage pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels that the nodes must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Affinity of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// The priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Secrets to pull the executor image and base images with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<NameRef>,
    /// Labels to add to the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations to add to the pods; names below `slipway.dev/` are the operator's and left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// How stages are packed into pods.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodsSpec {
    /// `PerStage` gives each stage that runs commands a pod of its own, up to `max`; `Auto` lets linear chains share one;
    /// `Single` runs all of them in one.
    #[serde(default)]
    pub mode: PodsMode,
    /// The most stage pods of a build; stages beyond that share them. They start on one node where the claim is of one node, and each
    /// takes it half a second of work.
    #[serde(default = "default_max")]
    #[schemars(range(min = 1, max = 100))]
    pub max: i32,
}

fn default_max() -> i32 {
    8
}

impl Default for PodsSpec {
    fn default() -> Self {
        Self { mode: PodsMode::default(), max: default_max() }
    }
}

/// How stages are packed into pods.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default, JsonSchema)]
#[allow(missing_docs)]
pub enum PodsMode {
    #[default]
    PerStage,
    Auto,
    Single,
}

impl PodsMode {
    /// Returns the word that stands in the spec.
    pub fn word(self) -> &'static str {
        match self {
            Self::PerStage => "PerStage",
            Self::Auto => "Auto",
            Self::Single => "Single",
        }
    }
}
