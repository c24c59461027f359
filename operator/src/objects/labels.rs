//! Labels, annotations and the owner reference of everything that the operator makes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use slipway_crds::ImageBuild;
use slipway_protocol::early::Part;

/// Who manages the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`], also the field manager of server-side apply.
pub const MANAGER: &str = "slipway-operator";
/// What all names of ours begin with.
pub const DOMAIN: &str = "slipway.dev/";
/// The resource's name.
pub const BUILD: &str = "slipway.dev/build";
/// The build's number.
pub const RUN: &str = "slipway.dev/run";
/// The try's number.
pub const ATTEMPT: &str = "slipway.dev/attempt";
/// `build` or `stage`.
pub const ROLE: &str = "slipway.dev/role";
/// The number of a stage pod.
pub const POD: &str = "slipway.dev/pod";
/// The claim that the pod uses: pods of one claim stay on one node where the claim asks for that.
pub const CLAIM: &str = "slipway.dev/claim";

/// Returns the annotation with what a build pod said of a part of its work before its kubelet did.
pub fn report(part: Part) -> String {
    format!("{DOMAIN}report.{}", part.name())
}

/// Returns a label selector for all pods that the operator makes.
pub fn managed_selector() -> String {
    format!("{MANAGED_BY}={MANAGER}")
}

/// Returns the metadata of an object that belongs to a build.
pub fn owned(build: &ImageBuild, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
    let owner = OwnerReference {
        api_version: ImageBuild::api_version(&()).into_owned(),
        kind: ImageBuild::kind(&()).into_owned(),
        name: build.name_any(),
        uid: build.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    ObjectMeta {
        name: Some(name),
        namespace: build.namespace(),
        labels: Some(labels),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    }
}

/// Returns the labels of an object of one try of a build.
pub fn of_run(build: &ImageBuild, run: i64, attempt: i32) -> BTreeMap<String, String> {
    [
        (MANAGED_BY, MANAGER.to_owned()),
        ("app.kubernetes.io/name", "slipway-build".to_owned()),
        (BUILD, build.name_any()),
        (RUN, run.to_string()),
        (ATTEMPT, attempt.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}
