//! Caches that travel: what one machine exports another one imports, whole, in part, damaged and hostile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bed;
mod hostile;
mod pods;
mod travel;
