//! Our own cases, which run everywhere: every `parse_valid/*.Dockerfile` beside its generic tree and its typed one.
//!
//! `UPDATE_GOLDEN=1` writes the expected texts anew; read them before they are committed.

#![allow(clippy::unwrap_used)] // helpers of tests are not seen as tests

use std::{env, fmt::Write as _, fs, path::Path};

use slipway_dockerfile::{ast::Dockerfile, parse, tree::Tree};

#[test]
fn trees_are_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parse_valid");
    let mut wrong = vec![];
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "Dockerfile") {
            continue;
        }
        count += 1;
        let file = fs::read(&path).unwrap();
        let parsed = parse(&file);
        if !parsed.is_ok() {
            wrong.push(format!("{}: {:#?}", path.display(), parsed.diagnostics));
            continue;
        }
        let tree = Tree::read(&file).unwrap();
        let mut text = tree.to_string();
        for (name, body) in tree.nodes.iter().flat_map(|node| &node.heredocs) {
            let _ = writeln!(text, "{name:?} {body:?}");
        }
        let _ = write!(text, "\n{}", typed(&parsed.file));
        let golden = path.with_extension("txt");
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", path.display()));
        }
    }
    assert!(count >= 9, "the cases are missing");
    assert!(wrong.is_empty(), "{} differ from their golden files:\n{}", wrong.len(), wrong.join("\n"));
}

/// Writes the typed tree, one instruction a line, without what is empty.
fn typed(file: &Dockerfile) -> String {
    let mut text = format!("{:?} escape {:?}\n", file.directives, file.escape);
    for arg in &file.global_args {
        let _ = writeln!(text, "{:?} {:?} // {:?}", arg.span, arg.kind, arg.comments);
    }
    for stage in &file.stages {
        let _ = writeln!(text, "{} {:?} {:?} {:?}", stage.index, stage.name, stage.span, stage.from);
        for instruction in &stage.instructions {
            let _ =
                writeln!(text, "{:?} {:?} // {:?}", instruction.span, instruction.kind, instruction.comments);
        }
    }
    // Debug output of what is absent tells nothing.
    for key in [
        "from", "source", "target", "id", "sharing", "readonly", "required", "size", "mode", "uid", "gid",
        "env",
    ]
    .into_iter()
    .chain(["platform", "as_keyword", "alias", "network", "security", "chown", "chmod", "checksum"])
    .chain(["keep_git_dir", "unpack", "syntax", "escape", "check", "default"])
    {
        text = text.replace(&format!(", {key}: None"), "");
    }
    text.replace("Span ", "").replace("start: ", "").replace(", end: ", "..")
}

/// What the comparison with BuildKit's own parser found, so that it is known where that parser is not.
#[test]
fn found_by_comparison_with_buildkit() {
    let read = |text: &str| Tree::read(text.as_bytes());
    let lines = |text: &str| read(text).unwrap().nodes.iter().map(|node| node.first_line).collect::<Vec<_>>();
    let names = |text: &str| read(text).unwrap().nodes.into_iter().map(|node| node.name).collect::<Vec<_>>();

    // After `#!` only the first directive of a name counts, and a second one is a comment.
    assert!(parse(b"#!/bin/x\n# syntax=a\n# syntax=b\nFROM scratch\n").is_ok());
    assert!(!parse(b"# syntax=a\n# syntax=b\nFROM scratch\n").is_ok());
    // White space is a value, and no escape character; nothing is no value, so this is a comment.
    assert!(!parse(b"# escape = \nFROM scratch\n").is_ok());
    assert!(parse(b"# escape =\nFROM scratch\n").is_ok());
    // An instruction starts where its continuation starts, even if that line holds nothing else.
    assert_eq!(lines("FROM a\n \\\nRUN b\n"), [1, 2]);
    // Looking into a variable makes the lexer forget the `<<` before it, so no body follows.
    assert_eq!(names("FROM a\nRUN cat <<x${a:-b}\nRUN c\n"), ["FROM", "RUN", "RUN"]);
    assert_eq!(names("FROM a\nRUN cat <<x${a}\nRUN c\nx${a}\n"), ["FROM", "RUN"]);
    // A chain of ONBUILDs is a tree, though never valid.
    assert_eq!(read("ONBUILD ONBUILD RUN x\n").unwrap().to_string(), "(onbuild (onbuild (run \"x\")))\n");
    // A continuation of nothing is an instruction without a name.
    assert_eq!(read("FROM a\n\\\n").unwrap().to_string(), "(from \"a\")\n(\"\")\n");
}
