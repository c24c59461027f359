//! Where a build context comes from.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The source of a build: exactly one kind.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.git), has(self.files), has(self.configMap), has(self.http), has(self.oci), has(self.volume), has(self.flux)].filter(x, x).size() == 1")
    .message("source takes exactly one of git, files, configMap, http, oci, volume, flux"))]
pub struct Source {
    /// A git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitSource>,
    /// A few small files, path → content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, String>>,
    /// The keys of a ConfigMap as files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<NameRef>,
    /// A tar archive (gzip or zstd allowed) over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSource>,
    /// An OCI artifact whose layers are tar archives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciSource>,
    /// A folder of a PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeSource>,
    /// The artifact of a Flux source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flux: Option<FluxSource>,
    /// A folder of the source that is the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub sub_path: Option<String>,
}

/// A git repository.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.interval) || !has(self.ref) || !has(self.ref.commit)")
    .message("interval looks at what moves: a commit does not"))]
pub struct GitSource {
    /// An https or ssh URL.
    #[schemars(
        length(min = 1, max = 2048),
        regex(pattern = r"^(https?://|ssh://|git://|[A-Za-z0-9._-]+@)[^\s]+$")
    )]
    pub url: String,
    /// What to check out; the default branch where empty.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<GitRef>,
    /// How often to look whether the ref has moved: `5m`, at least 10s. A new revision is a new build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"))]
    pub interval: Option<String>,
    /// A Secret with `username` and `password`, or `identity` and `known_hosts`, or `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
    /// How much history to fetch; 0 for all.
    #[serde(default = "one")]
    #[schemars(range(min = 0))]
    pub depth: i32,
    /// Fetch submodules.
    #[serde(default)]
    pub submodules: bool,
}

fn one() -> i32 {
    1
}

/// What to check out: at most one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.branch), has(self.tag), has(self.commit), has(self.name)].filter(x, x).size() <= 1")
    .message("ref takes one of branch, tag, commit, name"))]
pub struct GitRef {
    /// A branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^[^-\s][^\s]*$"))]
    pub branch: Option<String>,
    /// A tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^[^-\s][^\s]*$"))]
    pub tag: Option<String>,
    /// A commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{7,64}$"))]
    pub commit: Option<String>,
    /// A full ref such as `refs/pull/7/head`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^refs/[^\s]+$"))]
    pub name: Option<String>,
}

/// An archive over HTTP.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpSource {
    /// Where from.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub url: String,
    /// The sha256 digest that the archive must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
}

/// An OCI artifact.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciSource {
    /// Its reference, tag or digest included.
    #[schemars(length(min = 1, max = 1024))]
    pub reference: String,
    /// A Secret of type kubernetes.io/dockerconfigjson.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<NameRef>,
}

/// A folder of a claim.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSource {
    /// The claim, in the same namespace; mounted read-only.
    #[schemars(length(min = 1, max = 253))]
    pub claim: String,
    /// The folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A Flux source of the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FluxSource {
    /// What kind of source.
    pub kind: FluxKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The kinds of Flux sources.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default, JsonSchema)]
#[allow(missing_docs)]
pub enum FluxKind {
    #[default]
    GitRepository,
    #[serde(rename = "OCIRepository")]
    OciRepository,
    Bucket,
    ExternalArtifact,
}

/// An object of the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A key of an object of the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
