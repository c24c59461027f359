//! The resource and its spec. Descriptions here are what `kubectl explain` shows.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pods::{PodSettings, PodsSpec, StageSettings};
use crate::source::{KeyRef, NameRef, Source};
use crate::status::ImageBuildStatus;

/// Builds images from a Dockerfile: its stages run as pods of their own beside one shared layer cache.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[kube(
    group = "slipway.dev",
    version = "v1alpha1",
    kind = "ImageBuild",
    doc = "Builds images from a Dockerfile: its stages run as pods of their own beside one shared layer cache.",
    namespaced,
    status = "ImageBuildStatus",
    shortname = "ib",
    category = "slipway",
    derive = "PartialEq",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Stages", type_ = "string", json_path = ".status.progress", description = "Stages done of all that are needed"),
    printcolumn(name = "Size", type_ = "string", json_path = ".status.size", description = "Compressed size of the first image"),
    printcolumn(name = "Time", type_ = "string", json_path = ".status.duration"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".status.digest"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", priority = 1, json_path = r#".status.conditions[?(@.type=="Ready")].message"#),
    validation = Rule::new("self.metadata.name.size() <= 52").message("the name must have at most 52 characters: the names of pods are made from it")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.dockerfile) || !has(self.dockerfile.inline) || !has(self.dockerfile.path)").message("dockerfile takes path or inline, not both"))]
#[x_kube(validation = Rule::new("has(self.source) || (has(self.dockerfile) && has(self.dockerfile.inline))").message("without a source, dockerfile.inline is needed"))]
pub struct ImageBuildSpec {
    /// Where the build context comes from; at most one kind. Without it the context is empty and the Dockerfile stands inline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The Dockerfile: a path in the source (the default is `Dockerfile`) or its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<DockerfileSpec>,
    /// Build arguments, as `--build-arg`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub args: Vec<BuildArg>,
    /// Secrets that `RUN --mount=type=secret` and `type=ssh` may ask for; only the stages that ask get them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub secrets: Vec<BuildSecret>,
    /// Named contexts that replace a stage or an image of that name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub contexts: Vec<NamedContext>,
    /// The images to make: one Dockerfile, several targets. Without any, the last stage is built and not pushed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub images: Vec<ImageSpec>,
    /// What the images run on, for example `linux/amd64`; the node's own where empty. Several give an index. Commands of a
    /// platform that the node cannot run fail, so compile in stages `FROM --platform=$BUILDPLATFORM`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub platforms: Vec<String>,
    /// Settings for single stages, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub stages: Vec<StageSettings>,
    /// Settings for all pods of the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
    /// How stages are packed into pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodsSpec>,
    /// The layer cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSpec>,
    /// How user code is isolated: `Auto` takes the best way that the namespace and the node allow.
    #[serde(default)]
    pub isolation: Isolation,
    /// How long a build may run: `30m`, `1h30m`. All its tries count, waiting does not: in the queue, for a node, between tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"))]
    pub timeout: Option<String>,
    /// How often a build is tried again after a fault of the infrastructure (never after a failing instruction).
    #[serde(default = "default_retries")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: i32,
    /// What the checks of the Dockerfile do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<ChecksSpec>,
    /// Limits that fail the build when they are passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Budgets>,
    /// Start no build while this is true; a running one goes on.
    #[serde(default)]
    pub suspend: bool,
    /// What is kept of finished builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistorySpec>,
}

fn default_retries() -> i32 {
    2
}

/// The Dockerfile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DockerfileSpec {
    /// Its path in the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub path: Option<String>,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    pub inline: Option<String>,
}

/// A build argument.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.value) && has(self.valueFrom))").message("an arg takes value or valueFrom, not both"))]
pub struct BuildArg {
    /// The name of the `ARG`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub value: Option<String>,
    /// Where its value stands. Arguments are no place for secrets: they are in the image's history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ArgSource>,
}

/// Where the value of an argument stands.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArgSource {
    /// A key of a ConfigMap in the same namespace.
    pub config_map_key_ref: KeyRef,
}

/// A secret that a RUN may mount.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildSecret {
    /// The id in `--mount=type=secret,id=…` or `type=ssh,id=…`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub id: String,
    /// The key of a Secret in the same namespace that holds it.
    pub secret_ref: KeyRef,
}

/// A named context.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedContext {
    /// The stage or image that it replaces.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The image to take instead.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
}

/// One image to make.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.name) || !has(self.tags)").message("tags need a name to be pushed to"))]
pub struct ImageSpec {
    /// The stage to build, by name or number; the last one where empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub target: Option<String>,
    /// The repository to push to; a name without a registry host goes to the installation's default registry. Without a name
    /// the stage is built, must succeed, and is not pushed: tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s@]+$"))]
    pub name: Option<String>,
    /// Tags; templates may use {{branch}}, {{tag}}, {{sha}}, {{shortSha}}, {{run}}, {{generation}}, {{date}}, {{unixTime}}. `latest` where empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub tags: Option<Vec<String>>,
    /// A Secret of type kubernetes.io/dockerconfigjson with the right to push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_secret: Option<NameRef>,
    /// Labels to add to the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations to add to its manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The layer cache.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheSpec {
    /// `Claim` keeps layers on a PersistentVolumeClaim; `None` builds everything in one pod on its own disk.
    #[serde(default, rename = "type")]
    pub kind: CacheType,
    /// A claim of the namespace to use; without it the operator makes `slipway-cache` on first use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// The size of the claim that the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Its storage class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// Take nothing from the cache in the next build.
    #[serde(default)]
    pub disabled: bool,
    /// Registry caches to read: what they have need not be built here. One that cannot be read is a warning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub from: Vec<CacheFrom>,
    /// Registry caches to write after the images are pushed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub to: Vec<CacheTo>,
}

/// A registry cache to read.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheFrom {
    /// A cache that a build wrote, or an image that was built with an inline cache: `registry.example/shop-cache:main`. A
    /// name without a registry host is one of the installation's default registry. Whoever can write to it can choose
    /// layers of the image.
    #[serde(rename = "ref")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub reference: String,
    /// A Secret of type kubernetes.io/dockerconfigjson with the right to pull; only the build pod gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<NameRef>,
}

/// A registry cache to write.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.ref.contains('@')").message("a cache is written under a tag, not under a digest"))]
pub struct CacheTo {
    /// The repository and tag to write, for example `registry.example/shop-cache:main`. A name without a registry host
    /// goes to the installation's default registry.
    #[serde(rename = "ref")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub reference: String,
    /// `Min` writes the layers of the images, `Max` those of all stages.
    #[serde(default)]
    pub mode: CacheMode,
    /// How layers are packed that the images do not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<CacheCompression>,
    /// A Secret of type kubernetes.io/dockerconfigjson with the right to push; only the build pod gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_secret: Option<NameRef>,
    /// Let the build succeed where the cache cannot be written.
    #[serde(default)]
    pub ignore_error: bool,
}

/// How much of a build is written to a cache.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default, JsonSchema)]
#[allow(missing_docs)]
pub enum CacheMode {
    #[default]
    Min,
    Max,
}

/// How the layers of a cache are packed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum CacheCompression {
    Gzip,
    Zstd,
    None,
}

impl CacheCompression {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::None => "none",
        }
    }
}

/// What keeps the layers.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default, JsonSchema)]
#[allow(missing_docs)]
pub enum CacheType {
    #[default]
    Claim,
    None,
}

/// How user code is isolated.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default, JsonSchema)]
#[allow(missing_docs)]
pub enum Isolation {
    #[default]
    Auto,
    Overlay,
    Root,
}

/// What the checks of the Dockerfile do.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChecksSpec {
    /// Which findings fail the build.
    #[serde(default)]
    pub fail_on: FailOn,
}

/// Which findings fail a build.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum FailOn {
    Never,
    #[default]
    Error,
    Warning,
}

/// Limits that fail the build when they are passed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Budgets {
    /// The largest compressed size of an image: `200Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<String>,
    /// How long the stages may take, without planning, waiting for a place and pushing: `10m`. Nothing is pushed of a build
    /// that took longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"))]
    pub duration: Option<String>,
}

/// What is kept of finished builds.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistorySpec {
    /// How many finished builds stand in `status.history`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 50))]
    pub limit: Option<i32>,
    /// How long the pods of a finished build are kept for their logs: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"))]
    pub ttl: Option<String>,
}
