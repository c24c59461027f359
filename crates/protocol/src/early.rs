//! What a build pod tells the operator itself. A kubelet looks for ended containers once a second, so its word comes late; the
//! termination message stays what counts, and an early report that is lost costs that second and nothing else.
//!
//! A plan that was told may be carried out by the container that made it: the operator makes the stage pods while the kubelet
//! believes that it still plans.

use serde::{Deserialize, Serialize};

/// Whom the token of a build pod is for. Nobody else takes it, the API server included.
pub const AUDIENCE: &str = "slipway.dev/operator";

/// The whole address for reports, in the environment of a build pod; without it there are none.
pub const ADDRESS_ENV: &str = "SLIPWAY_REPORTS";

/// Set where the container that planned is to leave the rest to the next one, even if it was heard.
pub const HAND_OVER_ENV: &str = "SLIPWAY_HAND_OVER";

/// The folder with the pod's token.
pub const IDENTITY: &str = "/slipway/identity";

/// The token in it.
pub const TOKEN_FILE: &str = "token";

/// Where in it the operator takes reports. It answers with the digest of the report's text, when that is kept.
pub const PATH: &str = "/v1/reports";

/// The most bytes of a report's text. A pod's annotations have 256 KiB in all.
pub const LIMIT: usize = 64 << 10;

/// What a container of a build pod has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Early {
    /// Its name.
    pub container: String,
    /// Its report, as in a termination message.
    pub report: String,
}
