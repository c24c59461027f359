//! The directives at the top of a file: `# syntax=`, `# escape=`, `# check=`.
//!
//! They end at the first line that is none: a blank line, an instruction, any other comment. After a `#!` line, `syntax` and
//! `check` are still found, `escape` is not: that is what BuildKit does.

use crate::{
    ast::{Directives, Word},
    diagnostic::Diagnostic,
    span::Span,
    suggest::shown,
};

/// How far the search for directives has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scan {
    /// At the first line.
    #[default]
    Start,
    /// Only directives so far.
    Open,
    /// The first line was `#!`.
    AfterShebang,
    /// Something else was seen.
    Done,
}

/// What a comment line turned out to be.
#[derive(Debug, Default)]
pub(super) struct Finding {
    /// It is a directive, so no comment.
    pub(super) directive: bool,
    /// The escape character that it sets.
    pub(super) escape: Option<char>,
}

impl Scan {
    /// Notes a line that is no comment.
    pub(super) fn finish(&mut self) {
        *self = Self::Done;
    }

    /// Reads a line that starts with `#`.
    pub(super) fn read(
        &mut self,
        line: &str,
        at: usize,
        directives: &mut Directives,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Finding {
        if *self == Self::Done {
            return Finding::default();
        }
        if *self == Self::Start && line.starts_with("#!") {
            *self = Self::AfterShebang;
            return Finding::default();
        }
        let Some((name, value)) = split(line) else {
            *self = Self::Done;
            return Finding::default();
        };
        let after_shebang = *self == Self::AfterShebang;
        if !after_shebang {
            *self = Self::Open;
        }
        let slot = match name.to_ascii_lowercase().as_str() {
            "syntax" => &mut directives.syntax,
            "check" => &mut directives.check,
            "escape" if after_shebang => return Finding::default(),
            "escape" => &mut directives.escape,
            _ => {
                *self = Self::Done;
                return Finding::default();
            }
        };
        let start = at + (value.as_ptr() as usize - line.as_ptr() as usize);
        let word = Word { text: value.to_owned(), span: Span::new(start, start + value.len()) };
        if after_shebang && slot.is_some() {
            // For the parser proper these are comments, so the first one simply stays.
            *self = Self::Done;
            return Finding::default();
        }
        if let Some(first) = slot {
            let message =
                format!("`{}` is set twice; a directive can stand only once", name.to_ascii_lowercase());
            let line_span = Span::new(at, at + line.len());
            diagnostics.push(
                Diagnostic::error("repeated-directive", line_span, message)
                    .label(first.span, "first set here")
                    .help("remove one of the two lines"),
            );
            return Finding { directive: true, escape: None };
        }
        let mut escape = None;
        if name.eq_ignore_ascii_case("escape") {
            escape = value.chars().next().filter(|c| matches!(c, '\\' | '`') && value.len() == 1);
            if escape.is_none() {
                let message = format!("`{}` cannot be the escape character", shown(value));
                diagnostics.push(
                    Diagnostic::error("invalid-escape", word.span, message)
                        .help("use a backslash or a backtick"),
                );
            }
        }
        *slot = Some(word);
        Finding { directive: !after_shebang, escape }
    }
}

/// Splits `# name = value`.
fn split(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('#')?.trim_start().split_once('=')?;
    let name = name.trim_end_matches(is_go_space);
    let trimmed = value.trim_matches(is_go_space);
    // A value of nothing but white space is its last character: `# escape = ` is a directive with a bad value.
    let value = if trimmed.is_empty() { value.get(value.len().saturating_sub(1)..)? } else { trimmed };
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric());
    (named && !value.is_empty()).then_some((name, value))
}

/// The white space of `\s` in Go's regular expressions.
fn is_go_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0c' | '\r')
}
