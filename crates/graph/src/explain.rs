//! Why a step is not cached: the parts of its key, compared with those of an earlier build.
//!
//! It compares what it is given; which earlier build is meant is the caller's business.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use crate::key::KeyPart;

#[cfg(test)]
mod tests;

/// How many changed files are named; the rest is counted.
const MAX_FILES: usize = 5;

/// How many reasons are given in all.
const MAX_REASONS: usize = 8;

/// How long a value may be to be shown, in characters.
const MAX_SHOWN: usize = 60;

/// The reasons, the most telling first; none where nothing changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    reasons: Vec<String>,
}

impl Deref for Explanation {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.reasons
    }
}

impl From<Explanation> for Vec<String> {
    fn from(explanation: Explanation) -> Self {
        explanation.reasons
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reasons.join(", "))
    }
}

/// Says what changed from one set of key parts to another.
pub fn explain(old: &[KeyPart], new: &[KeyPart]) -> Explanation {
    let (old, new) = (by_name(old), by_name(new));
    let mut found = Found::default();
    for (name, value) in &new {
        match old.get(name) {
            Some(before) if before == value => {}
            before => found.note(name, before.map(String::as_str), Some(value)),
        }
    }
    for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        found.note(name, Some(value), None);
    }
    Explanation { reasons: found.reasons() }
}

/// Collects parts by name; those of one name (two mounts of one stage) count as one.
fn by_name(parts: &[KeyPart]) -> BTreeMap<&str, String> {
    let mut out: BTreeMap<&str, String> = BTreeMap::new();
    for part in parts {
        out.entry(&part.name)
            .and_modify(|value| {
                value.push(' ');
                value.push_str(&part.value);
            })
            .or_insert_with(|| part.value.clone());
    }
    out
}

#[derive(Default)]
struct Found<'p> {
    /// What the step starts from: old and new names, and whether one of the same name changed.
    bases: (Vec<&'p str>, Vec<&'p str>, Vec<&'p str>),
    files: Vec<String>,
    more: Vec<String>,
    contents: Vec<String>,
    before: bool,
}

impl<'p> Found<'p> {
    fn note(&mut self, name: &'p str, old: Option<&str>, new: Option<&str>) {
        let (kind, rest) = name.split_once(' ').unwrap_or((name, ""));
        match (kind, rest) {
            ("step", "before") => self.before = true,
            ("base", what) => match (old, new) {
                (Some(_), Some(_)) => self.bases.2.push(what),
                (Some(_), None) => self.bases.0.push(what),
                _ => self.bases.1.push(what),
            },
            ("file", path) => self.files.push(format!("file {path} {}", change(old, new))),
            ("files", folder) => self.files.push(format!("files below {folder} {}", change(old, new))),
            ("content", what) => self.contents.push(format!("content of {what} {}", change(old, new))),
            ("image", what) if old.is_some() && new.is_some() => {
                self.more.push(format!("image {what} moved"));
            }
            ("arg", what) => self.more.push(variable("ARG", what, old, new)),
            ("env", what) => self.more.push(variable("ENV", what, old, new)),
            ("command" | "heredoc" | "mount" | "stage" | "image" | "download" | "repository", _) => {
                self.more.push(format!("{name} {}", change(old, new)));
            }
            _ => self.more.push(difference(name, old, new)),
        }
    }

    fn reasons(self) -> Vec<String> {
        let mut out = vec![];
        let (gone, added, moved) = self.bases;
        out.extend(moved.iter().map(|base| format!("base {base} moved")));
        match (gone.as_slice(), added.as_slice()) {
            ([], []) => {}
            ([old], [new]) => out.push(format!("base {old} → {new}")),
            // The step before it was inserted or dropped.
            _ => out.extend(added.iter().map(|base| format!("it now starts from {base}"))),
        }
        if self.files.is_empty() {
            out.extend(self.contents);
        } else {
            let rest = self.files.len().saturating_sub(MAX_FILES);
            out.extend(self.files.into_iter().take(MAX_FILES));
            if rest > 0 {
                out.push(format!("{rest} more files changed"));
            }
        }
        out.extend(self.more);
        if out.is_empty() && self.before {
            out.push("the step before it changed".to_owned());
        }
        if out.len() > MAX_REASONS {
            let rest = out.len() - (MAX_REASONS - 1);
            out.truncate(MAX_REASONS - 1);
            out.push(format!("{rest} more changes"));
        }
        out
    }
}

fn change(old: Option<&str>, new: Option<&str>) -> &'static str {
    match (old, new) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    }
}

fn variable(kind: &str, name: &str, old: Option<&str>, new: Option<&str>) -> String {
    match (old, new) {
        (Some(old), Some(new)) => format!("{kind} {name}: {} → {}", shown(old), shown(new)),
        (None, Some(new)) => format!("{kind} {name} added: {}", shown(new)),
        _ => format!("{kind} {name} removed"),
    }
}

fn difference(name: &str, old: Option<&str>, new: Option<&str>) -> String {
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    format!("{name}: {} → {}", shown(old), shown(new))
}

fn shown(value: &str) -> String {
    if value.is_empty() {
        return "(empty)".to_owned();
    }
    let short: String = value.chars().take(MAX_SHOWN).collect();
    let short = short.replace(['\n', '\r'], " ");
    if short.len() < value.len() { short + "…" } else { short }
}
