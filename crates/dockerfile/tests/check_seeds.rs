//! What the checks say about every Dockerfile of the documents that Slipway started from, compared with `check.txt` beside each.
//!
//! With `SLIPWAY_BLESS=1` the files are written anew.

use std::{fs, path::PathBuf};

use slipway_dockerfile::{
    check::{CheckInput, Ignore, check},
    parse,
    render::Renderer,
};

#[test]
fn seeds_read_as_their_golden_files() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/seeds");
    let bless = std::env::var_os("SLIPWAY_BLESS").is_some();
    let mut compared = 0;
    let mut wrong = vec![];
    let mut entries: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries.into_iter().filter(|path| path.is_dir()) {
        let parsed = parse(&fs::read(path.join("Dockerfile")).unwrap());
        let input = CheckInput { ignore: Ignore::Missing, ..CheckInput::default() };
        let mut findings = parsed.diagnostics.clone();
        findings.extend(check(&parsed, &input));
        findings.sort_by_key(|finding| (finding.span.start, finding.span.end));
        let text = Renderer::new("Dockerfile", &parsed.source).render_all(&findings);
        let golden = path.join("check.txt");
        if bless {
            fs::write(&golden, &text).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", golden.display()));
        }
        compared += 1;
    }
    assert!(compared >= 40, "only {compared} folders in {}", folder.display());
    assert!(wrong.is_empty(), "{}\nrun with SLIPWAY_BLESS=1 if this is right", wrong.join("\n"));
}
