//! The properties of the checks, of expansion and of patterns on stable: torn files, words and ignore files from a seeded generator.
//!
//! `FUZZ_SECONDS` and `FUZZ_SEED` change how long and where from; a failure prints its input.

#![allow(clippy::print_stderr)] // helpers of tests are not seen as tests

#[path = "../fuzz/checks.rs"]
mod checks;

mod mutation;

use std::{panic, time::Instant};

use mutation::Mutator;

/// Runs a property on torn files for a few seconds.
fn drive(property: impl Fn(&[u8]) + panic::RefUnwindSafe) {
    let mut mutator = Mutator::new();
    let begin = Instant::now();
    let mut runs = 0;
    while begin.elapsed() < mutation::seconds() {
        let data = mutator.next();
        if let Err(cause) = panic::catch_unwind(|| property(&data)) {
            eprintln!("run {runs}, input:\n{}", data.escape_ascii());
            panic::resume_unwind(cause);
        }
        runs += 1;
    }
    assert!(runs > 20, "only {runs} runs");
}

#[test]
fn mutated_files_never_break_the_checks() {
    drive(checks::checks);
}

#[test]
fn mutated_lines_never_break_expansion() {
    drive(|data| String::from_utf8_lossy(data).lines().take(200).for_each(checks::expands));
}

#[test]
fn mutated_lines_never_break_patterns() {
    // Letters of Dockerfiles make few patterns; these stand for others.
    let wild = |c: char| match c {
        'a'..='e' => '*',
        'f'..='h' => '/',
        'i' => '?',
        'j'..='m' => 'x',
        'n' => '!',
        'o' | 'p' => '\n',
        'q'..='z' | ' ' => 'y',
        other => other,
    };
    drive(|data| {
        let text: String = String::from_utf8_lossy(data).chars().take(400).map(wild).collect();
        let path: String = text.chars().filter(|c| matches!(c, 'x' | 'y' | '/' | '.')).take(60).collect();
        checks::matches(&text, &path);
        text.split("\n\n").for_each(|part| checks::matches(part, &path));
    });
}
