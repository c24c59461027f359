//! What a build pod needs to report to the operator: where, and a token that says which pod it is.

use k8s_openapi::api::core::v1::{
    EnvVar, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use slipway_protocol::early;

/// Returns what build pods find in their environment: where `operator` is reached, and whether whoever planned goes on.
pub fn variables(operator: &str, goes_on: bool) -> Vec<EnvVar> {
    let variable =
        |name: &str, value: String| EnvVar { name: name.into(), value: Some(value), value_from: None };
    let mut all = vec![variable(early::ADDRESS_ENV, format!("{operator}{}", early::PATH))];
    all.extend((!goes_on).then(|| variable(early::HAND_OVER_ENV, "true".into())));
    all
}

/// Returns the volume with the pod's token, and where it goes. The token is for the operator alone: the API server does not
/// take it, and it ends with the pod.
pub fn volume() -> (Volume, String) {
    let token = ServiceAccountTokenProjection {
        audience: Some(early::AUDIENCE.into()),
        path: early::TOKEN_FILE.into(),
        expiration_seconds: None,
    };
    let sources =
        vec![VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() }];
    let projected = ProjectedVolumeSource { sources: Some(sources), default_mode: None };
    let volume = Volume { name: "identity".into(), projected: Some(projected), ..Volume::default() };
    (volume, early::IDENTITY.to_owned())
}
