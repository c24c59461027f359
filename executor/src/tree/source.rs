//! What a COPY, an ADD or a cache key reads: a tree, seen through `.dockerignore`, and the paths that a pattern selects.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use slipway_dockerfile::pattern::{IgnoreFile, PathPattern, Visit, clean};

use super::stack::{LayerStack, Place, UnionDir};
use super::{Owner, TreeError};

/// A tree to copy from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The tree.
    pub stack: &'a LayerStack,
    /// What is left out of it, where it is a local context.
    pub ignore: Option<&'a IgnoreFile>,
    /// Who owns what is copied, whatever the tree says: root for contexts, downloads and checkouts.
    pub owner: Option<Owner>,
}

/// A path that a pattern selects.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The path as it was matched, from the tree's root, absolute: its last name is the one at the destination.
    pub path: PathBuf,
    /// What it is, links resolved.
    pub place: Place,
}

/// What rules say on the way down a tree.
#[derive(Clone, Debug, Default)]
pub struct Rules<'a> {
    file: Option<&'a IgnoreFile>,
    visit: Visit,
}

impl<'a> Rules<'a> {
    /// Starts at a tree's root.
    pub fn new(file: Option<&'a IgnoreFile>) -> Self {
        Self { file: file.filter(|file| !file.is_empty()), visit: Visit::default() }
    }

    /// Goes down to a path below the one that these rules are for.
    #[must_use]
    pub fn down(&self, path: &Path) -> Self {
        let Some(file) = self.file else { return Self { file: None, visit: Visit::default() } };
        Self { file: Some(file), visit: file.visit(&text(path), &self.visit) }
    }

    /// Goes down all components of a path from the root.
    #[must_use]
    pub fn descend(mut self, path: &Path) -> Self {
        let mut at = PathBuf::new();
        for component in path.components() {
            if let Component::Normal(name) = component {
                at.push(name);
                self = self.down(&at);
            }
        }
        self
    }

    /// Tells whether the path is left out.
    pub fn ignored(&self) -> bool {
        self.visit.ignored()
    }

    /// Tells whether a directory need not be entered.
    pub fn can_skip(&self, path: &Path) -> bool {
        self.file.is_some_and(|file| file.can_skip(&text(path), &self.visit))
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Source<'_> {
    /// Returns what a pattern selects, in the order of their names. No match of a pattern is nothing; a plain path that is not there is an error.
    pub fn select(&self, pattern: &str) -> Result<Vec<Selected>, TreeError> {
        let cleaned = clean(&format!("/{pattern}"));
        let literal = |error| TreeError::Pattern { pattern: pattern.to_owned(), source: error };
        if !PathPattern::has_wildcards(&cleaned) {
            // No wildcard is no pattern: not even escapes mean anything then, as in BuildKit.
            return Ok(vec![
                self.selected(Path::new(&cleaned))?.ok_or_else(|| self.not_found(pattern, &cleaned))?,
            ]);
        }
        let parts: Vec<&str> = cleaned.split('/').filter(|part| !part.is_empty()).collect();
        let first = parts.iter().position(|part| PathPattern::has_wildcards(part)).unwrap_or(parts.len());
        let (fixed, wild) = parts.split_at(first);
        let pattern = PathPattern::new(&wild.join("/")).map_err(literal)?;
        let base = self.stack.canonical(&PathBuf::from(format!("/{}", fixed.join("/"))))?;
        let Some(place) = self.stack.find(&base, false)? else { return Ok(Vec::new()) };
        let Some(dir) = place.into_dir()? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        match_below(&dir, Path::new(""), wild.len(), &pattern, &mut found)?;
        let mut selected = Vec::with_capacity(found.len());
        for path in found {
            // A link that leads nowhere is an error in BuildKit too; what is ignored is not there.
            selected.extend(self.selected(&base.join(path))?);
        }
        Ok(selected)
    }

    /// Returns what a path selects that is no pattern, whatever is in it.
    pub fn literal(&self, path: &str) -> Result<Selected, TreeError> {
        let cleaned = clean(&format!("/{path}"));
        self.selected(Path::new(&cleaned))?.ok_or_else(|| self.not_found(path, &cleaned))
    }

    /// Looks a path up, links resolved; none where it is not there or all of it is ignored.
    fn selected(&self, path: &Path) -> Result<Option<Selected>, TreeError> {
        let Some(place) = self.stack.find(path, true)? else { return Ok(None) };
        // A link that is ignored is not there, whatever it leads to.
        let hidden_link = place.path() != path && self.rules(path).ignored();
        if hidden_link || !self.has_anything(&place)? {
            return Ok(None);
        }
        Ok(Some(Selected { path: path.to_owned(), place }))
    }

    /// Tells whether a place is in the source as the ignore file leaves it: an ignored directory is, if something in it is.
    fn has_anything(&self, place: &Place) -> Result<bool, TreeError> {
        let path = place.path();
        let rules = self.rules(&path);
        if !rules.ignored() {
            return Ok(true);
        }
        let below = path.strip_prefix("/").unwrap_or(&path).to_owned();
        if !place.meta().is_dir() || rules.can_skip(&below) {
            return Ok(false);
        }
        match place.clone().into_dir()? {
            Some(dir) => holds_anything(&dir, &below, &rules),
            None => Ok(false),
        }
    }

    /// Returns what the ignore file says of a path, absolute and without links.
    pub fn rules(&self, path: &Path) -> Rules<'_> {
        Rules::new(self.ignore).descend(path)
    }

    /// Explains why a path is not there.
    pub(crate) fn not_found(&self, pattern: &str, cleaned: &str) -> TreeError {
        let below = cleaned.trim_start_matches('/');
        let line = self.ignore.and_then(|file| file.deciding_line(below));
        let hint = match line {
            Some(line) => format!(": line {line} of the ignore file leaves it out"),
            None => self.nearby(cleaned).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default(),
        };
        TreeError::NotFound { path: pattern.to_owned(), hint }
    }

    /// Looks for a name in the same directory that differs in case only, or by one letter.
    fn nearby(&self, cleaned: &str) -> Option<String> {
        let path = Path::new(cleaned);
        let wanted = path.file_name()?.to_string_lossy().to_lowercase();
        let names = self.stack.read_dir(path.parent()?).ok()??;
        let close = |name: &OsStr| {
            let name = name.to_string_lossy().to_lowercase();
            name == wanted || one_apart(&name, &wanted)
        };
        names.iter().find(|name| close(name)).map(|name| name.to_string_lossy().into_owned())
    }
}

/// Walks by name only: links are not entered, and a match is not searched for more.
fn match_below(
    dir: &UnionDir,
    below: &Path,
    depth: usize,
    pattern: &PathPattern,
    found: &mut Vec<PathBuf>,
) -> Result<(), TreeError> {
    for (name, _) in dir.list()?.iter() {
        let path = below.join(name);
        if pattern.matches(&text(&path)) {
            found.push(path);
        } else if depth > 1
            && let Some(child) = dir.enter(name)?
        {
            match_below(&child, &path, depth - 1, pattern, found)?;
        }
    }
    Ok(())
}

/// Tells whether anything below an ignored directory is wanted.
fn holds_anything(dir: &UnionDir, path: &Path, rules: &Rules<'_>) -> Result<bool, TreeError> {
    for (name, _) in dir.list()?.iter() {
        let child = path.join(name);
        let rules = rules.down(&child);
        if !rules.ignored() {
            return Ok(true);
        }
        if !rules.can_skip(&child)
            && let Some(dir) = dir.enter(name)?
            && holds_anything(&dir, &child, &rules)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Tells whether one letter more, less or other makes one word of the other.
fn one_apart(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 1 || a.len().max(b.len()) < 3 {
        return false;
    }
    let front = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let back = a[front..].iter().rev().zip(b[front..].iter().rev()).take_while(|(a, b)| a == b).count();
    a.len().max(b.len()) - front - back == 1
}

/// What rules say at one place, and where that is for each of them.
#[derive(Clone)]
pub(crate) struct Here<'s> {
    /// The path in the source's tree, without the slash at its front, and what the ignore file says of it.
    pub(crate) in_tree: PathBuf,
    pub(crate) ignore: Rules<'s>,
    /// The path below the directory that is copied, and what `--exclude` says of it.
    pub(crate) below: PathBuf,
    pub(crate) exclude: Rules<'s>,
}

impl Here<'_> {
    pub(crate) fn down(&self, name: &OsStr) -> Self {
        let (in_tree, below) = (self.in_tree.join(name), self.below.join(name));
        let (ignore, exclude) = (self.ignore.down(&in_tree), self.exclude.down(&below));
        Self { in_tree, ignore, below, exclude }
    }

    pub(crate) fn left_out(&self) -> bool {
        self.ignore.ignored() || self.exclude.ignored()
    }

    pub(crate) fn can_skip(&self) -> bool {
        self.ignore.can_skip(&self.in_tree) || self.exclude.can_skip(&self.below)
    }
}

/// What `--parents` selects: a pattern below a directory.
pub(crate) struct Wanted {
    /// The directory, absolute and without links: the pattern up to the pivot `/./`.
    pub(crate) base: PathBuf,
    /// The pattern below it; empty for all.
    pub(crate) pattern: String,
}

impl Wanted {
    pub(crate) fn new(source: &Source<'_>, pattern: &str) -> Result<Self, TreeError> {
        let (pivot, wanted) = pattern.split_once("/./").unwrap_or(("", pattern));
        let base = source.stack.canonical(&PathBuf::from(clean(&format!("/{pivot}"))))?;
        let pattern = clean(&format!("/{wanted}")).trim_start_matches('/').to_owned();
        Ok(Self { base, pattern })
    }

    /// Tells whether it names one path, which must be there.
    pub(crate) fn is_literal(&self) -> bool {
        !PathPattern::has_wildcards(&self.pattern)
    }

    /// Returns the pattern as a rule, which knows `**`; none where all is wanted.
    pub(crate) fn include(&self) -> Result<Option<IgnoreFile>, TreeError> {
        if self.pattern.is_empty() {
            return Ok(None);
        }
        // A source is not a rule: a `!` at its front is a letter.
        let escape = if self.pattern.starts_with('!') { "\\" } else { "" };
        let rule = format!("{escape}{}", self.pattern);
        let include = IgnoreFile::from_patterns([rule.as_str()]);
        include
            .map(Some)
            .map_err(|error| TreeError::Exclude { pattern: self.pattern.clone(), reason: error.to_string() })
    }
}

/// The first parts of a pattern that are plain names: there is no need to look at their siblings.
pub(crate) struct Front<'a> {
    names: Vec<&'a str>,
}

impl<'a> Front<'a> {
    pub(crate) fn of(pattern: &'a str) -> Self {
        let names =
            pattern.split('/').take_while(|part| !PathPattern::has_wildcards(part) && !part.contains('\\'));
        Self { names: names.collect() }
    }

    pub(crate) fn only(&self) -> Option<&'a str> {
        self.names.first().copied()
    }

    pub(crate) fn next(&self) -> Self {
        Self { names: self.names.get(1..).unwrap_or_default().to_vec() }
    }
}

/// Returns the last name of a path; none for the root.
pub fn base_name(path: &Path) -> Option<&OsStr> {
    path.file_name().filter(|name| !name.as_bytes().is_empty())
}

#[cfg(test)]
mod tests;
