//! The tables of the reference implementation, where a checkout has them: one word or one split a line.

#![allow(clippy::panic, clippy::print_stdout)] // helpers of tests are not seen as tests

use std::{fs, path::PathBuf};

use slipway_dockerfile::expand::{process_word, process_words};

/// The environment that the table of words assumes.
const ENV: [(&str, &str); 4] = [("PWD", "/home"), ("SHELL", "bash"), ("KOREAN", "한국어"), ("NULL", "")];

fn table(name: &str) -> Option<String> {
    let corpus = std::env::var_os("SLIPWAY_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    let path = corpus.join("buildkit/shell").join(name);
    let text = fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: there is no {}", path.display());
    }
    text
}

#[test]
fn words_expand_as_upstream() {
    let Some(table) = table("envVarTest") else { return };
    let (mut held, mut not_applicable) = (0, 0);
    for (number, line) in table.lines().enumerate() {
        let line = line.split_once('#').filter(|(before, _)| before.is_empty()).map_or(line, |_| "");
        let Some((row, wanted)) = line.rsplit_once(" |").or_else(|| line.rsplit_once('|')) else { continue };
        let (system, word) = row.split_once('|').unwrap_or_else(|| panic!("line {}: {line}", number + 1));
        if system == "W" {
            not_applicable += 1;
            continue;
        }
        assert!(matches!(system, "A" | "U"), "line {}: {line}", number + 1);
        let (word, wanted) = (word.trim(), wanted.trim());
        let got = process_word(word, '\\', &ENV).unwrap_or_else(|_| "error".to_owned());
        assert_eq!(got, wanted, "line {}: {word}", number + 1);
        held += 1;
    }
    println!("{held} rows hold, {not_applicable} are for Windows");
    assert!(held > 200, "only {held} rows were read");
}

#[test]
fn texts_split_as_upstream() {
    let Some(table) = table("wordsTest") else { return };
    let mut env: Vec<(String, String)> = vec![];
    let mut held = 0;
    for (number, line) in
        table.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty())
    {
        if let Some(setting) = line.strip_prefix("ENV ") {
            let (name, value) = setting.trim_start().split_once('=').unwrap_or((setting, ""));
            env.push((name.to_owned(), value.to_owned()));
            continue;
        }
        let (text, wanted) = line.split_once('|').unwrap_or_else(|| panic!("line {}: {line}", number + 1));
        let wanted = wanted.trim_start();
        match process_words(text.trim(), '\\', &env) {
            Ok(got) => assert_eq!(got.join(","), wanted, "line {}: {text}", number + 1),
            Err(_) => assert_eq!(wanted, "error", "line {}: {text}", number + 1),
        }
        held += 1;
    }
    println!("{held} rows hold");
    assert!(held > 20, "only {held} rows were read");
}
