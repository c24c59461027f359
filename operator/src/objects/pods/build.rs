//! The build pod: it has the credentials and the right to write the store, and runs no user code.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, KeyToPath, Pod, PodSpec, SecretVolumeSource, Volume, VolumeMount,
};
use kube::ResourceExt;
use slipway_protocol::paths;

use super::Blueprint;
use super::volumes::{SCRATCH, STORE, claim, config_map, empty_dir, item, mount, read_only, secret};
use crate::objects::isolation::{self, Level, Rung};
use crate::objects::{identity, names, request, small};

/// Whose log `kubectl logs` shows.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

const REQUEST: &str = "request";
const SOURCE: &str = "source";
const STAGE_SCRATCH: &str = "stage-scratch";

impl Blueprint<'_> {
    /// Makes the build pod. `together` is for builds without a claim: how the stages run that are then a container of this pod.
    pub fn build_pod(&self, together: Option<(Rung, bool)>) -> Pod {
        let (build, mut volumes) = self.build_container();
        let mut containers = vec![build];
        if let Some((rung, user_namespace)) = together {
            let (stage, more) = self.stage_container_beside(rung, user_namespace);
            containers.push(stage);
            volumes.extend(more);
        }
        containers.push(self.report_container());
        // Where user code runs, it is the settings of stage pods that keep it in: a runtime class of virtual machines.
        let defaults = if together.is_some() { &self.settings.stage_pods } else { &self.settings.build_pods };
        let spec = PodSpec {
            containers,
            volumes: Some(volumes),
            host_users: together.and_then(|(_, user_namespace)| user_namespace.then_some(false)),
            security_context: self.is_plain().then(isolation::plain_pod_context),
            ..self.pod_spec(defaults, &BTreeMap::new(), &[])
        };
        let name = names::part(&self.build.name_any(), self.attempt.run, "build", self.attempt.number);
        let mut pod = self.pod(name, "build", None, spec);
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.entry(DEFAULT_CONTAINER.into()).or_insert_with(|| paths::BUILD_CONTAINER.into());
        pod
    }

    /// Whether the namespace admits no pod with any right.
    fn is_plain(&self) -> bool {
        self.facts.level == Level::Restricted
    }

    /// Makes the container that plans and conducts, and its volumes.
    fn build_container(&self) -> (Container, Vec<Volume>) {
        let plain = self.is_plain();
        let store = if plain { paths::PLAIN_STORE_SUB_PATH } else { paths::STORE_SUB_PATH };
        let request = ConfigMapVolumeSource { items: Some(self.request_items()), ..self.request_source() };
        let mut volumes = vec![self.store_volume(), empty_dir(SCRATCH), config_map(REQUEST, request)];
        let mut mounts = vec![
            VolumeMount { sub_path: Some(store.into()), ..mount(STORE, paths::STORE) },
            mount(SCRATCH, paths::SCRATCH),
            read_only(REQUEST, paths::REQUEST_DIR),
        ];
        let mut container = self.container();
        let identity = self.settings.reports.as_ref().map(|operator| {
            container.env.get_or_insert_default().push(identity::variable(operator));
            identity::volume()
        });
        for (volume, at) in self.credentials().into_iter().chain(self.source_volume()).chain(identity) {
            mounts.push(read_only(&volume.name, &at));
            volumes.push(volume);
        }
        let container = Container {
            name: paths::BUILD_CONTAINER.into(),
            args: Some(paths::build_args()),
            volume_mounts: Some(mounts),
            security_context: Some(if plain {
                isolation::plain_context()
            } else {
                isolation::build_context()
            }),
            resources: Some(self.settings.build_pods.resources.clone()),
            ..container
        };
        (container, volumes)
    }

    /// Makes the container that runs all stages of a build without a claim, and its volumes.
    fn stage_container_beside(&self, rung: Rung, user_namespace: bool) -> (Container, Vec<Volume>) {
        let everything: Vec<&String> = self.valid.secrets.keys().collect();
        let (mut stage, mut volumes) = self.stage_container(0, &everything, rung, user_namespace);
        stage.args = Some(paths::stage_args(&self.id(), 0, true));
        // The build's scratch may hold what it fetched with credentials.
        stage.volume_mounts.iter_mut().flatten().filter(|m| m.name == SCRATCH).for_each(|m| {
            STAGE_SCRATCH.clone_into(&mut m.name);
        });
        volumes.push(empty_dir(STAGE_SCRATCH));
        (stage, volumes)
    }

    /// Makes the container that leaves the plan as its last words.
    fn report_container(&self) -> Container {
        let resources = small::beside(&self.settings.report_resources, &self.settings.build_pods.resources);
        Container {
            name: paths::REPORT_CONTAINER.into(),
            args: Some(paths::report_args()),
            volume_mounts: Some(vec![read_only(SCRATCH, paths::SCRATCH)]),
            security_context: Some(isolation::plain_context()),
            resources: Some(resources),
            ..self.container()
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
        let volume = |(at, name): (usize, &String)| {
            let optional = *name == self.settings.default_push_secret;
            let source = SecretVolumeSource { optional: Some(optional), ..secret(name) };
            let volume =
                Volume { name: format!("credentials-{at}"), secret: Some(source), ..Volume::default() };
            (volume, format!("{}/{name}", paths::CREDENTIALS))
        };
        names.iter().enumerate().map(volume).collect()
    }

    /// The ConfigMap of the request.
    fn request_source(&self) -> ConfigMapVolumeSource {
        let name = names::request(&self.build.name_any(), self.attempt.run, self.attempt.number);
        ConfigMapVolumeSource { name, ..ConfigMapVolumeSource::default() }
    }

    /// Returns the files of the request that lie beside each other in the build pod.
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
            let paths = files.keys().enumerate();
            let items = paths.map(|(at, path)| item(&request::file_key(at), path)).collect();
            config_map(SOURCE, ConfigMapVolumeSource { items: Some(items), ..self.request_source() })
        } else if let Some(map) = &source.config_map {
            let name = map.name.clone();
            config_map(SOURCE, ConfigMapVolumeSource { name, ..ConfigMapVolumeSource::default() })
        } else {
            claim(SOURCE, &source.volume.as_ref()?.claim, Some(true))
        };
        Some((volume, paths::SOURCE_DIR.to_owned()))
    }
}
