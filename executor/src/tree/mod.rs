//! File trees in user space: layers seen as one tree, copied into, unpacked, compared, digested and written as archives.
//!
//! Nothing here mounts anything, so it works the same in every pod and on every machine. Every path is walked component by
//! component over directory descriptors ([`dir::Dir`]), links are resolved by this code below the tree's own root, and no
//! path string is handed to the kernel after the first: a tree may be hostile, and may change under our hands.

pub mod content;
pub mod copy;
pub mod diff;
pub mod dir;
mod error;
pub mod inspect;
pub mod layer;
pub mod listing;
mod meta;
pub mod mode;
mod names;
pub mod owners;
mod pool;
pub mod size;
pub mod source;
pub mod stack;
pub mod unpack;
pub mod upper;
pub mod users;
pub mod workdir;
pub mod xattr;

pub use error::TreeError;
pub use meta::{Kind, Meta, Time};
pub use stack::LayerStack;

/// Who owns something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

#[cfg(test)]
pub(crate) mod testing;
