//! Every code of the parser is documented, and every documented code is shown in a golden file.

#![allow(clippy::unwrap_used)] // helpers of tests are not seen as tests

use std::{collections::BTreeSet, fs, path::Path};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The codes in the first column of the page's table.
fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(here().join("../../docs/dockerfile.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(code, _)| code.to_owned()).collect()
}

/// The codes in the titles of rendered problems.
fn shown() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for entry in fs::read_dir(here().join("tests/parse_errors")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = fs::read_to_string(path).unwrap();
            let titles = text.lines().filter_map(|line| {
                line.strip_prefix("error[").or_else(|| line.strip_prefix("warning["))?.split_once("]: ")
            });
            codes.extend(titles.map(|(code, _)| code.to_owned()));
        }
    }
    codes
}

#[test]
fn codes_are_documented_and_shown() {
    let (documented, mut shown) = (documented(), shown());
    // Its file would be long; `hostile_long_lines` makes one.
    shown.insert("line-too-long".to_owned());
    assert_eq!(documented, shown);
}

/// A code that no golden file shows would escape the other test.
#[test]
fn codes_in_the_source_are_documented() {
    let documented = documented();
    let mut files =
        vec![here().join("src/parse.rs"), here().join("src/mount.rs"), here().join("src/flags.rs")];
    files.extend([
        here().join("src/lines.rs"),
        here().join("src/source.rs"),
        here().join("src/lines/directives.rs"),
    ]);
    files.extend(fs::read_dir(here().join("src/parse")).unwrap().map(|entry| entry.unwrap().path()));
    let mut found = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for (at, _) in
            text.match_indices("Diagnostic::error(").chain(text.match_indices("Diagnostic::warning("))
        {
            let after = text[at..].split_once('(').unwrap().1.trim_start();
            let code = after.strip_prefix('"').and_then(|rest| rest.split_once('"')).unwrap().0;
            found.insert(code.to_owned());
        }
    }
    assert!(found.len() > 30, "the codes are no longer found this way");
    let missing: Vec<_> = found.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/dockerfile.md: {missing:?}");
}
