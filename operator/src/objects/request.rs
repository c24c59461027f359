//! What a build is asked to do: the `BuildRequest` and the ConfigMaps that carry it into the build pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use slipway_crds::ImageBuild;
use slipway_crds::build::{CacheType, FailOn};
use slipway_crds::pods::PodsMode;
use slipway_crds::source::{GitRef, Source as SpecSource};
use slipway_crds::validate::ValidBuild;
use slipway_protocol::paths;
use slipway_protocol::request::{BuildRequest, DockerfileRef, ImageRequest, PodPacking, Source};

use super::{labels, names};
use crate::observe::Facts;
use crate::plan::Attempt;
use crate::settings::Settings;

/// The key of the small inline files, one key a file: their names may hold slashes, keys may not.
pub fn file_key(index: usize) -> String {
    format!("file-{index}")
}

/// Makes the ConfigMap that the build pod mounts.
pub fn config_map(
    build: &ImageBuild,
    valid: &ValidBuild,
    facts: &Facts,
    settings: &Settings,
    attempt: Attempt,
) -> ConfigMap {
    let request = request(build, valid, facts, settings, attempt);
    let json = serde_json::to_string(&request).unwrap_or_default();
    let mut data = BTreeMap::from([(paths::REQUEST_FILE.to_owned(), json)]);
    if !settings.ca_bundle.is_empty() {
        data.insert(paths::CA_FILE.to_owned(), settings.ca_bundle.clone());
    }
    if let Some(files) = valid.source.as_ref().and_then(|s| s.files.as_ref()) {
        data.extend(files.values().enumerate().map(|(at, text)| (file_key(at), text.clone())));
    }
    let name = names::request(&build.name_any(), attempt.run, attempt.number);
    ConfigMap {
        metadata: labels::owned(build, name, labels::of_run(build, attempt.run, attempt.number)),
        data: Some(data),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

/// Makes the request.
pub fn request(
    build: &ImageBuild,
    valid: &ValidBuild,
    facts: &Facts,
    settings: &Settings,
    attempt: Attempt,
) -> BuildRequest {
    let mut registries = settings.registries.clone();
    if !settings.ca_bundle.is_empty() {
        registries.ca_file = format!("{}/{}", paths::REQUEST_DIR, paths::CA_FILE);
    }
    registries.credentials = push_secrets(valid, settings).iter().map(|name| credential_file(name)).collect();
    BuildRequest {
        id: names::build_id(&build.uid().unwrap_or_default(), attempt.run, attempt.number),
        subject: format!("{}/{}", build.namespace().unwrap_or_default(), build.name_any()),
        source: source(valid, facts),
        sub_path: valid.sub_path.clone(),
        dockerfile: valid
            .inline
            .clone()
            .map_or_else(|| DockerfileRef::Path(valid.path.clone()), DockerfileRef::Inline),
        args: facts.args.clone(),
        contexts: valid.contexts.clone(),
        images: valid
            .images
            .iter()
            .map(|image| ImageRequest {
                target: image.target.clone(),
                name: image.repository.clone(),
                tags: image.tags.iter().map(|tag| fill(tag, build, attempt.run)).collect(),
                labels: image.labels.clone(),
                annotations: image.annotations.clone(),
            })
            .collect(),
        platforms: valid.platforms.clone(),
        no_cache: valid.cache.disabled,
        isolation: format!("{:?}", valid.isolation),
        checks_fail_on: match valid.fail_on {
            FailOn::Never => "never",
            FailOn::Error => "error",
            FailOn::Warning => "warning",
        }
        .into(),
        secrets: valid.secrets.keys().cloned().collect(),
        registries,
        cache_from: vec![],
        cache_to: vec![],
        max_image_size: valid.max_image_size,
        max_build_seconds: valid.max_build_seconds,
        pods: packing(valid),
        one_pod: valid.cache.kind == CacheType::None,
    }
}

/// Without a claim there is one pod, and no stage can be apart.
fn packing(valid: &ValidBuild) -> PodPacking {
    if valid.cache.kind == CacheType::None {
        return PodPacking { mode: PodsMode::Single.word().into(), max: 1, apart: vec![] };
    }
    PodPacking {
        mode: valid.pods.mode.word().into(),
        max: u32::try_from(valid.pods.max).unwrap_or(1),
        apart: valid.stages.keys().cloned().collect(),
    }
}

/// Fills in what the operator knows of a tag's template; the executor fills in what the source says.
fn fill(tag: &str, build: &ImageBuild, run: i64) -> String {
    tag.replace("{{run}}", &run.to_string())
        .replace("{{generation}}", &build.metadata.generation.unwrap_or_default().to_string())
        .replace("{{name}}", &build.name_any())
}

/// Returns the Secrets that the build pod mounts to speak with registries, the first that knows a registry wins.
pub fn push_secrets(valid: &ValidBuild, settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> = valid.images.iter().filter_map(|image| image.push_secret.clone()).collect();
    names.extend(
        valid.source.iter().filter_map(|s| s.oci.as_ref()?.pull_secret.as_ref()).map(|s| s.name.clone()),
    );
    names.extend(valid.pod.image_pull_secrets.iter().map(|s| s.name.clone()));
    names.extend((!settings.default_push_secret.is_empty()).then(|| settings.default_push_secret.clone()));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Returns where a registry Secret's file lies in the build pod.
fn credential_file(secret: &str) -> String {
    format!("{}/{secret}/.dockerconfigjson", paths::CREDENTIALS)
}

fn source(valid: &ValidBuild, facts: &Facts) -> Source {
    let Some(source) = &valid.source else { return Source::Empty };
    match source {
        SpecSource { git: Some(git), .. } => Source::Git {
            url: git.url.clone(),
            reference: git.reference.as_ref().map(reference).unwrap_or_default(),
            depth: u32::try_from(git.depth).unwrap_or(1),
            submodules: git.submodules,
            credentials: git
                .secret_ref
                .as_ref()
                .map(|s| format!("{}/{}", paths::CREDENTIALS, s.name))
                .unwrap_or_default(),
        },
        SpecSource { http: Some(http), .. } => Source::Http {
            url: http.url.clone(),
            digest: http.digest.clone().unwrap_or_default(),
            revision: String::new(),
        },
        SpecSource { oci: Some(oci), .. } => Source::Oci { reference: oci.reference.clone() },
        SpecSource { flux: Some(_), .. } => facts
            .artifact
            .as_ref()
            .map(|a| Source::Http {
                url: a.url.clone(),
                digest: a.digest.clone(),
                revision: a.revision.clone(),
            })
            .unwrap_or_default(),
        SpecSource { volume: Some(volume), .. } => {
            let below = volume.path.as_deref().unwrap_or_default().trim_matches('/');
            Source::Directory {
                path: format!("{}/{below}", paths::SOURCE_DIR).trim_end_matches('/').to_owned(),
            }
        }
        _ => Source::Directory { path: paths::SOURCE_DIR.to_owned() },
    }
}

/// Returns a git ref in the words of git.
pub fn reference(reference: &GitRef) -> String {
    match reference {
        GitRef { commit: Some(commit), .. } => commit.clone(),
        GitRef { name: Some(name), .. } => name.clone(),
        GitRef { tag: Some(tag), .. } => format!("refs/tags/{tag}"),
        GitRef { branch: Some(branch), .. } => format!("refs/heads/{branch}"),
        _ => String::new(),
    }
}
