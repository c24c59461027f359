//! What a build asks of a Dockerfile: targets, arguments, platforms, and the settings of its RUN steps.
//!
//! Nothing here is read from a file or the machine; callers fill it in.

use std::collections::BTreeMap;

use slipway_oci::Platform;

/// The `PATH` of an image that has none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The host name in a RUN where the request names none: the same everywhere, since programs record it.
pub const DEFAULT_HOSTNAME: &str = "slipway";

/// What to build of a Dockerfile, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Stages by name (any case) or number; none for the last stage.
    pub targets: Vec<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// What the images run on.
    pub platform: Platform,
    /// What RUN steps of `--platform=$BUILDPLATFORM` stages run on.
    pub build_platform: Platform,
    /// `--build-context`: names that stand for something else than a stage or an image.
    pub contexts: BTreeMap<String, NamedContext>,
    /// Labels that every target gets at its end.
    pub labels: BTreeMap<String, String>,
    /// What not to take from the cache.
    pub no_cache: NoCache,
    /// Extra lines of `/etc/hosts`: name and address.
    pub add_hosts: Vec<(String, String)>,
    /// Limits of RUN: name, soft, hard.
    pub ulimits: Vec<(String, u64, u64)>,
    /// The size of `/dev/shm` in RUN.
    pub shm_size: Option<u64>,
    /// The network of RUN steps that name none.
    pub network: crate::ir::Network,
    /// The host name in RUN.
    pub hostname: String,
    /// Seconds since 1970 that stand in for every time stamp: `SOURCE_DATE_EPOCH`.
    pub source_date_epoch: Option<i64>,
    /// Keeps the cache mounts of different builds apart.
    pub cache_namespace: String,
}

/// What a name of `--build-context` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// An image, by reference.
    Image(String),
    /// A file tree that the caller provides under the context's name.
    Tree,
}

/// What not to take from the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NoCache {
    /// Everything may come from the cache.
    #[default]
    Use,
    /// No stage.
    All,
    /// Not these stages, by name.
    Stages(Vec<String>),
}

impl Request {
    /// Makes a request for the last stage on a platform, with nothing special.
    pub fn new(platform: Platform) -> Self {
        Self {
            targets: vec![],
            build_args: BTreeMap::new(),
            build_platform: platform.clone(),
            platform,
            contexts: BTreeMap::new(),
            labels: BTreeMap::new(),
            no_cache: NoCache::Use,
            add_hosts: vec![],
            ulimits: vec![],
            shm_size: None,
            network: crate::ir::Network::Default,
            hostname: DEFAULT_HOSTNAME.to_owned(),
            source_date_epoch: None,
            cache_namespace: String::new(),
        }
    }

    /// Returns a build argument; `SOURCE_DATE_EPOCH` also where only the request's field says it.
    pub(crate) fn arg(&self, name: &str) -> Option<String> {
        match (self.build_args.get(name), self.source_date_epoch) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(seconds)) if name == "SOURCE_DATE_EPOCH" => Some(seconds.to_string()),
            _ => None,
        }
    }

    /// Returns true where a stage must not come from the cache.
    pub(crate) fn ignores_cache(&self, stage: Option<&str>) -> bool {
        match &self.no_cache {
            NoCache::Use => false,
            NoCache::All => true,
            NoCache::Stages(names) => {
                stage.is_some_and(|stage| names.iter().any(|n| n.eq_ignore_ascii_case(stage)))
            }
        }
    }

    /// Returns what a name stands for: `name::platform` goes before `name`.
    pub(crate) fn context(&self, name: &str, platform: &Platform) -> Option<&NamedContext> {
        if name.eq_ignore_ascii_case("scratch") || name.eq_ignore_ascii_case("context") {
            return None;
        }
        self.contexts.get(&format!("{name}::{platform}")).or_else(|| self.contexts.get(name))
    }
}
