//! Sandboxes whose command is over while the kernel still takes their mounts down: a microsecond or two for each file that the
//! command used. Nobody can change the layer any more, so whoever asked for it need not wait for that.

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    process::Child,
    sync::{Mutex, PoisonError},
};

/// Device and inode of a layer's directory, which may get another name meanwhile.
type Identity = (u64, u64);

/// Processes that end by themselves, with the layers that they have mounted as changeable.
static LEFT: Mutex<Vec<(Identity, Child)>> = Mutex::new(Vec::new());

/// Leaves the sandbox's process to its end, which its last word has announced.
pub(crate) fn leave(mut child: Child, upper: &Path) {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    // Who has ended meanwhile is a zombie until somebody asks.
    left.retain_mut(|(_, child)| matches!(child.try_wait(), Ok(None)));
    match identity(upper) {
        Some(identity) => left.push((identity, child)),
        None => _ = child.wait(),
    }
}

/// Waits until none of these layers is mounted as changeable: the kernel does not like to see one in two mounts.
pub(crate) fn wait_for<'a>(layers: impl Iterator<Item = &'a Path>) {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    if left.is_empty() {
        return;
    }
    let wanted: Vec<Identity> = layers.filter_map(identity).collect();
    left.retain_mut(|(layer, child)| {
        let is_wanted = wanted.contains(layer);
        if is_wanted {
            let _ = child.wait();
        }
        !is_wanted
    });
}

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
