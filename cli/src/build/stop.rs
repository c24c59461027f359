//! Exit codes, and what a signal does.

use slipway_sandbox::Cancel;

/// The build failed: the Dockerfile, a command, a registry.
pub(super) const FAILED: u8 = 1;
/// Stopped by the user.
pub(super) const STOPPED: u8 = 130;

/// Asks the build to stop at the first signal; a second one ends the program as usual.
pub(super) fn stop_on_signal(runtime: &tokio::runtime::Runtime, cancel: &Cancel) {
    let cancel = cancel.clone();
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            exit_at_once();
        }
    });
}

/// Ends at once: the store survives it.
#[allow(clippy::exit)] // the user asked twice
fn exit_at_once() {
    std::process::exit(i32::from(STOPPED))
}
