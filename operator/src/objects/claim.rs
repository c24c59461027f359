//! The claim that keeps a namespace's layers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use slipway_crds::validate::ValidCache;

use super::labels::{MANAGED_BY, MANAGER};
use crate::settings::Settings;

/// Makes the claim. It belongs to the namespace, not to a build: it has no owner and outlives them all.
pub fn claim(namespace: &str, cache: &ValidCache, settings: &Settings) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(cache.claim.clone()),
            namespace: Some(namespace.to_owned()),
            labels: Some([(MANAGED_BY.to_owned(), MANAGER.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![settings.cache_access_mode.clone()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(cache.size.clone()))])),
                limits: None,
            }),
            storage_class_name: (!cache.storage_class.is_empty()).then(|| cache.storage_class.clone()),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
