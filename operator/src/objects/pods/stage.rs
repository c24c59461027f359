//! Stage pods: they run user code, and have no credential and no right to write the store.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, SecretVolumeSource, Volume, VolumeMount};
use kube::ResourceExt;
use slipway_protocol::paths;
use slipway_protocol::report::PlannedStage;

use super::Blueprint;
use super::volumes::{SCRATCH, STORE, empty_dir, item, mount, read_only, secret};
use crate::objects::isolation::{self, Rung};
use crate::objects::names;

/// What other objects of a build are called, so that a stage cannot be.
const TAKEN: [&str; 3] = ["build", "request", "poll"];

impl Blueprint<'_> {
    /// Makes the pod that runs the stages with this number of the plan.
    pub fn stage_pod(&self, number: u32, stages: &[&PlannedStage], rung: Rung, user_namespace: bool) -> Pod {
        let name = part(number, stages);
        let name = names::part(&self.build.name_any(), self.attempt.run, &name, self.attempt.number);
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
    pub(super) fn stage_container(
        &self,
        number: u32,
        wanted: &[&String],
        rung: Rung,
        user_namespace: bool,
    ) -> (Container, Vec<Volume>) {
        let id = self.id();
        let part = |path: String, at: &str| VolumeMount { sub_path: Some(path), ..mount(STORE, at) };
        let mut volumes = vec![];
        let mut mounts = vec![
            VolumeMount { read_only: Some(true), ..part(paths::STORE_SUB_PATH.into(), paths::STORE) },
            part(paths::outbox_sub_path(&id, number), paths::OUTBOX),
            part(paths::MOUNTS_SUB_PATH.into(), paths::MOUNTS),
            mount(SCRATCH, paths::SCRATCH),
        ];
        for (at, (id, key)) in self.valid.secrets.iter().filter(|(id, _)| wanted.contains(id)).enumerate() {
            let volume = format!("secret-{at}");
            mounts.push(VolumeMount {
                sub_path: Some(id.clone()),
                ..read_only(&volume, &format!("{}/{id}", paths::SECRETS))
            });
            let source = SecretVolumeSource {
                items: Some(vec![item(&key.key, id)]),
                optional: Some(false),
                ..secret(&key.name)
            };
            volumes.push(Volume { name: volume, secret: Some(source), ..Volume::default() });
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
}

/// The part of a pod's name that says which stages it runs. A stage may carry any name, also the build pod's or that of another
/// stage in other letters.
fn part(number: u32, stages: &[&PlannedStage]) -> String {
    let [one] = stages else { return format!("stages-{number}") };
    let taken = TAKEN.iter().any(|name| one.name.eq_ignore_ascii_case(name));
    let is_number = one.name.chars().all(|c| c.is_ascii_digit());
    if taken || is_number { format!("stage-{}", one.name) } else { one.name.clone() }
}
