//! A class of characters such as `[a-z]` or `[^\]]`, as Go's `filepath.Match` reads it.

use std::{iter::Peekable, str::Chars};

use super::PatternError;

/// A set of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    /// Reads a class whose `[` was just taken, up to its `]`.
    pub(super) fn read(chars: &mut Peekable<Chars<'_>>) -> Result<Self, PatternError> {
        let negated = chars.next_if_eq(&'^').is_some();
        let mut ranges = vec![];
        loop {
            if chars.peek() == Some(&']') {
                if ranges.is_empty() {
                    return Err(PatternError::EmptyBracket);
                }
                chars.next();
                return Ok(Self { negated, ranges });
            }
            let low = Self::member(chars)?;
            let high = if chars.next_if_eq(&'-').is_some() { Self::member(chars)? } else { low };
            ranges.push((low, high));
        }
    }

    fn member(chars: &mut Peekable<Chars<'_>>) -> Result<char, PatternError> {
        match chars.next() {
            None => Err(PatternError::OpenBracket),
            Some('-' | ']') => Err(PatternError::Range),
            Some('\\') => chars.next().ok_or(PatternError::TrailingEscape),
            Some(c) => Ok(c),
        }
    }

    /// Tells whether a character is in the set. A `/` may be, unlike with `*` and `?`.
    pub(super) fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.negated
    }
}
