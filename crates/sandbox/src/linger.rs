//! Sandboxes whose command is over while the kernel still takes their mounts down: a microsecond or two for each file that the
//! command used. Nobody can change the layer any more, so whoever asked for it need not wait for that.

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    process::Child,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Device and inode of a layer's directory, which may get another name meanwhile.
type Identity = (u64, u64);

/// A process that ends by itself, with the layer that it has mounted as changeable.
#[derive(Clone)]
struct Left {
    layer: Identity,
    process: Arc<Mutex<Child>>,
}

static LEFT: Mutex<Vec<Left>> = Mutex::new(Vec::new());

/// Waits for all that goes on behind commands that are over. To be called before the program ends, so that nothing outlives
/// it, and what its commands used is counted as its own.
pub fn settle() {
    wait_while_left(|_| true);
}

/// Leaves the sandbox's process to its end, which its last word has announced.
pub(crate) fn leave(mut child: Child, upper: &Path) {
    // Who has ended meanwhile is a zombie until somebody asks.
    left().retain(|left| {
        !left.process.try_lock().is_ok_and(|mut process| !matches!(process.try_wait(), Ok(None)))
    });
    match identity(upper) {
        Some(layer) => left().push(Left { layer, process: Arc::new(Mutex::new(child)) }),
        None => _ = child.wait(),
    }
}

/// Waits until none of these layers is mounted as changeable: the kernel does not like to see one in two mounts.
pub(crate) fn wait_for<'a>(layers: impl Iterator<Item = &'a Path>) {
    if left().is_empty() {
        return;
    }
    let wanted: Vec<Identity> = layers.filter_map(identity).collect();
    wait_while_left(|layer| wanted.contains(&layer));
}

/// Waits for some, while others may come and go.
fn wait_while_left(is_wanted: impl Fn(Identity) -> bool) {
    let wanted: Vec<Left> = left().iter().filter(|left| is_wanted(left.layer)).cloned().collect();
    for one in &wanted {
        let _ = one.process.lock().unwrap_or_else(PoisonError::into_inner).wait();
        left().retain(|left| !Arc::ptr_eq(&left.process, &one.process));
    }
}

fn left() -> MutexGuard<'static, Vec<Left>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
