//! The pod that asks a git server what a reference is now.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, PodSpec, Volume};
use kube::ResourceExt;
use slipway_crds::source::GitSource;
use slipway_protocol::paths;

use super::Blueprint;
use super::volumes::{SCRATCH, empty_dir, mount, read_only, secret};
use crate::objects::{isolation, names, request};

const CREDENTIALS: &str = "credentials";

impl Blueprint<'_> {
    /// Makes the pod. It needs no rights at all.
    pub fn poll_pod(&self, git: &GitSource) -> Pod {
        let name = names::part(&self.build.name_any(), self.attempt.run, "poll", 1);
        let reference = git.reference.as_ref().map(request::reference).unwrap_or_default();
        let named = git.secret_ref.as_ref().map(|s| s.name.as_str());
        let folder = named.map(|name| format!("{}/{name}", paths::CREDENTIALS)).unwrap_or_default();
        let mut volumes = vec![empty_dir(SCRATCH)];
        let mut mounts = vec![mount(SCRATCH, paths::SCRATCH)];
        if let Some(name) = named {
            volumes.push(Volume {
                name: CREDENTIALS.into(),
                secret: Some(secret(name)),
                ..Volume::default()
            });
            mounts.push(read_only(CREDENTIALS, &folder));
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
}
