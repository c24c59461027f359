//! Parse, don't validate: from the resource as users write it to the form that the operator works with.
//!
//! The API server has checked the schema and the CEL rules; this catches what they cannot say, and names the field.

use std::collections::BTreeMap;

use crate::build::{
    BuildArg, BuildSecret, CacheFrom, CacheTo, CacheType, FailOn, ImageBuildSpec, ImageSpec, Isolation,
};
use crate::pods::{PodSettings, PodsSpec, StageSettings};
use crate::quantity;
use crate::source::{KeyRef, Source};

#[cfg(test)]
mod tests;

/// What an installation sets for builds that say nothing.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Defaults {
    /// The registry of image names without a host.
    pub registry: String,
    /// The size of a namespace's cache claim.
    pub cache_size: String,
    /// Its storage class; the cluster's default where empty.
    pub cache_storage_class: String,
    /// How long a build may run.
    pub timeout: String,
    /// How long the pods of a finished build are kept.
    pub ttl: String,
    /// How many finished builds stand in the status.
    pub history_limit: i32,
    /// How user code is isolated where a build leaves it at `Auto`.
    pub isolation: Isolation,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            registry: String::new(),
            cache_size: "20Gi".into(),
            cache_storage_class: String::new(),
            timeout: "1h".into(),
            ttl: "1h".into(),
            history_limit: 10,
            isolation: Isolation::Auto,
        }
    }
}

/// One field that cannot be used as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldProblem {
    /// The field's path, as in `kubectl explain`.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// A build that can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidBuild {
    /// Where the context comes from; none for an empty one.
    pub source: Option<Source>,
    /// Seconds between two looks at a git source; none where it is not looked at.
    pub interval: Option<f64>,
    /// A folder of the source that is the context.
    pub sub_path: String,
    /// The Dockerfile's text where it stands inline.
    pub inline: Option<String>,
    /// Its path in the context otherwise.
    pub path: String,
    /// Build arguments.
    pub args: Vec<(String, ArgValue)>,
    /// Secrets by id.
    pub secrets: BTreeMap<String, KeyRef>,
    /// Named contexts.
    pub contexts: BTreeMap<String, String>,
    /// The images, at least one.
    pub images: Vec<ValidImage>,
    /// What the images run on.
    pub platforms: Vec<String>,
    /// Settings for single stages.
    pub stages: BTreeMap<String, StageSettings>,
    /// Settings for all pods.
    pub pod: PodSettings,
    /// How stages are packed into pods.
    pub pods: PodsSpec,
    /// The cache.
    pub cache: ValidCache,
    /// How user code is isolated.
    pub isolation: Isolation,
    /// Seconds that a build may run.
    pub timeout: f64,
    /// Tries after faults of the infrastructure.
    pub retries: i32,
    /// Which findings fail the build.
    pub fail_on: FailOn,
    /// The largest compressed image in bytes; 0 for no limit.
    pub max_image_size: u64,
    /// The most seconds that the stages may take; 0 for no limit.
    pub max_build_seconds: f64,
    /// Start nothing.
    pub suspend: bool,
    /// Finished builds in the status.
    pub history_limit: usize,
    /// Seconds that finished pods are kept.
    pub ttl: f64,
}

/// The value of an argument.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgValue {
    /// Given.
    Literal(String),
    /// In a ConfigMap.
    ConfigMap(KeyRef),
}

/// One image.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ValidImage {
    /// The stage; empty for the last one.
    pub target: String,
    /// The repository with its host; empty where nothing is pushed.
    pub repository: String,
    /// Tags as templates.
    pub tags: Vec<String>,
    /// The Secret to push with.
    pub push_secret: Option<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
}

/// The cache.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidCache {
    /// What keeps the layers.
    pub kind: CacheType,
    /// The claim's name.
    pub claim: String,
    /// True where the operator makes the claim.
    pub managed: bool,
    /// Its size.
    pub size: String,
    /// The size that the spec itself names.
    pub own_size: Option<String>,
    /// Its storage class; empty for the cluster's default.
    pub storage_class: String,
    /// Take nothing from the cache.
    pub disabled: bool,
    /// Registry caches to read: the reference and the Secret to pull with.
    pub from: Vec<(String, Option<String>)>,
    /// Registry caches to write; references have their host.
    pub to: Vec<CacheTo>,
}

/// The shortest time between two looks at a source, in seconds.
const SHORTEST_INTERVAL: f64 = 10.0;

/// The claim that the operator makes in a namespace.
pub const DEFAULT_CLAIM: &str = "slipway-cache";

/// Checks a spec and fills in what it leaves open.
pub fn validate(spec: &ImageBuildSpec, defaults: &Defaults) -> Result<ValidBuild, Vec<FieldProblem>> {
    let mut problems = Problems(vec![]);
    let cache = spec.cache.clone().unwrap_or_default();
    let history = spec.history.clone().unwrap_or_default();
    let dockerfile = spec.dockerfile.clone().unwrap_or_default();
    if spec.source.is_none() && dockerfile.inline.is_none() {
        problems.add("spec.dockerfile.inline", "is needed where there is no spec.source");
    }
    let size = cache.size.clone().unwrap_or_else(|| defaults.cache_size.clone());
    if quantity::bytes(&size).is_none() {
        problems.add("spec.cache.size", format!("`{size}` is not a size such as 20Gi"));
    }
    let max_image_size = spec.budgets.as_ref().and_then(|b| b.image_size.as_deref()).map_or(0, |text| {
        quantity::bytes(text).unwrap_or_else(|| {
            problems.add("spec.budgets.imageSize", format!("`{text}` is not a size such as 200Mi"));
            0
        })
    });
    let interval = spec.source.as_ref().and_then(|s| s.git.as_ref()?.interval.as_deref()).map(|text| {
        let seconds = problems.seconds("spec.source.git.interval", text);
        if seconds < SHORTEST_INTERVAL {
            problems.add("spec.source.git.interval", format!("`{text}` is shorter than 10s"));
        }
        seconds
    });
    let valid = ValidBuild {
        interval,
        sub_path: problems.relative(
            "spec.source.subPath",
            spec.source.as_ref().and_then(|s| s.sub_path.as_deref()).unwrap_or(""),
        ),
        source: spec.source.clone(),
        path: problems.relative("spec.dockerfile.path", dockerfile.path.as_deref().unwrap_or("Dockerfile")),
        inline: dockerfile.inline,
        args: args(&spec.args, &mut problems),
        secrets: secrets(&spec.secrets, &mut problems),
        contexts: spec.contexts.iter().map(|c| (c.name.clone(), c.image.clone())).collect(),
        images: images(&spec.images, defaults, &mut problems),
        platforms: spec.platforms.clone(),
        stages: spec.stages.iter().map(|s| (s.name.to_ascii_lowercase(), s.clone())).collect(),
        pod: spec.pod.clone().unwrap_or_default(),
        pods: spec.pods.clone().unwrap_or_default(),
        cache: ValidCache {
            kind: cache.kind,
            managed: cache.claim.is_none(),
            claim: cache.claim.unwrap_or_else(|| DEFAULT_CLAIM.to_owned()),
            size,
            own_size: cache.size,
            storage_class: cache.storage_class_name.unwrap_or_else(|| defaults.cache_storage_class.clone()),
            disabled: cache.disabled,
            from: cache_from(&cache.from, defaults, &mut problems),
            to: cache_to(&cache.to, defaults, &mut problems),
        },
        isolation: if spec.isolation == Isolation::Auto { defaults.isolation } else { spec.isolation },
        timeout: problems.seconds("spec.timeout", spec.timeout.as_deref().unwrap_or(&defaults.timeout)),
        retries: spec.retries,
        fail_on: spec.checks.as_ref().map_or(FailOn::Error, |c| c.fail_on),
        max_image_size,
        max_build_seconds: spec
            .budgets
            .as_ref()
            .and_then(|b| b.duration.as_deref())
            .map_or(0.0, |text| problems.seconds("spec.budgets.duration", text)),
        suspend: spec.suspend,
        history_limit: usize::try_from(history.limit.unwrap_or(defaults.history_limit)).unwrap_or(0),
        ttl: problems.seconds("spec.history.ttl", history.ttl.as_deref().unwrap_or(&defaults.ttl)),
    };
    if problems.0.is_empty() { Ok(valid) } else { Err(problems.0) }
}

struct Problems(Vec<FieldProblem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(FieldProblem { field: field.into(), problem: problem.into() });
    }

    fn seconds(&mut self, field: &str, text: &str) -> f64 {
        quantity::seconds(text).unwrap_or_else(|| {
            self.add(field, format!("`{text}` is not a duration such as 30m"));
            0.0
        })
    }

    /// Takes a path that stays below where it starts.
    fn relative(&mut self, field: &str, path: &str) -> String {
        let trimmed = path.trim_start_matches("./").trim_end_matches('/');
        if path.starts_with('/') || trimmed.split('/').any(|part| part == "..") {
            self.add(field, format!("`{path}` must be a path below the source, without `..`"));
        }
        if trimmed == "." { String::new() } else { trimmed.to_owned() }
    }
}

fn args(args: &[BuildArg], problems: &mut Problems) -> Vec<(String, ArgValue)> {
    args.iter()
        .enumerate()
        .filter_map(|(at, arg)| {
            let value = match (&arg.value, &arg.value_from) {
                (Some(value), None) => ArgValue::Literal(value.clone()),
                (None, Some(from)) => ArgValue::ConfigMap(from.config_map_key_ref.clone()),
                (None, None) => ArgValue::Literal(String::new()),
                (Some(_), Some(_)) => {
                    problems.add(format!("spec.args[{at}]"), "takes value or valueFrom, not both");
                    return None;
                }
            };
            Some((arg.name.clone(), value))
        })
        .collect()
}

fn secrets(secrets: &[BuildSecret], problems: &mut Problems) -> BTreeMap<String, KeyRef> {
    let mut by_id = BTreeMap::new();
    for (at, secret) in secrets.iter().enumerate() {
        if by_id.insert(secret.id.clone(), secret.secret_ref.clone()).is_some() {
            problems.add(format!("spec.secrets[{at}].id"), format!("`{}` is there twice", secret.id));
        }
    }
    by_id
}

fn images(images: &[ImageSpec], defaults: &Defaults, problems: &mut Problems) -> Vec<ValidImage> {
    if images.is_empty() {
        return vec![ValidImage::default()];
    }
    images
        .iter()
        .enumerate()
        .map(|(at, image)| ValidImage {
            target: image.target.clone().unwrap_or_default(),
            repository: image
                .name
                .as_deref()
                .map(|name| repository(name, at, defaults, problems))
                .unwrap_or_default(),
            tags: match &image.tags {
                Some(tags) if !tags.is_empty() => tags.clone(),
                _ => vec!["latest".into()],
            },
            push_secret: image.push_secret.as_ref().map(|s| s.name.clone()),
            labels: image.labels.clone(),
            annotations: image.annotations.clone(),
        })
        .collect()
}

fn cache_from(
    from: &[CacheFrom],
    defaults: &Defaults,
    problems: &mut Problems,
) -> Vec<(String, Option<String>)> {
    let one = |(at, cache): (usize, &CacheFrom)| {
        let field = format!("spec.cache.from[{at}].ref");
        let secret = cache.pull_secret.as_ref().map(|secret| secret.name.clone());
        (with_host(&cache.reference, &field, defaults, problems), secret)
    };
    from.iter().enumerate().map(one).collect()
}

fn cache_to(to: &[CacheTo], defaults: &Defaults, problems: &mut Problems) -> Vec<CacheTo> {
    let mut seen = std::collections::BTreeSet::new();
    let mut all = Vec::new();
    for (at, cache) in to.iter().enumerate() {
        let field = format!("spec.cache.to[{at}].ref");
        let reference = with_host(&cache.reference, &field, defaults, problems);
        if reference.contains('@') {
            problems.add(&field, "has a digest: a cache is written under a tag");
        }
        if !seen.insert(reference.clone()) {
            problems
                .add(&field, format!("`{reference}` is there twice: the second one would replace the first"));
        }
        all.push(CacheTo { reference, ..cache.clone() });
    }
    all
}

/// Checks the name of an image, and gives it its registry host.
fn repository(name: &str, at: usize, defaults: &Defaults, problems: &mut Problems) -> String {
    let field = format!("spec.images[{at}].name");
    let (_, rest) = name.split_once('/').unwrap_or(("", name));
    if rest.contains(':') {
        problems.add(&field, format!("`{name}` has a tag: put it into tags"));
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) && rest.bytes().any(|b| b.is_ascii_uppercase()) {
        problems.add(&field, format!("`{name}` must be lowercase"));
    }
    with_host(name, &field, defaults, problems)
}

/// Gives a name its registry host: the first part is one where it has a point or a port, or is `localhost`.
fn with_host(name: &str, field: &str, defaults: &Defaults, problems: &mut Problems) -> String {
    let first = name.split_once('/').map_or("", |(first, _)| first);
    if first == "localhost" || first.contains(['.', ':']) {
        return name.to_owned();
    }
    if defaults.registry.is_empty() {
        problems.add(
            field,
            format!("`{name}` has no registry host, and the installation sets no default registry"),
        );
    }
    format!("{}/{name}", defaults.registry)
}
