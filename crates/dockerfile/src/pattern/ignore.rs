//! `.dockerignore`: rules in order, of which the last that matches decides.

use super::{PatternError, clean, rule::Rule};

/// The longest line that is read.
const MAX_LINE: usize = 65_535;

/// Up to this depth of directories it is quicker to look at each than to look at all at once.
const SHALLOW: usize = 12;

/// The rules of an ignore file, or the patterns of `--exclude` flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreFile {
    rules: Vec<Rule>,
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct IgnoreError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: IgnoreErrorKind,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum IgnoreErrorKind {
    #[error("`!` must be followed by a pattern")]
    LoneNegation,
    #[error("a line may have {MAX_LINE} bytes at most")]
    TooLong,
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// What is known of a path on the way down a tree: which rules matched it or a directory above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    matched: Vec<bool>,
    ignored: bool,
}

impl Visit {
    /// Tells whether the path is left out. Something below it may still be wanted: see [`IgnoreFile::can_skip`].
    pub fn ignored(&self) -> bool {
        self.ignored
    }
}

impl IgnoreFile {
    /// Reads an ignore file: `#` in the first column is a comment, a byte order mark is no text, paths are relative to the root with or without `/`.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        Self::compile(lines.map(|(index, line)| (index + 1, line, true)))
    }

    /// Takes patterns as they are, such as those of `--exclude`: no comments, and a `/` at the start matches nothing.
    pub fn from_patterns<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, IgnoreError> {
        Self::compile(patterns.into_iter().enumerate().map(|(index, pattern)| (index + 1, pattern, false)))
    }

    fn compile<'a>(lines: impl Iterator<Item = (usize, &'a str, bool)>) -> Result<Self, IgnoreError> {
        let mut rules = vec![];
        for (line, text, from_root) in lines {
            let error = |kind| IgnoreError { line, kind };
            if text.len() > MAX_LINE {
                return Err(error(IgnoreErrorKind::TooLong));
            }
            let text = text.trim();
            let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest.trim()));
            let cleaned = if text.is_empty() { String::new() } else { clean(text) };
            let pattern = if from_root { cleaned.strip_prefix('/').unwrap_or(&cleaned) } else { &cleaned };
            match (pattern.is_empty(), negated) {
                (true, true) => return Err(error(IgnoreErrorKind::LoneNegation)),
                // A blank line, or `/`: the root itself is never left out.
                (true, false) => continue,
                (false, _) => {}
            }
            rules.push(Rule::new(pattern, negated, line).map_err(|kind| error(kind.into()))?);
        }
        Ok(Self { rules })
    }

    /// Tells whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Tells whether a rule takes something back with `!`.
    pub fn has_negations(&self) -> bool {
        self.rules.iter().any(|rule| rule.negated)
    }

    /// Tells whether a rule leaves out everything in the root: `*`, `**` or `**/*`.
    pub fn takes_whole_root(&self) -> bool {
        self.rules.iter().any(Rule::takes_whole_root)
    }

    /// Tells whether a walk from the root down leaves this path out. The path is relative to the root.
    pub fn matches(&self, path: &str) -> bool {
        let path = clean(path.trim_start_matches('/'));
        if path == "." {
            return false;
        }
        let ends: Vec<usize> = path.match_indices('/').map(|(end, _)| end).chain([path.len()]).collect();
        let mut visit = Visit::default();
        if ends.len() <= SHALLOW {
            for end in ends {
                visit = self.visit(&path[..end], &visit);
            }
        } else {
            let matched: Vec<Vec<usize>> =
                self.rules.iter().map(|rule| rule.matched_lengths(&path)).collect();
            for end in ends {
                visit = self.step(&visit, |rule| matched[rule].binary_search(&end).is_ok());
            }
        }
        visit.ignored
    }

    /// Tells whether the rules, each tried on the path and on all directories above it, leave the path out.
    ///
    /// This differs from [`IgnoreFile::matches`] only where a rule with `!` names a directory that was not left out itself: `a/b` then `!a` leaves
    /// out `a/b` on a walk and does not here. Moby has both; the walk decides what a build gets.
    pub fn matches_or_parent(&self, path: &str) -> bool {
        let path = clean(path.trim_start_matches('/'));
        if path == "." {
            return false;
        }
        self.rules.iter().fold(false, |ignored, rule| {
            let applies = rule.negated == ignored && !rule.matched_lengths(&path).is_empty();
            if applies { !rule.negated } else { ignored }
        })
    }

    /// Decides on one path of a walk, given what is known of the directory that holds it. The root's children start from `Visit::default()`.
    ///
    /// The path must be clean and relative to the root.
    #[must_use]
    pub fn visit(&self, path: &str, parent: &Visit) -> Visit {
        self.step(parent, |rule| self.rules[rule].matches(path))
    }

    fn step(&self, parent: &Visit, matches: impl Fn(usize) -> bool) -> Visit {
        let mut ignored = false;
        let mut matched = vec![false; self.rules.len()];
        for (i, rule) in self.rules.iter().enumerate() {
            let inherited = parent.matched.get(i).copied().unwrap_or_default();
            if inherited || (rule.negated == ignored && matches(i)) {
                matched[i] = true;
                ignored = !rule.negated;
            }
        }
        Visit { matched, ignored }
    }

    /// Tells whether nothing inside a directory can be wanted, so that a walk need not enter it.
    pub fn can_skip(&self, dir: &str, visit: &Visit) -> bool {
        visit.ignored && !self.rules.iter().any(|rule| rule.negated && rule.may_match_below(dir))
    }

    /// Returns the line of the rule that leaves a path out, for messages.
    pub fn deciding_line(&self, path: &str) -> Option<usize> {
        let path = clean(path.trim_start_matches('/'));
        let decides = |rule: &&Rule| !rule.matched_lengths(&path).is_empty();
        self.rules.iter().rev().find(decides).filter(|rule| !rule.negated).map(|rule| rule.line)
    }
}
