//! What a build pod tells the operator itself. A kubelet looks for ended containers once a second, so its word comes late; the
//! termination messages say all of it too, and an early report that is lost costs that second and nothing else.

use serde::{Deserialize, Serialize};

/// Whom the token of a build pod is for. Nobody else takes it, the API server included.
pub const AUDIENCE: &str = "slipway.dev/operator";

/// The whole address for reports, in the environment of a build pod; without it there are none.
pub const ADDRESS_ENV: &str = "SLIPWAY_REPORTS";

/// The folder with the pod's token.
pub const IDENTITY: &str = "/slipway/identity";

/// The token in it.
pub const TOKEN_FILE: &str = "token";

/// Where the operator takes reports.
pub const PATH: &str = "/v1/reports";

/// The most bytes of a report's text. A pod's annotations have 256 KiB in all.
pub const LIMIT: usize = 64 << 10;

/// What a build pod has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Early {
    /// Which part of its work.
    pub part: Part,
    /// Its report, as in a termination message.
    pub report: String,
}

/// A part of a build pod's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// There is a plan: a [`PlanReport`](crate::report::PlanReport), with the build's own report where it is done too.
    Plan,
    /// All is built: a [`BuildReport`](crate::report::BuildReport).
    Build,
}

impl Part {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Build => "build",
        }
    }
}
