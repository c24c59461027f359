//! Which cases show which sentence of the language's description: `conformance/coverage.md`.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::case::{Case, matches};

/// Patterns in the last column of the table.
fn named(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|---"))
        .skip(1)
        .filter_map(|line| line.trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_sentence_has_a_case_and_every_case_a_sentence() -> Result<()> {
    let folder = crate::cases();
    let text = fs::read_to_string(folder.join("coverage.md")).context("no coverage.md")?;
    let patterns = named(&text);
    let cases = Case::all(&folder, "")?;
    let whole = |pattern: &str, name: &str| {
        if pattern.contains('*') { matches(pattern, name) } else { pattern == name }
    };
    let idle: Vec<&&str> =
        patterns.iter().filter(|pattern| !cases.iter().any(|case| whole(pattern, &case.name))).collect();
    ensure!(idle.is_empty(), "coverage.md names cases that do not exist: {idle:?}");
    let unnamed: Vec<&str> = cases
        .iter()
        .map(|case| case.name.as_str())
        .filter(|name| !patterns.iter().any(|pattern| whole(pattern, name)))
        .collect();
    ensure!(unnamed.is_empty(), "coverage.md does not say what these cases show: {unnamed:?}");
    let empty: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ") && !line.contains('`')).skip(1).collect();
    ensure!(empty.is_empty(), "these rows have no case: {empty:?}");
    Ok(())
}
