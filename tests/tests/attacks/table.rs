//! The table of attacks, `docs/design/attacks.md`: what it calls a test must be one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Collects the text of all sources, each with its path below the root.
fn sources(folder: &Path, root: &Path, all: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                sources(&entry.path(), root, all)?;
            }
        } else if Path::new(&name).extension().is_some_and(|end| end == "rs") {
            let path = entry.path().strip_prefix(root)?.display().to_string();
            all.push((path, fs::read_to_string(entry.path())?));
        }
    }
    Ok(())
}

#[test]
fn every_row_of_the_table_names_tests_that_exist() -> Result<()> {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let table = fs::read_to_string(root.join("docs/design/attacks.md")).context("no table of attacks")?;
    let mut all = Vec::new();
    sources(&root, &root, &mut all)?;
    let mut rows = 0;
    for line in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| attack")) {
        let cell = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        ensure!(!names.is_empty(), "a row names no test: {line}");
        rows += 1;
        for name in names {
            // `file: name`, where the file may be the end of a path.
            let (file, test) =
                name.split_once(": ").with_context(|| format!("`{name}` is not `file: test`"))?;
            let found = all.iter().filter(|(path, _)| path.ends_with(file)).any(|(_, text)| {
                text.contains(&format!("fn {test}(")) || text.contains(&format!("\"{test}\""))
            });
            let case = file == "conformance" && root.join("tests/conformance").join(test).is_dir();
            ensure!(found || case, "the table names `{name}`, which does not exist: {line}");
        }
    }
    ensure!(rows >= 20, "the table has only {rows} rows");
    Ok(())
}
