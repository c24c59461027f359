//! The first step of a reconcile: everything that the policy needs to know, read from the API.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret};
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use slipway_crds::ImageBuild;
use slipway_crds::source::{FluxKind, KeyRef};
use slipway_crds::validate::{ArgValue, ValidBuild};

use crate::objects::isolation::Level;
use crate::objects::{labels, request};
use crate::pod_view::PodView;
use crate::queue::Slot;
use crate::settings::Settings;

/// How much is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The pods, what may start another build, and after the end of a run what it left. Enough while nothing is to be made: of the
    /// rest nothing is known, and the claim is taken to be there.
    Pods,
    /// Everything.
    All,
}

/// What was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// How much it is.
    pub scope: Scope,
    /// The pods of the resource, of all runs.
    pub pods: Vec<PodView>,
    /// Names of the ConfigMaps of requests.
    pub requests: Vec<String>,
    /// What the namespace admits.
    pub level: Level,
    /// Build arguments with their values.
    pub args: BTreeMap<String, String>,
    /// The artifact of a Flux source.
    pub artifact: Option<Artifact>,
    /// What is referred to and missing, in sentences.
    pub problems: Vec<String>,
    /// Whether the build may start.
    pub slot: Slot,
    /// Whether the cache's claim is there.
    pub claim_exists: bool,
    /// Whether several nodes may mount it.
    pub claim_is_shared: bool,
}

/// The artifact of a Flux source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Artifact {
    pub url: String,
    pub digest: String,
    pub revision: String,
}

/// Why the API could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {what}")]
pub struct ObserveError {
    what: &'static str,
    source: kube::Error,
}

fn reading(what: &'static str) -> impl FnOnce(kube::Error) -> ObserveError {
    move |source| ObserveError { what, source }
}

/// Reads what a build depends on. `valid` is none for a spec that cannot be built: then only its pods matter.
pub async fn observe(
    client: &Client,
    build: &ImageBuild,
    valid: Option<&ValidBuild>,
    settings: &Settings,
    slot: Slot,
    scope: Scope,
) -> Result<Facts, ObserveError> {
    let namespace = build.namespace().unwrap_or_default();
    let selector = format!("{},{}={}", labels::managed_selector(), labels::BUILD, build.name_any());
    let own = ListParams::default().labels(&selector);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let uid = build.uid();
    let belongs = |owners: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference]| {
        owners.iter().any(|o| Some(&o.uid) == uid.as_ref())
    };
    let all = scope == Scope::All;
    let is_over = build.status.as_ref().is_some_and(|status| status.finished_at.is_some());
    let requests = async {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        if all || is_over { maps.list_metadata(&own).await.map(|list| list.items) } else { Ok(vec![]) }
    };
    let level = async { if all { level(client, &namespace).await } else { Level::Unset } };
    let claim = claim(client, &namespace, valid.filter(|_| all));
    // Every build waits for these several times, so they are asked for at once.
    let (list, requests, level, claim) = tokio::join!(pods.list(&own), requests, level, claim);
    let list = list.map_err(reading("the pods of the build"))?;
    let requests = requests.map_err(reading("the requests of the build"))?;
    let claim = claim?;
    let mut facts = Facts {
        scope,
        pods: list.items.iter().filter(|p| belongs(p.owner_references())).filter_map(PodView::of).collect(),
        requests: requests
            .iter()
            .filter(|m| belongs(m.owner_references()))
            .map(ResourceExt::name_any)
            .collect(),
        level,
        args: BTreeMap::new(),
        artifact: None,
        problems: vec![],
        slot,
        claim_exists: claim.is_some() || !all,
        claim_is_shared: claim
            .and_then(|c| c.spec?.access_modes)
            .is_some_and(|modes| modes.iter().any(|m| m == "ReadWriteMany")),
    };
    if let Some(valid) = valid {
        let mut reader = Reader { client, namespace: &namespace, facts: &mut facts };
        match scope {
            Scope::Pods => reader.artifact(valid).await?,
            Scope::All => reader.references(valid, settings).await?,
        }
    }
    Ok(facts)
}

/// Returns what the namespace enforces. Without the right to read it (an installation for single ones) that stays unknown.
async fn level(client: &Client, namespace: &str) -> Level {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = namespaces.get_metadata_opt(namespace).await.ok().flatten();
    let labels = found.as_ref().map(ResourceExt::labels);
    Level::of(labels.and_then(|l| l.get("pod-security.kubernetes.io/enforce")).map(String::as_str))
}

async fn claim(
    client: &Client,
    namespace: &str,
    valid: Option<&ValidBuild>,
) -> Result<Option<PersistentVolumeClaim>, ObserveError> {
    let Some(valid) = valid else { return Ok(None) };
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    claims.get_opt(&valid.cache.claim).await.map_err(reading("the cache's claim"))
}

struct Reader<'a> {
    client: &'a Client,
    namespace: &'a str,
    facts: &'a mut Facts,
}

impl Reader<'_> {
    async fn references(&mut self, valid: &ValidBuild, settings: &Settings) -> Result<(), ObserveError> {
        if !self.facts.claim_exists && !valid.cache.managed {
            self.missing(format!(
                "spec.cache.claim: there is no PersistentVolumeClaim `{}`",
                valid.cache.claim
            ));
        }
        self.args(valid).await?;
        self.artifact(valid).await?;
        if let Some(map) = valid.source.as_ref().and_then(|s| s.config_map.as_ref()) {
            let maps: Api<ConfigMap> = self.api();
            if maps.get_metadata_opt(&map.name).await.map_err(reading("the source's ConfigMap"))?.is_none() {
                self.missing(format!("spec.source.configMap: there is no ConfigMap `{}`", map.name));
            }
        }
        self.secrets(valid, settings).await
    }

    fn api<K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    fn missing(&mut self, sentence: String) {
        self.facts.problems.push(sentence);
    }

    async fn args(&mut self, valid: &ValidBuild) -> Result<(), ObserveError> {
        for (name, value) in &valid.args {
            let value = match value {
                ArgValue::Literal(value) => Some(value.clone()),
                ArgValue::ConfigMap(KeyRef { name: map, key }) => {
                    let maps: Api<ConfigMap> = self.api();
                    let found = maps.get_opt(map).await.map_err(reading("an argument's ConfigMap"))?;
                    let value = found.and_then(|m| m.data?.remove(key));
                    if value.is_none() {
                        self.missing(format!(
                            "spec.args `{name}`: there is no key `{key}` in a ConfigMap `{map}`"
                        ));
                    }
                    value
                }
            };
            self.facts.args.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(())
    }

    /// Only that a Secret is there is looked at; its content is never read by the operator.
    async fn secrets(&mut self, valid: &ValidBuild, settings: &Settings) -> Result<(), ObserveError> {
        let secrets: Api<Secret> = self.api();
        let git = valid
            .source
            .iter()
            .filter_map(|s| s.git.as_ref()?.secret_ref.as_ref())
            .map(|s| ("spec.source.git.secretRef", &s.name));
        let registries = request::push_secrets(valid, settings);
        let push = registries
            .iter()
            .filter(|n| **n != settings.default_push_secret)
            .map(|name| (request::secret_field(valid, name), name));
        let build = valid.secrets.values().map(|key| ("spec.secrets[].secretRef", &key.name));
        for (field, name) in git.chain(push).chain(build) {
            if secrets.get_metadata_opt(name).await.map_err(reading("a Secret's metadata"))?.is_none() {
                self.missing(format!("{field}: there is no Secret `{name}`"));
            }
        }
        Ok(())
    }

    /// Reads what may start another build.
    async fn artifact(&mut self, valid: &ValidBuild) -> Result<(), ObserveError> {
        let Some(flux) = valid.source.as_ref().and_then(|s| s.flux.as_ref()) else { return Ok(()) };
        let kind = match flux.kind {
            FluxKind::GitRepository => "GitRepository",
            FluxKind::OciRepository => "OCIRepository",
            FluxKind::Bucket => "Bucket",
            FluxKind::ExternalArtifact => "ExternalArtifact",
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", kind));
        let sources: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), self.namespace, &resource);
        let source = match sources.get_opt(&flux.name).await {
            Err(kube::Error::Api(error)) if error.code == 404 => None,
            other => other.map_err(reading("the Flux source"))?,
        };
        let artifact = source.as_ref().and_then(|s| s.data.pointer("/status/artifact"));
        let text = |name: &str| artifact.and_then(|a| a.get(name)?.as_str()).unwrap_or_default().to_owned();
        match (&source, text("url")) {
            (None, _) => self.missing(format!("spec.source.flux: there is no {kind} `{}`", flux.name)),
            (Some(_), url) if url.is_empty() => {
                self.missing(format!("spec.source.flux: {kind} `{}` has no artifact yet", flux.name));
            }
            (Some(_), url) => {
                self.facts.artifact =
                    Some(Artifact { url, digest: text("digest"), revision: text("revision") });
            }
        }
        Ok(())
    }
}
