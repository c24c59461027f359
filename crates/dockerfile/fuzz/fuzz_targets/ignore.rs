//! `cargo +nightly fuzz run ignore`
#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (patterns, path) = text.split_once("\0").unwrap_or((&text, "a/b"));
    checks::matches(patterns, path);
});
