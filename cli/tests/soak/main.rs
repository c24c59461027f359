//! Builds that are killed, registries that fail and lie, disks that fill: always a right image or a clear error, and a clean
//! store. `cargo xtask soak` is the long form; here is a short one for every test run.
//!
//! `SLIPWAY_SOAK_BUILDS` says how many builds are killed, `SLIPWAY_SOAK_ROUNDS` how many go through a failing registry,
//! `SLIPWAY_SOAK_SEED` which.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test may

mod bed;
mod disk;
mod flight;
mod kill;
mod left;
mod recipes;
mod registry;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Reads a number from the environment.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// One test at a time: each looks for processes that were left over.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A small generator: variety is needed, and the same again for the same seed.
struct Dice(u64);

impl Dice {
    fn new(salt: u64) -> Self {
        Self(setting("SLIPWAY_SOAK_SEED", 0x5eed).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt) | 1)
    }

    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}
