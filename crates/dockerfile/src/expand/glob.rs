//! The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*` is any text, `?` any character, and there are no brackets.
//!
//! Like the regular expressions that BuildKit makes of them, neither wildcard matches a line feed. Matching walks all possibilities at once, so
//! its time is the pattern's length times the value's and never more.

use std::ops::Range;

/// What all pattern matching of one expansion may cost together: about this many comparisons of characters.
#[derive(Debug)]
pub(super) struct Effort(usize);

impl Default for Effort {
    fn default() -> Self {
        Self(1 << 24)
    }
}

impl Effort {
    fn spend(&mut self, amount: usize) -> Result<(), TooMuchWork> {
        self.0 = self.0.checked_sub(amount).ok_or(TooMuchWork)?;
        Ok(())
    }
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Glob {
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Many,
}

impl Token {
    fn takes(self, c: char) -> bool {
        match self {
            Self::Char(own) => own == c,
            Self::One | Self::Many => c != '\n',
        }
    }
}

/// How much a match takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greed {
    Shortest,
    Longest,
}

/// The value is too long for the pattern.
#[derive(Debug)]
pub(super) struct TooMuchWork;

impl Glob {
    /// Compiles a pattern, or returns what stands after a backslash that has no meaning.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let mut tokens = vec![];
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Many,
                '?' => Token::One,
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Token::Char(c),
                    other => return Err(other.map(String::from).unwrap_or_default()),
                },
                c => Token::Char(c),
            });
        }
        tokens.dedup_by(|a, b| *a == Token::Many && *b == Token::Many);
        Ok(Self { tokens })
    }

    /// Removes a matching prefix.
    pub(super) fn trim_start(
        &self,
        value: &str,
        greed: Greed,
        effort: &mut Effort,
    ) -> Result<String, TooMuchWork> {
        effort.spend(value.len())?;
        let chars: Vec<char> = value.chars().collect();
        let found = find(&self.tokens, &chars, greed, true, effort)?;
        Ok(chars[found.map_or(0, |range| range.end)..].iter().collect())
    }

    /// Removes a matching suffix.
    pub(super) fn trim_end(
        &self,
        value: &str,
        greed: Greed,
        effort: &mut Effort,
    ) -> Result<String, TooMuchWork> {
        effort.spend(value.len())?;
        let chars: Vec<char> = value.chars().rev().collect();
        let tokens: Vec<Token> = self.tokens.iter().rev().copied().collect();
        let found = find(&tokens, &chars, greed, true, effort)?;
        Ok(chars[found.map_or(0, |range| range.end)..].iter().rev().collect())
    }

    /// Replaces the first match, the longest there is at its place.
    pub(super) fn replace(
        &self,
        value: &str,
        with: &str,
        effort: &mut Effort,
    ) -> Result<String, TooMuchWork> {
        self.replace_n(value, with, 1, effort)
    }

    /// Replaces every match; an empty one right behind another is none.
    pub(super) fn replace_all(
        &self,
        value: &str,
        with: &str,
        effort: &mut Effort,
    ) -> Result<String, TooMuchWork> {
        self.replace_n(value, with, usize::MAX, effort)
    }

    fn replace_n(
        &self,
        value: &str,
        with: &str,
        times: usize,
        effort: &mut Effort,
    ) -> Result<String, TooMuchWork> {
        effort.spend(value.len())?;
        let chars: Vec<char> = value.chars().collect();
        let mut out = String::with_capacity(value.len());
        let (mut copied, mut at, mut last_end) = (0, 0, None);
        let mut done = 0;
        while done < times && at <= chars.len() && out.len() <= super::MAX_LENGTH * 16 {
            let Some(range) = find(&self.tokens, &chars[at..], Greed::Longest, false, effort)? else { break };
            let range = range.start + at..range.end + at;
            let empty = range.is_empty();
            if !(empty && last_end == Some(range.start)) {
                out.extend(&chars[copied..range.start]);
                out.push_str(with);
                copied = range.end;
                last_end = Some(range.end);
                done += 1;
            }
            at = range.end + usize::from(empty);
        }
        out.extend(&chars[copied..]);
        Ok(out)
    }
}

/// Finds the leftmost match and of those the shortest or longest one.
///
/// `starts[j]` is the leftmost place from which the first `j` tokens match up to the current character.
fn find(
    tokens: &[Token],
    value: &[char],
    greed: Greed,
    anchored: bool,
    effort: &mut Effort,
) -> Result<Option<Range<usize>>, TooMuchWork> {
    let goal = tokens.len();
    let mut starts: Vec<Option<usize>> = vec![None; goal + 1];
    let mut best: Option<Range<usize>> = None;
    for at in 0..=value.len() {
        if best.is_none() && (at == 0 || !anchored) && starts[0].is_none() {
            starts[0] = Some(at);
        }
        for j in 0..goal {
            if tokens[j] == Token::Many {
                starts[j + 1] = earlier(starts[j], starts[j + 1]);
            }
        }
        if let Some(start) = starts[goal]
            && best.as_ref().is_none_or(|b| start < b.start || (start == b.start && greed == Greed::Longest))
        {
            best = Some(start..at);
            if greed == Greed::Shortest {
                return Ok(best);
            }
        }
        let Some(&c) = value.get(at) else { break };
        effort.spend(goal + 1)?;
        let limit = best.as_ref().map(|b| b.start);
        let mut alive = best.is_none() && !anchored;
        for j in (0..=goal).rev() {
            let stays =
                if j < goal && tokens[j] == Token::Many && tokens[j].takes(c) { starts[j] } else { None };
            let comes = match j.checked_sub(1) {
                Some(i) if tokens[i] != Token::Many && tokens[i].takes(c) => starts[i],
                _ => None,
            };
            // A thread that began right of the best match can no longer win.
            starts[j] = earlier(stays, comes).filter(|start| limit.is_none_or(|limit| *start <= limit));
            alive |= starts[j].is_some();
        }
        if !alive {
            break;
        }
    }
    Ok(best)
}

fn earlier(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
