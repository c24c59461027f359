//! One line of an ignore file, compiled.
//!
//! Like Go's `filepath.Match` with `**` on top, and with Moby's habits: `**/x` also matches `x`, `x/**` matches all below `x` but not `x`, and
//! `**x` (no slash) matches every path that ends in `x`. Moby goes through regular expressions, and some of their syntax leaks there (`\d`, `^`, a
//! `*` inside `[…]`); here those are the characters themselves, and what is malformed is an error at once, not when a path reaches it.

use super::{PatternError, class::Class, path::PathPattern};

/// A compiled line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// True for `!…`: what matches is wanted after all.
    pub(super) negated: bool,
    /// The pattern without `!`, cleaned.
    pub(super) pattern: String,
    /// Its line, from 1.
    pub(super) line: usize,
    /// What the pattern starts with literally.
    prefix: String,
    /// What it ends with literally; empty where there is nothing but the prefix.
    suffix: String,
    /// What comes after the prefix, the suffix included.
    tokens: Vec<Token>,
}

/// Patterns of so many tokens are followed without asking for memory.
const FEW: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Name,
    Class(Class),
    /// The start of `**/`, which may stand for nothing.
    Folders,
    /// The rest of `**/`: anything that ends with a slash.
    FoldersEnd,
    /// `**` at an end: anything.
    Rest,
}

impl Rule {
    /// Compiles a cleaned pattern.
    pub(super) fn new(pattern: &str, negated: bool, line: usize) -> Result<Self, PatternError> {
        PathPattern::new(pattern)?;
        let mut tokens = tokens(pattern)?;
        let literal = |token: &Token| if let Token::Char(c) = token { Some(*c) } else { None };
        let prefix: String = tokens.iter().map_while(literal).collect();
        tokens.drain(..prefix.chars().count());
        let tail: Vec<char> = tokens.iter().rev().map_while(literal).collect();
        let suffix = tail.into_iter().rev().collect();
        Ok(Self { negated, pattern: pattern.to_owned(), line, prefix, suffix, tokens })
    }

    /// Tells whether the rule matches a path itself, its parents not regarded.
    pub(super) fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(self.prefix.as_str()) else { return false };
        // Nearly all paths end here: the rest is slow.
        if self.tokens.is_empty() || !rest.ends_with(&self.suffix) {
            return rest.is_empty() && self.tokens.is_empty();
        }
        self.run(rest, |_| ()).matched
    }

    /// Returns which of a path and the directories above it the rule matches, each by the length of its name, in one pass.
    pub(super) fn matched_lengths(&self, path: &str) -> Vec<usize> {
        let Some(rest) = path.strip_prefix(self.prefix.as_str()) else { return vec![] };
        let before = self.prefix.len();
        let mut lengths = vec![];
        if self.tokens.is_empty() {
            if rest.is_empty() || rest.starts_with('/') {
                lengths.push(before);
            }
        } else if self.run(rest, |at| lengths.push(before + at)).matched {
            lengths.push(path.len());
        }
        lengths
    }

    /// Tells whether the rule could match anything inside a directory.
    pub(super) fn may_match_below(&self, dir: &str) -> bool {
        let inside = format!("{dir}/");
        match inside.strip_prefix(self.prefix.as_str()) {
            Some(rest) => !self.tokens.is_empty() && self.run(rest, |_| ()).alive,
            None => self.prefix.starts_with(&inside),
        }
    }

    /// Tells whether the rule matches whatever lies in the root of the context.
    pub(super) fn takes_whole_root(&self) -> bool {
        !self.negated && matches!(self.pattern.as_str(), "*" | "**" | "**/*")
    }

    /// Follows all possibilities at once: `reached[i]` says that the first `i` tokens may match what was read so far.
    /// `parent` is called with the place of each slash up to which all tokens match.
    fn run(&self, text: &str, mut parent: impl FnMut(usize)) -> Outcome {
        let goal = self.tokens.len();
        let (mut few, mut many) = ([false; FEW], vec![]);
        let reached = if goal < FEW {
            &mut few[..=goal]
        } else {
            many.resize(goal + 1, false);
            &mut many
        };
        reached[0] = true;
        self.skip_empty(reached);
        for (at, c) in text.char_indices() {
            if c == '/' && reached[goal] {
                parent(at);
            }
            let mut alive = false;
            for i in (0..=goal).rev() {
                let stays = i < goal && reached[i] && self.tokens[i].repeats(c);
                let comes = i > 0 && reached[i - 1] && self.tokens[i - 1].ends_with(c);
                reached[i] = stays || comes;
                alive |= reached[i];
            }
            if !alive {
                return Outcome { matched: false, alive: false };
            }
            self.skip_empty(reached);
        }
        Outcome { matched: reached[goal], alive: reached.contains(&true) }
    }

    fn skip_empty(&self, reached: &mut [bool]) {
        for (i, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Name | Token::Rest if reached[i] => reached[i + 1] = true,
                Token::Folders if reached[i] => reached[i + 1..=i + 2].fill(true),
                _ => {}
            }
        }
    }
}

impl Token {
    /// Tells whether the token can take a character and go on.
    fn repeats(&self, c: char) -> bool {
        match self {
            Self::Name => c != '/',
            Self::FoldersEnd | Self::Rest => true,
            _ => false,
        }
    }

    /// Tells whether the token can take a character as its last.
    fn ends_with(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::One => c != '/',
            Self::Class(class) => class.has(c),
            Self::FoldersEnd => c == '/',
            Self::Name | Self::Folders | Self::Rest => false,
        }
    }
}

fn tokens(pattern: &str) -> Result<Vec<Token>, PatternError> {
    let mut tokens = vec![];
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                let slash = chars.next_if_eq(&'/').is_some();
                let is_plain = |rest: String| !rest.contains(['*', '?', '[', ']', '\\']);
                if chars.peek().is_none()
                    || (tokens.is_empty() && !slash && is_plain(chars.clone().collect()))
                {
                    tokens.push(Token::Rest);
                } else {
                    tokens.extend([Token::Folders, Token::FoldersEnd]);
                }
            }
            '*' => tokens.push(Token::Name),
            '?' => tokens.push(Token::One),
            '[' => tokens.push(Token::Class(Class::read(&mut chars)?)),
            '\\' => tokens.push(Token::Char(chars.next().ok_or(PatternError::TrailingEscape)?)),
            c => tokens.push(Token::Char(c)),
        }
    }
    Ok(tokens)
}

struct Outcome {
    matched: bool,
    alive: bool,
}
