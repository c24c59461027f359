//! What can go wrong around a command, as opposed to in it: a command that fails is not an error here.

use std::io;

/// Why a command could not be run, or its end not be learnt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not able to be the sandbox's `init`.
    #[error(
        "this program cannot start a sandbox: it did not call `slipway_sandbox::init_if_asked` first in `main`"
    )]
    NotPrepared,
    /// The caller gave up.
    #[error("the command was cancelled")]
    Cancelled,
    /// More layers than the kernel takes.
    #[error(
        "{count} layers lie below this step and the kernel's overlayfs takes {max} at most; join RUN or COPY instructions, or start a new stage with `FROM scratch` and `COPY --from`"
    )]
    TooManyLayers {
        /// How many the specification names.
        count: usize,
        /// How many are possible.
        max: usize,
    },
    /// The specification cannot be honoured by any sandbox.
    #[error("{0}")]
    Invalid(String),
    /// The specification cannot be honoured by this sandbox.
    #[error("isolation `{sandbox}` cannot honour {what}; {help}")]
    Unsupported {
        /// The sandbox's name.
        sandbox: &'static str,
        /// What was asked for.
        what: String,
        /// What to do about it.
        help: String,
    },
    /// A step of the preparation failed.
    #[error("failed to {step}: {detail}")]
    Setup {
        /// What was tried, as the object of "failed to".
        step: String,
        /// The system's answer, with a hint where there is one.
        detail: String,
    },
    /// The sandbox's own process could not be started or spoken to.
    #[error("failed to {step}")]
    Process {
        /// What was tried, as the object of "failed to".
        step: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The sandbox's own process ended before it said how the command ended.
    #[error(
        "the sandbox's process ended without a report ({0}); was it killed, for example by the OOM killer?"
    )]
    Died(String),
    /// No way to isolate works here.
    #[error("no way to run commands works here:\n{0}")]
    NoWay(String),
}

/// A failed step of the preparation, inside the sandbox's own processes.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) step: String,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(step: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { step: step.into(), detail: detail.into() }
    }
}

impl From<Failure> for Error {
    fn from(Failure { step, detail }: Failure) -> Self {
        Self::Setup { step, detail }
    }
}

/// Names the step that an error of the system belongs to.
pub(crate) trait During<T> {
    /// Turns the error into a [`Failure`] of the step that `name` returns.
    fn during<S: Into<String>>(self, name: impl FnOnce() -> S) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during<S: Into<String>>(self, name: impl FnOnce() -> S) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(name(), error.into().to_string()))
    }
}
