//! `cargo +nightly fuzz run expand`
#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::expands(&String::from_utf8_lossy(data)));
