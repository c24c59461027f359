//! What the operator asks of a build: written to a ConfigMap, mounted into the build pod as `request.json`.
//!
//! It holds no secret values: credentials are mounted as files, and only their mount paths stand here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One build, for every platform and target of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildRequest {
    /// A unique name of this build, fit for a file name: `<uid>-<run>`.
    pub id: String,
    /// `<namespace>/<name>` of the resource, for logs and for the explanation of misses.
    pub subject: String,
    /// Where the context comes from.
    pub source: Source,
    /// A folder of the source that is the context.
    #[serde(default)]
    pub sub_path: String,
    /// The Dockerfile's path in the context, or its text.
    pub dockerfile: DockerfileRef,
    /// Build arguments.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
    /// Named contexts: name → image reference.
    #[serde(default)]
    pub contexts: BTreeMap<String, String>,
    /// What comes out, in order.
    pub images: Vec<ImageRequest>,
    /// `linux/amd64`; the node's where empty.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// Take nothing from the cache.
    #[serde(default)]
    pub no_cache: bool,
    /// `Auto`, `Overlay` or `Root`.
    #[serde(default)]
    pub isolation: String,
    /// `never`, `error`, `warning`: which check results fail the build.
    #[serde(default)]
    pub checks_fail_on: String,
    /// Ids of the secrets that the resource offers.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Registry settings of the installation.
    #[serde(default)]
    pub registries: RegistrySettings,
    /// Registry cache to read, as references.
    #[serde(default)]
    pub cache_from: Vec<String>,
    /// Registry cache to write.
    #[serde(default)]
    pub cache_to: Vec<CacheTarget>,
    /// The largest size of any image in bytes, compressed; 0 for no limit.
    #[serde(default)]
    pub max_image_size: u64,
    /// The most seconds that the stages may take; 0 for no limit.
    #[serde(default)]
    pub max_build_seconds: f64,
    /// How stages are packed into pods, see `spec.pods.mode`.
    #[serde(default)]
    pub pods: PodPacking,
    /// The stages run in a container of the build pod itself: pod 0, which is there also where no stage needs it.
    #[serde(default)]
    pub one_pod: bool,
}

/// Where a context comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// No context.
    #[default]
    Empty,
    /// A folder that is mounted into the build pod: a ConfigMap, a volume.
    #[serde(rename_all = "camelCase")]
    Directory {
        /// Where.
        path: String,
    },
    /// A git repository.
    #[serde(rename_all = "camelCase")]
    Git {
        /// https, ssh or git URL.
        url: String,
        /// A branch, tag, ref or commit; empty for the default branch.
        #[serde(default)]
        reference: String,
        /// How much history; 0 for all.
        #[serde(default)]
        depth: u32,
        /// Fetch submodules.
        #[serde(default)]
        submodules: bool,
        /// A folder with `username`, `password`, `identity`, `known_hosts`, `ca.crt`; empty for none.
        #[serde(default)]
        credentials: String,
    },
    /// A tar archive, gzip or zstd allowed (also Flux artifacts).
    #[serde(rename_all = "camelCase")]
    Http {
        /// Where from.
        url: String,
        /// `sha256:…` that it must have; empty for any.
        #[serde(default)]
        digest: String,
        /// What to call the revision in the status; the digest where empty.
        #[serde(default)]
        revision: String,
    },
    /// An OCI artifact whose layers are tar archives.
    #[serde(rename_all = "camelCase")]
    Oci {
        /// Its reference.
        reference: String,
    },
}

/// Which Dockerfile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DockerfileRef {
    /// A path in the context.
    Path(String),
    /// Its text.
    Inline(String),
}

/// One output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRequest {
    /// The stage; empty for the last one.
    #[serde(default)]
    pub target: String,
    /// The repository to push to, with its host; empty: build only.
    #[serde(default)]
    pub name: String,
    /// Tags, as templates such as `{{branch}}-{{shortSha}}`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Labels of the image.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// A registry cache to write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CacheTarget {
    /// Where.
    pub reference: String,
    /// The layers of all stages, not only those of the images.
    pub max: bool,
    /// `gzip`, `zstd` or `none`; as the images' where empty.
    pub compression: String,
    /// The build succeeds where it cannot be written.
    pub ignore_error: bool,
}

/// How the installation reaches registries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegistrySettings {
    /// Host → mirrors, tried in order before the host.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Hosts that speak plain HTTP.
    pub insecure: Vec<String>,
    /// A file of extra root certificates.
    pub ca_file: String,
    /// Files of type `.dockerconfigjson`, the first that knows a registry wins.
    pub credentials: Vec<String>,
}

/// How stages are packed into pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodPacking {
    /// `PerStage`, `Auto` or `Single`.
    pub mode: String,
    /// The most stage pods of a build.
    pub max: u32,
    /// Stages (by name) that ask for a node or resources of their own and so never share a pod.
    pub apart: Vec<String>,
}
