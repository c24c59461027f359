//! BuildKit's own parser cases: 33 files with their trees, 4 that fail, one for line numbers.
//!
//! They are not part of this repository. `SLIPWAY_CORPUS` names the folder that holds `buildkit/parser`; without it the
//! place beside the checkout is tried. The cases of our own below run everywhere.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // helpers of tests are not seen as tests

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use slipway_dockerfile::{parse, tree::Tree};

/// Finds the corpus, or says that these tests have nothing to do.
fn corpus(part: &str) -> Option<PathBuf> {
    let root = env::var_os("SLIPWAY_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"), PathBuf::from);
    let folder = root.join("buildkit/parser").join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there is no {}", folder.display());
    None
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

#[test]
fn every_tree_is_as_expected() {
    let Some(folder) = corpus("testfiles") else { return };
    let cases = cases(&folder);
    assert_eq!(cases.len(), 33);
    let mut wrong = vec![];
    for case in cases {
        let file = fs::read(case.join("Dockerfile")).unwrap();
        let expected = fs::read_to_string(case.join("result")).unwrap();
        let got = Tree::read(&file)
            .map_or_else(|error| format!("error: {}", error.message), |tree| tree.to_string());
        if got.trim() != expected.trim() {
            wrong.push(format!("{}\nexpected:\n{expected}\ngot:\n{got}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_negative_case_fails() {
    let Some(folder) = corpus("testfiles-negative") else { return };
    let cases = cases(&folder);
    assert_eq!(cases.len(), 4);
    for case in cases {
        let file = fs::read(case.join("Dockerfile")).unwrap();
        assert!(Tree::read(&file).is_err(), "the tree of {} was read", case.display());
        assert!(!parse(&file).is_ok(), "{} was parsed", case.display());
    }
}

#[test]
fn lines_are_counted() {
    let Some(folder) = corpus("testfile-line") else { return };
    let tree = Tree::read(&fs::read(folder.join("Dockerfile")).unwrap()).unwrap();
    let lines: Vec<_> = tree.nodes.iter().map(|node| (node.first_line, node.last_line)).collect();
    assert_eq!(lines, [(5, 5), (11, 12), (17, 31)]);
}

/// The typed parser reads every file of the corpus that is a whole Dockerfile, and its spans point at what they name.
#[test]
fn the_typed_parser_agrees() {
    let Some(folder) = corpus("testfiles") else { return };
    for case in cases(&folder) {
        let file = fs::read(case.join("Dockerfile")).unwrap();
        let parsed = parse(&file);
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        // These try out the syntax of single lines and are no valid files: no FROM, invented flags, bad health checks.
        let partial = name.starts_with("jeztah-") || ["flags", "health", "json"].contains(&name.as_str());
        assert_eq!(parsed.is_ok(), !partial, "{name}: {:?}", parsed.diagnostics);
        for stage in &parsed.file.stages {
            assert_eq!(stage.from.keyword.span.of(&parsed.source), stage.from.keyword.text, "{name}");
            assert_eq!(stage.from.image.span.of(&parsed.source), stage.from.image.text, "{name}");
            for instruction in &stage.instructions {
                assert_eq!(instruction.keyword.span.of(&parsed.source), instruction.keyword.text, "{name}");
            }
        }
    }
}
