//! Byte ranges in a source text, and their line and column.

use serde::{Deserialize, Serialize};

/// A half-open byte range of the source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// Makes a span from its two ends.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Returns the smallest span that holds both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Returns the text that the span covers, or "" where it does not fit the source.
    pub fn of(self, source: &str) -> &str {
        source.get(self.start..self.end).unwrap_or_default()
    }
}

/// A place as people count it: both numbers start at 1, columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Finds lines and columns of byte offsets.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    /// Indexes a source text.
    pub fn new(source: &str) -> Self {
        let mut starts = vec![0];
        starts.extend(source.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1));
        Self { starts }
    }

    /// Returns the line number (from 1) of a byte offset.
    pub fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// Returns the byte range of a line (from 1), without its line break.
    pub fn line_span(&self, line: usize, source: &str) -> Span {
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(source.len());
        let end = self.starts.get(line).map_or(source.len(), |next| next - 1);
        let end = if end > start && source.as_bytes().get(end - 1) == Some(&b'\r') { end - 1 } else { end };
        Span::new(start, end)
    }

    /// Returns the place of a byte offset.
    pub fn place(&self, offset: usize, source: &str) -> Place {
        let line = self.line(offset);
        let start = self.starts[line - 1];
        let column = source.get(start..offset.min(source.len())).map_or(1, |s| s.chars().count() + 1);
        Place { line, column }
    }
}
