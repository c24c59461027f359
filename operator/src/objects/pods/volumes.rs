//! Volumes, and where they are mounted.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, PersistentVolumeClaimVolumeSource,
    SecretVolumeSource, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use slipway_crds::build::CacheType;

use super::Blueprint;

pub(super) const STORE: &str = "store";
pub(super) const SCRATCH: &str = "scratch";

impl Blueprint<'_> {
    /// The layer cache: the claim, or room in the pod.
    pub(super) fn store_volume(&self) -> Volume {
        if self.valid.cache.kind == CacheType::Claim {
            return claim(STORE, &self.valid.cache.claim, None);
        }
        let size_limit = self.valid.cache.own_size.clone().map(Quantity);
        let source = EmptyDirVolumeSource { size_limit, medium: None };
        Volume { name: STORE.into(), empty_dir: Some(source), ..Volume::default() }
    }
}

pub(super) fn claim(name: &str, claim: &str, read_only: Option<bool>) -> Volume {
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim.into(), read_only };
    Volume { name: name.into(), persistent_volume_claim: Some(source), ..Volume::default() }
}

pub(super) fn config_map(name: &str, source: ConfigMapVolumeSource) -> Volume {
    Volume { name: name.into(), config_map: Some(source), ..Volume::default() }
}

/// A Secret that no other user may read; a pod with an `fsGroup` lets its group.
pub(super) fn secret(name: &str) -> SecretVolumeSource {
    SecretVolumeSource {
        secret_name: Some(name.into()),
        default_mode: Some(0o400),
        ..SecretVolumeSource::default()
    }
}

pub(super) fn empty_dir(name: &str) -> Volume {
    Volume { name: name.into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

pub(super) fn item(key: &str, path: &str) -> KeyToPath {
    KeyToPath { key: key.into(), path: path.into(), mode: None }
}

pub(super) fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: path.into(), ..VolumeMount::default() }
}

pub(super) fn read_only(name: &str, path: &str) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount(name, path) }
}
