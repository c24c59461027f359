//! What pods tell the operator: termination messages of at most 4 KiB, so names are short and lists are compact, and longer
//! ones that build pods send themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The result of planning; of a build pod that has ended, the result of all its work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanReport {
    /// What was built from: `main@sha1:…`, `sha256:…`.
    pub revision: String,
    /// The digest of the context.
    pub source_digest: String,
    /// The stages that the targets need, in order.
    pub stages: Vec<PlannedStage>,
    /// How many stages of the file no target needs.
    pub pruned: u32,
    /// How many of the cached steps a registry cache had, and not the store.
    pub imported: u32,
    /// Warnings of the checks: `line:col id message`, the first few.
    pub warnings: Vec<String>,
    /// How many warnings there are in all.
    pub warning_count: u32,
    /// Seconds spent.
    pub seconds: f64,
    /// Why there is no plan.
    pub failure: Option<Failure>,
    /// The build's own report, where the pod got that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<Box<BuildReport>>,
}

/// One stage of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlannedStage {
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// Its steps that make or change files.
    #[serde(rename = "s")]
    pub steps: u32,
    /// How many of them are cached.
    #[serde(rename = "c")]
    pub cached: u32,
    /// Which pod runs it: stages with the same number share one; none: `conduct` does it, or nothing is to do.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub pod: Option<u32>,
    /// The numbers of the stages that it needs.
    #[serde(rename = "d", skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<u32>,
    /// Ids of the secrets that it mounts.
    #[serde(rename = "x", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Why its first uncached step is not cached.
    #[serde(rename = "w", skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl PlannedStage {
    /// Returns the name that it has in the file: of several platforms, each has stages of its own (`build@linux/arm64`).
    pub fn file_name(&self) -> &str {
        self.name.split_once('@').map_or(&self.name, |(name, _)| name)
    }
}

/// The result of a poll pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PollReport {
    /// What a build would be made from: `main@sha1:…`.
    pub revision: String,
    /// Why that is not known.
    pub failure: Option<Failure>,
}

/// The result of a stage pod: one entry a stage that it ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StagePodReport {
    /// The stages.
    pub stages: Vec<StageReport>,
    /// How user code was isolated: `Overlay (nested)`, `Root`, and why no better way.
    pub isolation: String,
    /// Why that way was taken.
    pub isolation_reason: String,
}

/// What happened to one stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StageReport {
    /// Its name.
    pub name: String,
    /// When it began (unix seconds).
    pub started: f64,
    /// When it ended (unix seconds).
    pub finished: f64,
    /// Seconds of that spent waiting for other stages.
    pub waited: f64,
    /// Steps that ran.
    pub ran: u32,
    /// Steps that the cache had.
    pub cached: u32,
    /// Bytes that its steps added.
    pub size: u64,
    /// The step that took longest: line and seconds.
    pub slowest: Option<(u32, f64)>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// The result of `conduct`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildReport {
    /// The stages that `conduct` did itself.
    pub stages: Vec<StageReport>,
    /// One entry an output.
    pub images: Vec<ImageReport>,
    /// Unpacked bytes of the largest stage.
    pub largest_stage: u64,
    /// Seconds from the first step to the last layer.
    pub build_seconds: f64,
    /// Seconds that only pushing took.
    pub push_seconds: f64,
    /// Bytes that the cache spared.
    pub bytes_reused: u64,
    /// Bytes in the store.
    pub store_used: u64,
    /// Bytes free on the store's volume.
    pub store_free: u64,
    /// Retries of registry requests.
    pub retries: u32,
    /// What the stage pods will say, by their numbers: nobody needs to wait for it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pods: BTreeMap<u32, StagePodReport>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// One image that came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageReport {
    /// The target.
    pub target: String,
    /// `repository@sha256:…`; only the digest where nothing was pushed.
    pub reference: String,
    /// The tags that were written.
    pub tags: Vec<String>,
    /// Compressed bytes.
    pub size: u64,
    /// Unpacked bytes.
    pub unpacked_size: u64,
    /// Compressed bytes of each layer, lowest first.
    pub layers: Vec<u64>,
    /// The images of an index, where it is one; sizes and layers above are those of the largest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<PlatformReport>,
}

/// One image of an index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlatformReport {
    /// What it runs on.
    #[serde(rename = "p")]
    pub platform: String,
    /// The digest of its manifest.
    #[serde(rename = "d")]
    pub digest: String,
    /// Compressed bytes.
    #[serde(rename = "s")]
    pub size: u64,
}

/// Why something failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failure {
    /// A stable word that becomes a condition's reason: `RunFailed`, `DockerfileInvalid`, `SourceFailed`, `PushFailed`.
    pub reason: String,
    /// What to tell people.
    pub message: String,
    /// True where another try may help: a fault of the infrastructure, not of the Dockerfile.
    pub retryable: bool,
    /// The stage.
    pub stage: String,
    /// The line in the Dockerfile; 0 for none.
    pub line: u32,
    /// The instruction.
    pub instruction: String,
    /// The exit code of the command; 128 + n for a signal.
    pub exit_code: Option<i32>,
    /// The last lines of its output.
    pub tail: String,
}
