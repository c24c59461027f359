//! What a build is asked to do: the `BuildRequest` and the ConfigMaps that carry it into the build pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use slipway_crds::ImageBuild;
use slipway_crds::build::{CacheCompression, CacheMode, CacheTo, CacheType, FailOn};
use slipway_crds::pods::PodsMode;
use slipway_crds::source::{GitRef, Source as SpecSource};
use slipway_crds::validate::ValidBuild;
use slipway_protocol::paths;
use slipway_protocol::request::{BuildRequest, CacheTarget, DockerfileRef, ImageRequest, PodPacking, Source};

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
        cache_from: valid.cache.from.iter().map(|(reference, _)| reference.clone()).collect(),
        cache_to: valid.cache.to.iter().map(cache_target).collect(),
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

fn cache_target(cache: &CacheTo) -> CacheTarget {
    CacheTarget {
        reference: cache.reference.clone(),
        max: cache.mode == CacheMode::Max,
        compression: cache.compression.map(CacheCompression::word).unwrap_or_default().to_owned(),
        ignore_error: cache.ignore_error,
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
    names
        .extend(valid.cache.to.iter().filter_map(|cache| cache.push_secret.as_ref()).map(|s| s.name.clone()));
    names.extend(valid.cache.from.iter().filter_map(|(_, secret)| secret.clone()));
    names.extend(valid.pod.image_pull_secrets.iter().map(|s| s.name.clone()));
    names.extend((!settings.default_push_secret.is_empty()).then(|| settings.default_push_secret.clone()));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Returns the field that names a registry Secret, for people.
pub fn secret_field(valid: &ValidBuild, name: &str) -> &'static str {
    let named = |secret: Option<&str>| secret == Some(name);
    if valid.images.iter().any(|image| named(image.push_secret.as_deref())) {
        "spec.images[].pushSecret"
    } else if valid.cache.to.iter().any(|to| named(to.push_secret.as_ref().map(|s| s.name.as_str()))) {
        "spec.cache.to[].pushSecret"
    } else if valid.cache.from.iter().any(|(_, secret)| named(secret.as_deref())) {
        "spec.cache.from[].pullSecret"
    } else if valid.pod.image_pull_secrets.iter().any(|secret| secret.name == name) {
        "spec.pod.imagePullSecrets"
    } else {
        "spec.source.oci.pullSecret"
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_crds::validate::{Defaults, validate};

    #[test]
    fn caches_and_their_secrets_come_into_the_build_pod() {
        let yaml = "{dockerfile: {inline: FROM scratch}, images: [{name: r.example/shop, pushSecret: {name: push}}],
            cache: {from: [{ref: 'cache.example/shop:main', pullSecret: {name: pull}}],
                    to: [{ref: 'cache.example/shop:main', mode: Max, compression: zstd, pushSecret: {name: write}}]}}";
        let valid = validate(&serde_yaml::from_str(yaml).unwrap(), &Defaults::default()).unwrap();
        assert_eq!(valid.cache.from[0].0, "cache.example/shop:main");
        let target = CacheTarget {
            reference: "cache.example/shop:main".into(),
            max: true,
            compression: "zstd".into(),
            ignore_error: false,
        };
        assert_eq!(cache_target(&valid.cache.to[0]), target);
        let settings = Settings { default_push_secret: String::new(), ..Settings::default() };
        assert_eq!(push_secrets(&valid, &settings), ["push", "write", "pull"]);
        assert_eq!(secret_field(&valid, "push"), "spec.images[].pushSecret");
        assert_eq!(secret_field(&valid, "write"), "spec.cache.to[].pushSecret");
        assert_eq!(secret_field(&valid, "pull"), "spec.cache.from[].pullSecret");
    }
}
