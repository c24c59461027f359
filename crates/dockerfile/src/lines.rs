//! The reader of logical lines: comments, directives, continuations, and the bodies of here-documents.
//!
//! Knows nothing of instructions.

mod directives;

use std::collections::HashMap;

use self::directives::Scan;
use crate::{
    ast::{Directives, Word},
    diagnostic::Diagnostic,
    source::MAX_LINE,
    span::Span,
    text::Line,
};

/// Reads a source line by line.
#[derive(Debug)]
pub(crate) struct Lines<'s> {
    source: &'s str,
    at: usize,
    scan: Scan,
    comments: Vec<Word>,
    terminators: Option<Terminators<'s>>,
    /// The buffers of an earlier joined line.
    spare: Line<'s>,
    /// The character that escapes and continues.
    pub(crate) escape: char,
    /// The directives found so far.
    pub(crate) directives: Directives,
    /// Blank lines inside continuations.
    pub(crate) blank_continuations: Vec<Span>,
    /// What was wrong.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl<'s> Lines<'s> {
    /// Starts at the top of a source.
    pub(crate) fn new(source: &'s str) -> Self {
        Self {
            source,
            at: 0,
            scan: Scan::default(),
            comments: vec![],
            terminators: None,
            spare: Line::default(),
            escape: '\\',
            directives: Directives::default(),
            blank_continuations: vec![],
            diagnostics: vec![],
        }
    }

    /// Returns the next logical line that holds something.
    pub(crate) fn next_line(&mut self) -> Option<Line<'s>> {
        loop {
            let raw = self.physical()?;
            let line = trim_start(trim_break(raw));
            if line.text.starts_with('#') {
                self.comment(line);
                continue;
            }
            self.scan.finish();
            let Some(start) = continued(line.text, self.escape) else {
                if line.text.is_empty() {
                    continue;
                }
                return Some(self.with_comments(Line::plain(line.text, line.at)));
            };
            let mut joined = std::mem::take(&mut self.spare);
            joined.start(start, line.at);
            self.join_continuation(&mut joined);
            return Some(self.with_comments(joined));
        }
    }

    /// Takes a line back to use its buffers again.
    pub(crate) fn recycle(&mut self, line: Line<'s>) {
        if line.is_joined() {
            self.spare = line;
        }
    }

    /// Returns the offset behind the last line that was read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    fn with_comments(&mut self, mut line: Line<'s>) -> Line<'s> {
        if !self.comments.is_empty() {
            line.comments = std::mem::take(&mut self.comments);
        }
        line
    }

    /// Adds physical lines until one does not end in a continuation.
    fn join_continuation(&mut self, joined: &mut Line<'s>) {
        while let Some(raw) = self.physical() {
            let line = trim_break(raw);
            let trimmed = line.text.trim_start();
            if trimmed.starts_with('#') {
                continue;
            }
            if trimmed.is_empty() {
                self.blank_continuations.push(Span::new(line.at, line.at + line.text.len()));
                continue;
            }
            if let Some(more) = continued(line.text, self.escape) {
                joined.join(more, line.at);
            } else {
                joined.join(line.text, line.at);
                return;
            }
        }
    }

    /// Takes the body of a here-document up to its terminator, or nothing where there is none.
    pub(crate) fn heredoc_body(&mut self, name: &str, strip_tabs: bool) -> Option<HeredocBody<'s>> {
        if let Some(known) = &self.terminators
            && !known.after(name, strip_tabs, self.at)
        {
            return None;
        }
        let start = self.at;
        while let Some(raw) = self.physical() {
            let line = trim_break(raw).text;
            let line = if strip_tabs { line.trim_start_matches('\t') } else { line };
            if line == name {
                let text = &self.source[start..raw.at];
                return Some(HeredocBody {
                    text,
                    span: Span::new(start, raw.at),
                    end: raw.at + trim_break(raw).text.len(),
                });
            }
        }
        // Without its terminator a here-document would swallow the file: go back, and look up further terminators in an
        // index, so that a file full of open here-documents is still read in linear time.
        self.at = start;
        self.terminators.get_or_insert_with(|| Terminators::index(self.source, start));
        None
    }

    /// Skips what is most likely the body of a here-document that nothing ends: all up to a line that `stop` accepts.
    pub(crate) fn skip_until(&mut self, stop: impl Fn(&str) -> bool) {
        loop {
            let at = self.at;
            match self.physical() {
                Some(raw) if stop(raw.text) => {
                    self.at = at;
                    return;
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    fn physical(&mut self) -> Option<Raw<'s>> {
        let rest = &self.source[self.at..];
        if rest.is_empty() {
            return None;
        }
        let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let raw = Raw { text: &rest[..length], at: self.at };
        self.at += length;
        if length > MAX_LINE {
            self.check_length(raw);
        }
        Some(raw)
    }

    fn check_length(&mut self, raw: Raw<'_>) {
        let length = raw.text.strip_suffix('\n').unwrap_or(raw.text).len();
        // A line can be read twice, when a here-document turns out to be open.
        if length > MAX_LINE
            && !self.diagnostics.iter().any(|d| d.code == "line-too-long" && d.span.start == raw.at)
        {
            let message = format!("this line has {length} bytes; a line can have at most {MAX_LINE}");
            self.diagnostics.push(
                Diagnostic::error("line-too-long", Span::new(raw.at, raw.at + length), message)
                    .help("break it with continuations, or move the content to a file and COPY it"),
            );
        }
    }

    fn comment(&mut self, line: Raw<'s>) {
        let finding = self.scan.read(line.text, line.at, &mut self.directives, &mut self.diagnostics);
        if finding.escape.is_some() {
            self.escape = finding.escape.unwrap_or(self.escape);
        }
        if finding.directive {
            return;
        }
        let text = line.text[1..].trim();
        if text.is_empty() {
            self.comments.clear();
            return;
        }
        let start = line.at + line.text.len() - line.text[1..].trim_start().len();
        self.comments.push(Word { text: text.to_owned(), span: Span::new(start, start + text.len()) });
    }
}

/// The body of a here-document as it stands in the source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeredocBody<'s> {
    /// The body with its line breaks.
    pub(crate) text: &'s str,
    /// Where it stands.
    pub(crate) span: Span,
    /// Where the line of the terminator ends.
    pub(crate) end: usize,
}

/// A physical line, perhaps trimmed, and where it starts.
#[derive(Clone, Copy, Debug)]
struct Raw<'s> {
    text: &'s str,
    at: usize,
}

fn trim_break(raw: Raw<'_>) -> Raw<'_> {
    let mut text = raw.text;
    while let Some(shorter) = text.strip_suffix('\n').or_else(|| text.strip_suffix('\r')) {
        text = shorter;
    }
    Raw { text, at: raw.at }
}

fn trim_start(raw: Raw<'_>) -> Raw<'_> {
    if raw.text.as_bytes().first().is_some_and(u8::is_ascii_graphic) {
        return raw;
    }
    let text = raw.text.trim_start();
    Raw { text, at: raw.at + raw.text.len() - text.len() }
}

/// Returns the line without its continuation character, if it ends in one that is not itself escaped.
fn continued(line: &str, escape: char) -> Option<&str> {
    if !matches!(line.as_bytes().last(), Some(b'\\' | b'`' | b' ' | b'\t')) {
        return None;
    }
    let start = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!start.ends_with(escape)).then_some(start)
}

/// Where each text last stands as a line of its own.
#[derive(Debug)]
struct Terminators<'s> {
    plain: HashMap<&'s str, usize>,
    tabs: HashMap<&'s str, usize>,
}

impl<'s> Terminators<'s> {
    fn index(source: &'s str, from: usize) -> Self {
        let (mut plain, mut tabs, mut at) = (HashMap::new(), HashMap::new(), from);
        for raw in source[from..].split_inclusive('\n') {
            let line = raw.trim_end_matches(['\r', '\n']);
            plain.insert(line, at);
            tabs.insert(line.trim_start_matches('\t'), at);
            at += raw.len();
        }
        Self { plain, tabs }
    }

    fn after(&self, name: &str, strip_tabs: bool, at: usize) -> bool {
        let lines = if strip_tabs { &self.tabs } else { &self.plain };
        lines.get(name).is_some_and(|last| *last >= at)
    }
}
