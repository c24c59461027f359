//! A namespace for builds by pods, with claims that are bound to volumes of this machine.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::watch::Watch;
use crate::{
    cluster::{Access, NODE_NAME},
    host::{command::wait_until, folders},
    speed::volume::Volume,
};

/// What one kind of build needs of the cluster.
pub(super) struct Bed {
    pub(super) access: Access,
    /// The kind, of which the names are made.
    pub(super) kind: &'static str,
    /// The file system of the contexts.
    pub(super) contexts: Volume,
}

/// The claim that has the contexts.
pub(super) const CONTEXTS: &str = "contexts";
/// The claim that has the store, where there is one.
pub(super) const STORE: &str = "store";

impl Bed {
    /// The namespace.
    pub(super) fn namespace(&self) -> String {
        format!("slipway-bench-{}", self.kind)
    }

    /// Makes the namespace, and a claim over the contexts and over what else is named.
    pub(super) fn make(&self, store: Option<&Path>) -> Result<()> {
        self.access.create_baseline_namespace(&self.namespace())?;
        self.claim(CONTEXTS, self.contexts.folder())?;
        if let Some(store) = store {
            folders::make(store)?;
            // Root of a pod is another user here.
            fs::set_permissions(store, Permissions::from_mode(0o777))
                .with_context(|| format!("failed to open {} to all", store.display()))?;
            self.claim(STORE, store)?;
        }
        Ok(())
    }

    /// Deletes both with all that is in them.
    pub(super) fn remove(&self) -> Result<()> {
        let volumes = [CONTEXTS, STORE].map(|name| self.volume(name));
        let namespace = self.namespace();
        let words = ["--ignore-not-found", "--timeout=3m"];
        self.access.kubectl([&["delete", "namespace", &namespace], &words[..]].concat())?;
        self.access
            .kubectl([&["delete", "persistentvolume", &volumes[0], &volumes[1]], &words[..]].concat())
            .map(drop)
    }

    /// kubectl in the namespace.
    pub(super) fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.access.kubectl([words, &["--namespace", &self.namespace()]].concat())
    }

    /// Applies objects with one command, as a person does.
    pub(super) fn apply(&self, objects: &[Value]) -> Result<()> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let words = ["apply", "--filename=-", "--namespace", &self.namespace()];
        self.access.feed(&words, &list.to_string()).map(drop)
    }

    pub(super) fn watch(&self, kind: &str) -> Result<Watch> {
        Watch::start(&self.access, &self.namespace(), kind)
    }

    /// A folder of the contexts, as a path below the claim.
    pub(super) fn below(&self, folder: &Path) -> Result<String> {
        let below = folder.strip_prefix(self.contexts.folder()).context("a context elsewhere")?;
        Ok(below.display().to_string())
    }

    fn volume(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace())
    }

    /// A claim that is bound to a volume over a folder, when this returns.
    fn claim(&self, name: &str, folder: &Path) -> Result<()> {
        let (namespace, volume, size) = (self.namespace(), self.volume(name), json!({"storage": "40Gi"}));
        let node = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]});
        self.apply(&[
            json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
                "spec": {
                    "accessModes": ["ReadWriteOnce"], "capacity": size, "local": {"path": folder},
                    "claimRef": {"namespace": namespace, "name": name},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [node]}]}},
                    "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "",
                },
            }),
            json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": size},
                    "storageClassName": "", "volumeName": volume,
                },
            }),
        ])?;
        let phase = ["get", "persistentvolumeclaim", name, "--output=jsonpath={.status.phase}"];
        wait_until(&format!("a volume for the claim {name}"), Duration::from_mins(1), || {
            Ok(self.kubectl(&phase)? == "Bound")
        })
        .map(drop)
    }
}
