//! The documentation says what the code does: every code, every field, and the picture.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use slipway_graph::picture::{Format, document, render};
use slipway_graph::{Outline, Request, outline};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn example() -> Outline {
    let text = read(&docs().join("plan/Dockerfile"));
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    outline(&parsed.file, &parsed.source, &Request::new("linux/amd64".parse().unwrap())).unwrap()
}

#[test]
fn the_picture_of_the_documentation_is_drawn_by_this_code() {
    let made = render(&example(), Format::Svg, "Dockerfile").unwrap();
    let path = docs().join("plan/plan.svg");
    if std::env::var_os("SLIPWAY_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    assert!(read(&path) == made, "docs/plan/plan.svg is old; write it with SLIPWAY_BLESS=1");
}

#[test]
fn every_field_of_the_document_is_described() {
    let text = read(&docs().join("plan.md"));
    let mut fields = BTreeSet::new();
    collect(&document(&example(), "Dockerfile"), &mut fields);
    assert!(fields.len() > 20, "{fields:?}");
    let missing: Vec<&String> = fields.iter().filter(|field| !text.contains(&format!("`{field}`"))).collect();
    assert!(missing.is_empty(), "not in docs/plan.md: {missing:?}");
}

fn collect(value: &serde_json::Value, fields: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                fields.insert(name.clone());
                collect(value, fields);
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, fields)),
        _ => {}
    }
}

/// Finds the codes in the sources: the first argument of `Diagnostic::error` and `::warning`.
#[test]
fn every_code_is_described_and_every_described_code_exists() {
    let mut used = BTreeSet::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = read(&path);
        for call in ["Diagnostic::error(", "Diagnostic::warning(", "refuse(word,", "TOO_LARGE: &str ="] {
            for (at, _) in text.match_indices(call) {
                let rest = text[at + call.len()..].trim_start();
                if let Some(code) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                    used.insert(code.to_owned());
                }
            }
        }
    }
    let table = read(&docs().join("language.md"));
    let table = table.split("## Codes of the planner").nth(1).unwrap();
    let described: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(ToOwned::to_owned)
        .collect();
    assert_eq!(used, described);
}
