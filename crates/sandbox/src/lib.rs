//! Runs a command in a root file system of layers: namespaces, overlayfs, mounts, capabilities, seccomp.
//!
//! Knows nothing of images, caches or Dockerfiles. The only crate with `unsafe`.

pub mod spec;
