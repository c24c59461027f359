//! What a build pod needs to report to the operator: where, and a token that says which pod it is.

use k8s_openapi::api::core::v1::{
    EnvVar, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use slipway_protocol::early;

/// Returns what build pods find in their environment: where `operator` is reached.
pub fn variable(operator: &str) -> EnvVar {
    let value = Some(format!("{operator}{}", early::PATH));
    EnvVar { name: early::ADDRESS_ENV.into(), value, value_from: None }
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
