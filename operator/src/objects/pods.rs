//! The two kinds of pods: the build pod, which holds credentials and runs no user code, and stage pods, which do the opposite.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, KeyToPath,
    LocalObjectReference, PersistentVolumeClaimVolumeSource, Pod, PodAffinity, PodAffinityTerm, PodSpec,
    SecretVolumeSource, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use slipway_crds::ImageBuild;
use slipway_crds::build::CacheType;
use slipway_crds::source::GitSource;
use slipway_crds::validate::ValidBuild;
use slipway_protocol::paths;
use slipway_protocol::report::PlannedStage;

use super::isolation::{self, Level, Rung};
use super::{identity, labels, names, request, small};
use crate::observe::Facts;
use crate::plan::Attempt;
use crate::settings::{PodDefaults, Settings};

/// Everything that pods are made from.
pub struct Blueprint<'a> {
    /// The resource.
    pub build: &'a ImageBuild,
    /// Its checked spec.
    pub valid: &'a ValidBuild,
    /// What was observed besides.
    pub facts: &'a Facts,
    /// The installation's settings.
    pub settings: &'a Settings,
    /// Which try.
    pub attempt: Attempt,
}

/// Whose log `kubectl logs` shows.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

const STORE: &str = "store";
const SCRATCH: &str = "scratch";
const STAGE_SCRATCH: &str = "stage-scratch";
const SOURCE: &str = "source";
const CREDENTIALS: &str = "credentials";

impl Blueprint<'_> {
    /// Makes the build pod. `together` is for builds without a claim: how the stages run that are then a container of this pod.
    pub fn build_pod(&self, together: Option<(Rung, bool)>) -> Pod {
        let attempt = self.attempt;
        let name = names::part(&self.build.name_any(), attempt.run, "build", attempt.number);
        let plain = self.facts.level == Level::Restricted;
        let store = if plain { paths::PLAIN_STORE_SUB_PATH } else { paths::STORE_SUB_PATH };
        let mut volumes = vec![
            self.store_volume(),
            empty_dir(SCRATCH),
            Volume {
                name: "request".into(),
                config_map: Some(ConfigMapVolumeSource {
                    name: names::request(&self.build.name_any(), attempt.run, attempt.number),
                    items: Some(self.request_items()),
                    ..ConfigMapVolumeSource::default()
                }),
                ..Volume::default()
            },
        ];
        let mut mounts = vec![
            VolumeMount { sub_path: Some(store.into()), ..mount(STORE, paths::STORE) },
            mount(SCRATCH, paths::SCRATCH),
            VolumeMount { read_only: Some(true), ..mount("request", paths::REQUEST_DIR) },
        ];
        let mut env = self.container().env.unwrap_or_default();
        let identity = self.settings.reports.as_ref().map(|operator| {
            env.push(identity::variable(operator));
            identity::volume()
        });
        for (volume, at) in self.credentials().into_iter().chain(self.source_volume()).chain(identity) {
            mounts.push(VolumeMount { read_only: Some(true), ..mount(&volume.name, &at) });
            volumes.push(volume);
        }
        let context = if plain { isolation::plain_context() } else { isolation::build_context() };
        let mut containers = vec![Container {
            name: paths::BUILD_CONTAINER.into(),
            args: Some(paths::build_args()),
            volume_mounts: Some(mounts),
            security_context: Some(context),
            resources: Some(self.settings.build_pods.resources.clone()),
            env: Some(env),
            ..self.container()
        }];
        let mut host_users = None;
        // Where user code runs, it is the settings of stage pods that keep it in: a runtime class of virtual machines.
        let defaults = if together.is_some() { &self.settings.stage_pods } else { &self.settings.build_pods };
        if let Some((rung, user_namespace)) = together {
            let everything: Vec<&String> = self.valid.secrets.keys().collect();
            let (mut stage, more) = self.stage_container(0, &everything, rung, user_namespace);
            stage.args = Some(paths::stage_args(&self.id(), 0, true));
            // The build's scratch may hold what it fetched with credentials.
            stage.volume_mounts.iter_mut().flatten().filter(|m| m.name == SCRATCH).for_each(|m| {
                STAGE_SCRATCH.clone_into(&mut m.name);
            });
            volumes.extend(more);
            volumes.push(empty_dir(STAGE_SCRATCH));
            containers.push(stage);
            host_users = user_namespace.then_some(false);
        }
        containers.push(Container {
            name: paths::REPORT_CONTAINER.into(),
            args: Some(paths::report_args()),
            volume_mounts: Some(vec![VolumeMount {
                read_only: Some(true),
                ..mount(SCRATCH, paths::SCRATCH)
            }]),
            security_context: Some(isolation::plain_context()),
            resources: Some(small::beside(
                &self.settings.report_resources,
                &self.settings.build_pods.resources,
            )),
            ..self.container()
        });
        let spec = PodSpec {
            containers,
            volumes: Some(volumes),
            host_users,
            security_context: plain.then(isolation::plain_pod_context),
            ..self.pod_spec(defaults, &BTreeMap::new(), &[])
        };
        let mut pod = self.pod(name, "build", None, spec);
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.entry(DEFAULT_CONTAINER.into()).or_insert_with(|| paths::BUILD_CONTAINER.into());
        pod
    }

    /// Makes the pod that asks a git server what a reference is now. It needs no rights at all.
    pub fn poll_pod(&self, git: &GitSource) -> Pod {
        let name = names::part(&self.build.name_any(), self.attempt.run, "poll", 1);
        let reference = git.reference.as_ref().map(request::reference).unwrap_or_default();
        let secret = git.secret_ref.as_ref().map(|s| s.name.as_str());
        let folder = secret.map(|name| format!("{}/{name}", paths::CREDENTIALS)).unwrap_or_default();
        let mut volumes = vec![empty_dir(SCRATCH)];
        let mut mounts = vec![mount(SCRATCH, paths::SCRATCH)];
        if let Some(secret) = secret {
            let source = SecretVolumeSource {
                secret_name: Some(secret.to_owned()),
                default_mode: Some(0o400),
                ..SecretVolumeSource::default()
            };
            volumes.push(Volume { name: CREDENTIALS.into(), secret: Some(source), ..Volume::default() });
            mounts.push(VolumeMount { read_only: Some(true), ..mount(CREDENTIALS, &folder) });
        }
        let mut env = self.container().env.unwrap_or_default();
        if !self.settings.ca_bundle.is_empty() {
            let value = Some(self.settings.ca_bundle.clone());
            env.push(EnvVar { name: paths::CA_ENV.into(), value, value_from: None });
        }
        let container = Container {
            env: Some(env),
            name: paths::POLL_CONTAINER.into(),
            args: Some(paths::poll_args(&git.url, &reference, &folder)),
            volume_mounts: Some(mounts),
            security_context: Some(isolation::plain_context()),
            resources: Some(self.settings.build_pods.resources.clone()),
            ..self.container()
        };
        let spec = PodSpec {
            containers: vec![container],
            volumes: Some(volumes),
            security_context: Some(isolation::plain_pod_context()),
            // It mounts no claim, so nothing ties it to a node.
            affinity: self.valid.pod.affinity.clone().or_else(|| self.settings.build_pods.affinity.clone()),
            ..self.pod_spec(&self.settings.build_pods, &BTreeMap::new(), &[])
        };
        self.pod(name, "poll", None, spec)
    }

    /// Makes the pod that runs the stages with this number of the plan.
    pub fn stage_pod(&self, number: u32, stages: &[&PlannedStage], rung: Rung, user_namespace: bool) -> Pod {
        let attempt = self.attempt;
        let part = if let [one] = stages { one.name.clone() } else { format!("stages-{number}") };
        // A stage may carry any name, also the build pod's or that of another stage in other letters.
        let taken = ["build", "request", "poll"];
        let part = if taken.iter().any(|name| part.eq_ignore_ascii_case(name)) {
            format!("stage-{part}")
        } else {
            part
        };
        let part = if part.chars().all(|c| c.is_ascii_digit()) { format!("stage-{part}") } else { part };
        let name = names::part(&self.build.name_any(), attempt.run, &part, attempt.number);
        let wanted: Vec<&String> = stages.iter().flat_map(|stage| &stage.secrets).collect();
        let own = stages.iter().find_map(|stage| self.valid.stages.get(stage.file_name()));
        let (mut container, more) = self.stage_container(number, &wanted, rung, user_namespace);
        if let Some(resources) = own.and_then(|s| s.resources.clone()) {
            container.resources = Some(resources);
        }
        let mut volumes = vec![self.store_volume(), empty_dir(SCRATCH)];
        volumes.extend(more);
        let empty = BTreeMap::new();
        let (selector, tolerations) =
            own.map_or((&empty, &[][..]), |s| (&s.node_selector, &s.tolerations[..]));
        let spec = PodSpec {
            containers: vec![container],
            volumes: Some(volumes),
            host_users: user_namespace.then_some(false),
            ..self.pod_spec(&self.settings.stage_pods, selector, tolerations)
        };
        self.pod(name, "stage", Some(number), spec)
    }

    /// Makes the container that runs stages, and the volumes of the secrets that it may lend to them.
    fn stage_container(
        &self,
        number: u32,
        wanted: &[&String],
        rung: Rung,
        user_namespace: bool,
    ) -> (Container, Vec<Volume>) {
        let id = self.id();
        let mut volumes = vec![];
        let mut mounts = vec![
            VolumeMount {
                sub_path: Some(paths::STORE_SUB_PATH.into()),
                read_only: Some(true),
                ..mount(STORE, paths::STORE)
            },
            VolumeMount {
                sub_path: Some(paths::outbox_sub_path(&id, number)),
                ..mount(STORE, paths::OUTBOX)
            },
            VolumeMount { sub_path: Some(paths::MOUNTS_SUB_PATH.into()), ..mount(STORE, paths::MOUNTS) },
            mount(SCRATCH, paths::SCRATCH),
        ];
        for (at, (id, key)) in self.valid.secrets.iter().filter(|(id, _)| wanted.contains(id)).enumerate() {
            let volume = format!("secret-{at}");
            mounts.push(VolumeMount {
                sub_path: Some(id.clone()),
                read_only: Some(true),
                ..mount(&volume, &format!("{}/{id}", paths::SECRETS))
            });
            volumes.push(Volume {
                name: volume,
                secret: Some(SecretVolumeSource {
                    secret_name: Some(key.name.clone()),
                    items: Some(vec![item(&key.key, id)]),
                    default_mode: Some(0o400),
                    optional: Some(false),
                }),
                ..Volume::default()
            });
        }
        let resources =
            self.valid.pod.resources.clone().unwrap_or_else(|| self.settings.stage_pods.resources.clone());
        let container = Container {
            name: paths::STAGE_CONTAINER.into(),
            args: Some(paths::stage_args(&id, number, false)),
            volume_mounts: Some(mounts),
            security_context: Some(isolation::stage_context(rung, user_namespace)),
            resources: Some(resources),
            ..self.container()
        };
        (container, volumes)
    }

    fn id(&self) -> String {
        names::build_id(&self.build.uid().unwrap_or_default(), self.attempt.run, self.attempt.number)
    }

    fn pod(&self, name: String, role: &str, number: Option<u32>, spec: PodSpec) -> Pod {
        let defaults = if number.is_some() { &self.settings.stage_pods } else { &self.settings.build_pods };
        let mut all = defaults.labels.clone();
        all.extend(self.valid.pod.labels.clone());
        all.extend(labels::of_run(self.build, self.attempt.run, self.attempt.number));
        all.insert(labels::ROLE.into(), role.into());
        if self.valid.cache.kind == CacheType::Claim && role != "poll" {
            all.insert(labels::CLAIM.into(), self.valid.cache.claim.clone());
        }
        all.extend(number.map(|n| (labels::POD.to_owned(), n.to_string())));
        let mut metadata = labels::owned(self.build, name, all);
        let mut annotations = defaults.annotations.clone();
        annotations.extend(self.valid.pod.annotations.clone());
        // What stands below this name was said by a pod.
        annotations.retain(|name, _| !name.starts_with(labels::DOMAIN));
        annotations.insert("cluster-autoscaler.kubernetes.io/safe-to-evict".into(), "false".into());
        metadata.annotations = Some(annotations);
        Pod { metadata, spec: Some(spec), status: None }
    }

    fn container(&self) -> Container {
        Container {
            image: Some(self.settings.executor_image.clone()),
            image_pull_policy: Some(self.settings.executor_pull_policy.clone()),
            env: Some(vec![EnvVar {
                name: paths::LOG_ENV.into(),
                value: Some(self.settings.log.clone()),
                value_from: None,
            }]),
            working_dir: Some(paths::SCRATCH.into()),
            ..Container::default()
        }
    }

    fn pod_spec(
        &self,
        defaults: &PodDefaults,
        selector: &BTreeMap<String, String>,
        tolerations: &[k8s_openapi::api::core::v1::Toleration],
    ) -> PodSpec {
        let pod = &self.valid.pod;
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let mut all_selectors = defaults.node_selector.clone();
        all_selectors.extend(pod.node_selector.clone());
        all_selectors.extend(selector.clone());
        let mut all_tolerations = defaults.tolerations.clone();
        all_tolerations.extend(pod.tolerations.iter().cloned());
        all_tolerations.extend(tolerations.iter().cloned());
        let pull = self
            .settings
            .image_pull_secrets
            .iter()
            .cloned()
            .chain(pod.image_pull_secrets.iter().map(|s| s.name.clone()));
        PodSpec {
            restart_policy: Some("Never".into()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(5),
            priority_class_name: pod
                .priority_class_name
                .clone()
                .or_else(|| given(&defaults.priority_class_name)),
            runtime_class_name: given(&defaults.runtime_class_name),
            node_selector: (!all_selectors.is_empty()).then_some(all_selectors),
            tolerations: (!all_tolerations.is_empty()).then_some(all_tolerations),
            affinity: self.affinity(defaults),
            image_pull_secrets: {
                let list: Vec<_> = pull.map(|name| LocalObjectReference { name }).collect();
                (!list.is_empty()).then_some(list)
            },
            ..PodSpec::default()
        }
    }

    /// A claim that one node may mount keeps all pods that use it on that node.
    fn affinity(&self, defaults: &PodDefaults) -> Option<Affinity> {
        let mut affinity = self.valid.pod.affinity.clone().or_else(|| defaults.affinity.clone());
        if self.facts.claim_is_shared || self.valid.cache.kind == CacheType::None {
            return affinity;
        }
        let term = PodAffinityTerm {
            label_selector: Some(LabelSelector {
                match_labels: Some([(labels::CLAIM.to_owned(), self.valid.cache.claim.clone())].into()),
                ..LabelSelector::default()
            }),
            topology_key: "kubernetes.io/hostname".into(),
            ..PodAffinityTerm::default()
        };
        affinity
            .get_or_insert_default()
            .pod_affinity
            .get_or_insert_with(PodAffinity::default)
            .required_during_scheduling_ignored_during_execution
            .get_or_insert_default()
            .push(term);
        affinity
    }

    fn store_volume(&self) -> Volume {
        if self.valid.cache.kind == CacheType::None {
            let size_limit = self.valid.cache.own_size.clone().map(Quantity);
            let source = EmptyDirVolumeSource { size_limit, medium: None };
            return Volume { name: STORE.into(), empty_dir: Some(source), ..Volume::default() };
        }
        Volume {
            name: STORE.into(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: self.valid.cache.claim.clone(),
                read_only: None,
            }),
            ..Volume::default()
        }
    }

    /// Returns the Secrets that only the build pod gets, and where.
    fn credentials(&self) -> Vec<(Volume, String)> {
        let git = self
            .valid
            .source
            .iter()
            .filter_map(|s| s.git.as_ref()?.secret_ref.as_ref())
            .map(|s| s.name.clone());
        let registries = request::push_secrets(self.valid, self.settings);
        let mut names: Vec<String> = registries.into_iter().chain(git).collect();
        names.dedup();
        let optional = &self.settings.default_push_secret;
        names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let source = SecretVolumeSource {
                    secret_name: Some(name.clone()),
                    default_mode: Some(0o400),
                    optional: Some(name == optional),
                    items: None,
                };
                let volume =
                    Volume { name: format!("credentials-{at}"), secret: Some(source), ..Volume::default() };
                (volume, format!("{}/{name}", paths::CREDENTIALS))
            })
            .collect()
    }

    /// Returns the files of the request's ConfigMap that lie beside each other in the build pod.
    fn request_items(&self) -> Vec<KeyToPath> {
        let mut items = vec![item(paths::REQUEST_FILE, paths::REQUEST_FILE)];
        if !self.settings.ca_bundle.is_empty() {
            items.push(item(paths::CA_FILE, paths::CA_FILE));
        }
        items
    }

    fn source_volume(&self) -> Option<(Volume, String)> {
        let source = self.valid.source.as_ref()?;
        let volume = if let Some(files) = &source.files {
            let items =
                files.keys().enumerate().map(|(at, path)| item(&request::file_key(at), path)).collect();
            let name = names::request(&self.build.name_any(), self.attempt.run, self.attempt.number);
            let config_map =
                ConfigMapVolumeSource { name, items: Some(items), ..ConfigMapVolumeSource::default() };
            Volume { name: SOURCE.into(), config_map: Some(config_map), ..Volume::default() }
        } else if let Some(map) = &source.config_map {
            let config_map =
                ConfigMapVolumeSource { name: map.name.clone(), ..ConfigMapVolumeSource::default() };
            Volume { name: SOURCE.into(), config_map: Some(config_map), ..Volume::default() }
        } else {
            let claim_name = source.volume.as_ref()?.claim.clone();
            let claim = PersistentVolumeClaimVolumeSource { claim_name, read_only: Some(true) };
            Volume { name: SOURCE.into(), persistent_volume_claim: Some(claim), ..Volume::default() }
        };
        Some((volume, paths::SOURCE_DIR.to_owned()))
    }
}

fn item(key: &str, path: &str) -> KeyToPath {
    KeyToPath { key: key.into(), path: path.into(), mode: None }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: path.into(), ..VolumeMount::default() }
}

fn empty_dir(name: &str) -> Volume {
    Volume { name: name.into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}
