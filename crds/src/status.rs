//! The status: computed by the operator, never by users.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known of the builds of a resource.
// One that nobody has looked at yet speaks of no generation: without a word, kstatus takes a new object for done.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct ImageBuildStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Pending`, `Queued`, `Planning`, `Running`, `Pushing`, `Succeeded`, `Failed`, `Suspended`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// Ready, Reconciling and Stalled as kstatus reads them; SourceReady, Planned, Built and Pushed for details.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The number of the current or last build.
    pub run: i64,
    /// How often the current build was tried.
    pub attempt: i32,
    /// When the next try begins, after one that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<MicroTime>,
    /// Since when the current try has a node. Time before that is waiting, and does not count for `spec.timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<MicroTime>,
    /// Seconds of `spec.timeout` that earlier tries of the current build took: those with a node, pauses not counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub spent: f64,
    /// What started the current or last build.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trigger: String,
    /// A digest of all that decides whether a new build is due.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trigger_digest: String,
    /// The last value of the annotation reconcile.fluxcd.io/requestedAt that was acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The place in the queue, from 1, while the build waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<i32>,
    /// What is built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    /// What the last look at a git source with an interval found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll: Option<PollStatus>,
    /// Why stage pods start one after another: there was no room for all at once.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub in_order: String,
    /// Stages done of all that are needed: `2/5`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub progress: String,
    /// The compressed size of the first image, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub size: String,
    /// How long the build took, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub duration: String,
    /// The digest of the first image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The stages that the targets need.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub stages: Vec<StageStatus>,
    /// How many stages of the file no target needs.
    pub pruned_stages: i32,
    /// The images that came out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageStatus>,
    /// Where the time went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// What the cache spared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheStatus>,
    /// Requests to registries that had to be made again.
    pub registry_retries: i32,
    /// How user code was isolated, and why in this way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<IsolationStatus>,
    /// Findings of the checks: `line:column id message`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why the last build failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureStatus>,
    /// Finished builds, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// When the current or last build was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<MicroTime>,
    /// When its first pod was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<MicroTime>,
}

/// What is built.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceStatus {
    /// The revision: `main@sha1:…`.
    pub revision: String,
    /// The digest of the context.
    pub digest: String,
}

/// What the last look at a git source found.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PollStatus {
    /// When it was looked at last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<MicroTime>,
    /// The revision that it had when an answer came last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The revision that last started a build: no revision starts two in a row.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub acted: String,
    /// How many looks failed since the last answer; each doubles the interval, up to sixteenfold.
    pub failures: i32,
    /// Why the last look failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// One stage.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StageStatus {
    /// Its name.
    pub name: String,
    /// `Waiting`, `Running`, `Succeeded`, `Cached`, `Failed`, `Cancelled`.
    pub state: String,
    /// The pod that runs it; none where the build pod does it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<MicroTime>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<MicroTime>,
    /// How long it took, from its first step's turn to its last one's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// How long of that it waited for other stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited: Option<f64>,
    /// Its steps that make or change files.
    pub steps: i32,
    /// How many of them the cache had.
    pub cached: i32,
    /// What its steps added, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub size: String,
    /// Why its first uncached step was not cached.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// One image.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageStatus {
    /// The stage.
    pub target: String,
    /// `repository@sha256:…`; the digest alone where nothing was pushed.
    pub reference: String,
    /// The tags that point to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its compressed size, for people.
    pub size: String,
    /// Its compressed size in bytes.
    pub size_bytes: i64,
    /// Its unpacked size in bytes.
    pub unpacked_bytes: i64,
    /// Compressed bytes of each layer, lowest first.
    pub layers: Vec<i64>,
    /// How much smaller it is than the largest stage: `98.6%`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reduction: String,
    /// The images of an index, where several platforms were built; sizes and layers above are those of the largest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<ImagePlatform>,
}

/// One image of an index.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ImagePlatform {
    /// What it runs on.
    pub platform: String,
    /// The digest of its manifest.
    pub digest: String,
    /// Its compressed size, for people.
    pub size: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(seconds: &f64) -> bool {
    *seconds <= 0.0
}

/// Where the time went, in seconds.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Timing {
    /// From the moment when the build was due to its start: what it waited in the queue.
    pub queued: f64,
    /// What planning took in the build pod: source, checks, digests, keys. The pod's own start is not in it.
    pub plan: f64,
    /// From the first stage's order to the end of the last one, the start of stage pods included; of the last try.
    pub build: f64,
    /// What was left to do after that: the rest of the uploads, manifests, caches of `spec.cache.to`.
    pub push: f64,
    /// From the moment when the build was due to its end, with the queue, starts of pods, and all tries.
    pub total: f64,
}

/// What the cache spared.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CacheStatus {
    /// Steps that make or change files, of the stages that had to be looked at: those of the targets, and what their steps
    /// that are not cached read. A stage that only cached steps read is not counted.
    pub steps: i32,
    /// How many of them the cache had when the build was planned: the store, or a registry cache.
    pub hits: i32,
    /// How many of the hits were in a registry cache (`spec.cache.from`) and not in the store. They count whether or not
    /// their layers had to be fetched: only those are that a step or an image reads.
    pub imported: i32,
    /// Unpacked bytes that the cached steps had added.
    pub bytes_reused: i64,
    /// Bytes of the store at the end of the build, with what other builds keep there.
    pub store_used: i64,
    /// Bytes free on its volume at the end of the build.
    pub store_free: i64,
}

/// How user code was isolated.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct IsolationStatus {
    pub way: String,
    pub reason: String,
}

/// Why a build failed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FailureStatus {
    /// A stable word.
    pub reason: String,
    /// What to tell people.
    pub message: String,
    /// The stage.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stage: String,
    /// The instruction.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instruction: String,
    /// Its line in the Dockerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<i32>,
    /// The exit code of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The last lines of its output.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// The pod whose log has more.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod: String,
}

/// One finished build.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HistoryEntry {
    /// Its number.
    pub run: i64,
    /// `Succeeded` or `Failed`.
    pub result: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What started it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trigger: String,
    /// The source revision.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The digest of the first image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<MicroTime>,
}
