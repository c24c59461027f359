//! The `ImageBuild` resource: its types, its schema, and the checked form that the operator works with.

#![allow(unreachable_pub)] // kube's KubeSchema repeats each struct inside a function, where `pub` is out of reach

pub mod build;
pub mod markdown;
pub mod pods;
pub mod quantity;
pub mod source;
pub mod status;
pub mod validate;

pub use build::{ImageBuild, ImageBuildSpec};
pub use status::ImageBuildStatus;

/// The API group.
pub const GROUP: &str = "slipway.dev";
/// The annotation that asks for a build with any new value.
pub const REBUILD_ANNOTATION: &str = "slipway.dev/rebuild";
/// Flux's annotation of the same meaning; its last value stands in `status.lastHandledReconcileAt`.
pub const RECONCILE_ANNOTATION: &str = "reconcile.fluxcd.io/requestedAt";

/// Returns the definition of the resource as the API server takes it.
pub fn definition()
-> k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition {
    use kube::CustomResourceExt;
    ImageBuild::crd()
}

/// Returns the definition as YAML, as it stands in `crds/imagebuilds.yaml`.
pub fn definition_yaml() -> Result<String, serde_yaml::Error> {
    let yaml = serde_yaml::to_string(&definition())?;
    Ok(format!("# Made by `cargo xtask gen` from crds/src; do not edit.\n{yaml}"))
}
