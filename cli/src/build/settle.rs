//! Bringing the cache to the disk after a build, without making anybody wait for it.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use slipway_store::Store;

/// Closes the store. Where a build made something, another process of this program waits for the disk, and ends.
///
/// It may be killed or never start: then the next build takes over, and only a crash of the machine within minutes costs
/// what this build added to the cache.
pub(super) fn after(store: Store) {
    let unsettled = store.is_unsettled();
    let root = store.root().to_owned();
    // Before the other process starts, so that it finds this one's journal without an owner.
    drop(store);
    if !unsettled {
        return;
    }
    let started = env::current_exe().and_then(|program| {
        Command::new(program)
            .arg("cache")
            .arg("--root")
            .arg(root)
            .arg("settle")
            // Holds nothing of the caller: no folder, no pipe, and no interrupt from its terminal.
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
    });
    if let Err(error) = started {
        tracing::debug!(%error, "the next build brings the cache to the disk");
    }
}
