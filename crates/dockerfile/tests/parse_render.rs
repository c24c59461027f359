//! What people see of a broken file: every `parse_errors/*.Dockerfile` beside its rendered problems.
//!
//! `UPDATE_GOLDEN=1` writes the expected texts anew; read them before they are committed.

use std::{env, fs, path::Path};

use slipway_dockerfile::{parse, render::Renderer};

#[test]
fn problems_are_rendered_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parse_errors");
    let mut wrong = vec![];
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "Dockerfile") {
            continue;
        }
        count += 1;
        let parsed = parse(&fs::read(&path).unwrap());
        let rendered = Renderer::new("Dockerfile", &parsed.source).width(100).render_all(&parsed.diagnostics);
        let golden = path.with_extension("txt");
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &rendered).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != rendered {
            wrong.push(format!("{}:\n{rendered}", path.display()));
        }
    }
    assert!(count >= 12, "the cases are missing");
    assert!(wrong.is_empty(), "{} differ from their golden files:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn colours_are_wrapped_around_the_same_text() {
    let parsed = parse(b"FROM alpine\nRNU x\n");
    let renderer = Renderer::new("Dockerfile", &parsed.source);
    let plain = renderer.render_all(&parsed.diagnostics);
    let coloured = renderer.colour(true).render_all(&parsed.diagnostics);
    assert!(coloured.contains("\x1b[1;31merror[unknown-instruction]\x1b[0m"));
    let mut stripped = String::new();
    for part in coloured.split('\x1b') {
        stripped.push_str(
            part.strip_prefix('[').and_then(|part| part.split_once('m')).map_or(part, |(_, text)| text),
        );
    }
    assert_eq!(stripped, plain);
}
