//! Go's `filepath.Match`, which decides what `COPY *.txt` means.

use super::{PatternError, class::Class};

/// A pattern of one whole path: `*` and `?` match anything but `/`, `[…]` a class, `\` escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Many,
    Class(Class),
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::One | Self::Many => c != '/',
            Self::Class(class) => class.has(c),
        }
    }
}

impl PathPattern {
    /// Reads a pattern. All of it is checked, also what no path would ever reach.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let mut tokens = vec![];
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Many,
                '?' => Token::One,
                '[' => Token::Class(Class::read(&mut chars)?),
                '\\' => Token::Char(chars.next().ok_or(PatternError::TrailingEscape)?),
                c => Token::Char(c),
            });
        }
        Ok(Self { tokens })
    }

    /// Tells whether the pattern matches the whole path.
    ///
    /// When what follows a `*` does not fit, only that `*` takes more: an earlier one could not help, since all that is between them is as far left
    /// as it can be. A class that takes a `/` is the exception, and there Go does the same.
    pub fn matches(&self, path: &str) -> bool {
        let tokens = &self.tokens;
        let mut rest = path.chars();
        let mut at = 0;
        let mut star = None;
        loop {
            if tokens.get(at) == Some(&Token::Many) {
                at += 1;
                star = Some((at, rest.clone()));
                continue;
            }
            let before = rest.clone();
            match (tokens.get(at), rest.next()) {
                (None, None) => return true,
                (Some(token), Some(c)) if token.takes(c) => at += 1,
                _ => {
                    let Some((after_star, taken)) = &mut star else { return false };
                    if taken.next().is_none_or(|c| c == '/') || before.as_str().is_empty() {
                        return false;
                    }
                    at = *after_star;
                    rest = taken.clone();
                }
            }
        }
    }

    /// Tells whether a source is a pattern at all, rather than the name of one file.
    pub fn has_wildcards(source: &str) -> bool {
        let mut chars = source.chars();
        while let Some(c) = chars.next() {
            match c {
                '*' | '?' | '[' => return true,
                '\\' => {
                    chars.next();
                }
                _ => {}
            }
        }
        false
    }
}
