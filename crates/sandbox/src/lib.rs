//! Runs a command in a root file system of layers: namespaces, overlayfs, mounts, capabilities, seccomp.
//!
//! Knows nothing of images, caches or Dockerfiles. The only crate with `unsafe`, and there only in [`mod@sys`].
//!
//! A program that uses it calls [`init_if_asked`] first thing in `main`: the sandbox starts the program's own file again, as
//! the single-threaded `init` of each command.

mod cancel;
mod error;
mod exit;
mod init;
mod linger;
mod memory;
mod overlay;
mod probe;
mod relay;
mod root;
pub mod spec;
mod supervise;
mod sys;
mod userns;
mod walk;
mod wire;

pub use cancel::Cancel;
pub use error::Error;
pub use exit::{Exit, Finished, Usage};
pub use init::init_if_asked;
pub use linger::settle;
pub use overlay::Overlay;
pub use probe::{Choice, Isolation, Probe, Way, choose, probe};
pub use root::{Container, DISPOSABLE_MARK, Root};
pub use supervise::use_init_program;

pub use userns::{UserNamespaceError, enter_user_namespace};

use spec::RunSpec;

/// Where a piece of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// A way to run commands.
pub trait Sandbox: Send + Sync {
    /// Returns the name that the user chooses it by, and reads in reports.
    fn name(&self) -> &str;

    /// Runs one command to its end, handing on its output as it comes.
    ///
    /// Nothing of the command runs any more when this returns, in whatever way; the mounts of one that succeeded may still be
    /// taken down by the kernel, which [`settle`] waits for. After an error `upper` may hold traces of
    /// the preparation and is to be thrown away; `work` is empty again in any case.
    fn run(
        &self,
        spec: &RunSpec,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<Finished, Error>;
}
