//! Splitting a logical line: instruction, flags, and the several ways of cutting the rest into words.
//!
//! Quotes and escapes stay in words, because the expander takes them away later; in flags they go here.

use std::borrow::Cow;

use crate::{ast::Word, span::Span, text::View};

/// A logical line cut into its parts.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// The instruction.
    pub(crate) keyword: View<'a>,
    /// The flags right after it.
    pub(crate) flags: Vec<RawFlag<'a>>,
    /// The rest, trimmed.
    pub(crate) rest: View<'a>,
}

/// A flag with its quotes and escapes taken away.
#[derive(Debug)]
pub(crate) struct RawFlag<'a> {
    /// As it stands in the line.
    pub(crate) raw: View<'a>,
    /// Its text without quotes.
    pub(crate) text: Cow<'a, str>,
    /// For each byte of the text its offset in `raw`; empty where both are the same.
    map: Vec<usize>,
}

impl RawFlag<'_> {
    /// Returns a part of the flag's text as a word.
    pub(crate) fn word(&self, start: usize, end: usize) -> Word {
        Word { text: self.text[start..end].to_owned(), span: self.span(start, end) }
    }

    /// Returns where a part of the flag's text stands.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        let raw = |at: usize| {
            if self.map.is_empty() { at } else { self.map.get(at).copied().unwrap_or(self.raw.text().len()) }
        };
        let last = if end > start { raw(end - 1) + 1 } else { raw(start) };
        self.raw.part(raw(start), last.max(raw(start))).span()
    }
}

/// Room for the words of most lines.
const LIKELY_WORDS: usize = 4;

/// White space that separates words, except in `name=value` lists.
pub(crate) fn is_separator(c: char) -> bool {
    matches!(c, '\t' | '\x0b' | '\x0c' | '\r' | ' ')
}

fn is_separator_byte(b: u8) -> bool {
    matches!(b, b'\t' | 0x0b | 0x0c | b'\r' | b' ')
}

/// Cuts a line into instruction, flags and rest.
pub(crate) fn split_line(line: View<'_>, escape: char) -> Head<'_> {
    let line = line.trim();
    let text = line.text();
    let Some(end) = text.bytes().position(is_separator_byte) else {
        return Head { keyword: line, flags: vec![], rest: line.after(text.len()) };
    };
    let mut flags = vec![];
    let mut rest = line.after(end).trim();
    while rest.text().starts_with("--") {
        let flag = read_flag(rest, escape);
        rest = rest.after(flag.raw.text().len()).trim();
        if flag.text == "--" {
            break;
        }
        flags.push(flag);
    }
    Head { keyword: line.part(0, end), flags, rest }
}

/// Reads one flag up to white space outside quotes.
fn read_flag(view: View<'_>, escape: char) -> RawFlag<'_> {
    let text = view.text();
    // Up to the first byte that could mean something.
    let plain = text
        .bytes()
        .position(|b| !b.is_ascii_graphic() || matches!(b, b'\'' | b'"' | b'\\' | b'`'))
        .unwrap_or(text.len());
    if text[plain..].chars().next().is_none_or(char::is_whitespace) {
        return RawFlag { raw: view.part(0, plain), text: Cow::Borrowed(&text[..plain]), map: vec![] };
    }
    let mut cooked = text[..plain].to_owned();
    let mut map: Vec<usize> = (0..plain).collect();
    let mut quote = None;
    let mut chars = text[plain..].char_indices().map(|(at, c)| (at + plain, c));
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        let kept = match quote {
            None if c.is_whitespace() => {
                end = at;
                break;
            }
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                None
            }
            Some(open) if c == open => {
                quote = None;
                None
            }
            _ if c == escape => chars.next(),
            _ => Some((at, c)),
        };
        if let Some((at, c)) = kept {
            cooked.push(c);
            map.extend(at..at + c.len_utf8());
        }
    }
    RawFlag { raw: view.part(0, end), text: Cow::Owned(cooked), map }
}

/// Cuts at white space; quotes mean nothing.
pub(crate) fn split_words(rest: View<'_>) -> Vec<View<'_>> {
    let text = rest.text();
    let mut words = Vec::with_capacity(LIKELY_WORDS);
    let mut start = None;
    for (at, b) in text.bytes().enumerate() {
        if is_separator_byte(b) {
            if let Some(start) = start.take() {
                words.push(rest.part(start, at));
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    if let Some(start) = start {
        words.push(rest.after(start));
    }
    words
}

/// Cuts at white space that is neither quoted nor escaped: the words of `ENV`, `LABEL` and `ARG`.
pub(crate) fn split_quoted(rest: View<'_>, escape: char) -> Vec<View<'_>> {
    let text = rest.text();
    let mut words = vec![];
    let mut start = None;
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            if let Some(start) = start.take() {
                words.push(rest.part(start, at));
            }
            continue;
        }
        let first = *start.get_or_insert(at);
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            // Inside single quotes nothing is escaped.
            Some('\'') => {}
            _ if c == escape && chars.next().is_none() => {
                // An escape character at the very end stands for nothing.
                if first < at {
                    words.push(rest.part(first, at));
                }
                return words;
            }
            _ => {}
        }
    }
    if let Some(start) = start {
        words.push(rest.after(start));
    }
    words
}

/// Cuts a word at its first `=`.
pub(crate) fn key_value(word: View<'_>) -> Option<(View<'_>, View<'_>)> {
    word.cut('=')
}

/// Cuts `key rest of the line`.
pub(crate) fn legacy_pair(rest: View<'_>) -> Option<(View<'_>, View<'_>)> {
    let text = rest.text();
    let end = text.find(is_separator)?;
    let value = text.len() - text[end..].trim_start_matches(is_separator).len();
    Some((rest.part(0, end), rest.after(value)))
}
