//! The live view, through a pseudo-terminal that `script` makes.

use std::process::Command;

use crate::bed::{Bed, out};

/// Builds on a terminal of this size, and returns all that it showed.
fn on_terminal(bed: &Bed, columns: u16, args: &str) -> Option<String> {
    if Command::new("script").arg("--version").output().is_err() {
        println!("not run: there is no `script` to make a terminal with");
        return None;
    }
    let build =
        format!("stty cols {columns} rows 30; {} build {args} context", env!("CARGO_BIN_EXE_slipway"));
    let output = Command::new("script")
        .args(["-qec", &build, "/dev/null"])
        .current_dir(&bed.folder)
        .env("SLIPWAY_HOME", bed.folder.join("store"))
        .env("DOCKER_CONFIG", bed.folder.join("no-config"))
        .env("TERM", "xterm-256color")
        .env_remove("COLUMNS")
        .env_remove("NO_COLOR")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", out(&output));
    Some(out(&output))
}

/// Returns the text without colours and movements of the cursor, and the longest run between those.
fn lines(text: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        for c in chars.by_ref() {
            if c.is_ascii_alphabetic() {
                break;
            }
        }
        plain.push('\n');
    }
    plain.split(['\n', '\r']).map(ToOwned::to_owned).collect()
}

#[test]
fn every_stage_has_a_bar_that_fits_the_terminal() {
    let bed = Bed::new("live");
    let long = "x".repeat(200);
    bed.file(&long, "1");
    bed.file(
        "Dockerfile",
        &format!("FROM scratch AS first\nCOPY {long} /a\nCOPY Dockerfile /b\nFROM scratch AS second\nCOPY --from=first /a /c\n"),
    );
    let reference = bed.reference("app:1");
    let args = format!("--platform linux/amd64,linux/arm64 -t {reference} --push");
    let Some(shown) = on_terminal(&bed, 60, &args) else { return };
    let lines = lines(&shown);
    for stage in ["first@linux/amd64", "first@linux/arm64", "second@linux/amd64"] {
        assert!(lines.iter().any(|line| line.starts_with(stage)), "{stage}: {shown}");
    }
    let bars = lines.iter().filter(|line| line.contains('━') || line.contains('─'));
    for bar in bars {
        assert!(bar.chars().count() <= 60, "wider than the terminal: {bar:?}");
    }
    assert!(lines.iter().any(|line| line.contains("push") && line.contains("app")), "{shown}");
    assert!(shown.contains("pushed") && shown.contains("linux/arm64"), "the table comes at the end: {shown}");
    assert!(bed.registry.manifest("app", "1").is_some());
}
