//! The kinds of pods: the build pod, which holds credentials and runs no user code, stage pods, which do the opposite, and the
//! pod that asks a git server. What they have in common is here.

mod build;
mod poll;
mod stage;
mod volumes;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Container, EnvVar, LocalObjectReference, Pod, PodAffinity, PodAffinityTerm, PodSpec, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use slipway_crds::ImageBuild;
use slipway_crds::build::CacheType;
use slipway_crds::validate::ValidBuild;
use slipway_protocol::paths;

use super::{labels, names};
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

impl Blueprint<'_> {
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
        tolerations: &[Toleration],
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
}
