//! The lines of an excerpt: which are shown, how wide ones are cut, and where the carets stand.

use std::collections::BTreeMap;

use super::{
    Style,
    glyph::{Glyph, clean, layout},
};
use crate::span::{LineIndex, Span};

/// A span over more lines than this is shown by its ends.
const MOST_LINES: usize = 4;

/// Columns kept to the left of a mark when a wide line is cut.
const CONTEXT: usize = 20;

/// A label longer than this is cut.
const LONGEST_LABEL: usize = 200;

/// A place to mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark<'a> {
    pub(super) span: Span,
    pub(super) text: &'a str,
    pub(super) sign: char,
    pub(super) style: Style,
}

/// A line that is shown, and its marks.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    text: &'a str,
    /// Marks with byte ranges in the line.
    marks: Vec<(Span, Mark<'a>)>,
}

/// A line as it is printed.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) text: String,
    pub(super) rows: Vec<Row>,
}

/// A row of carets.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) column: usize,
    pub(super) signs: String,
    pub(super) text: String,
    pub(super) style: Style,
}

/// Returns the lines that the marks touch, in order.
pub(super) fn lines<'a>(index: &LineIndex, source: &'a str, marks: &[Mark<'a>]) -> Vec<Line<'a>> {
    let mut lines: BTreeMap<usize, Line<'a>> = BTreeMap::new();
    if source.is_empty() {
        return vec![];
    }
    for mark in marks {
        let start = mark.span.start.min(source.len());
        let end = mark.span.end.clamp(start, source.len());
        let first = index.line(start);
        // A span that ends with a line break does not touch the next line.
        let last = index.line(end.saturating_sub(1).max(start));
        for number in shown(first, last) {
            let span = index.line_span(number, source);
            let text = span.of(source);
            let from = start.saturating_sub(span.start).min(text.len());
            let to = end.saturating_sub(span.start).min(text.len());
            // Carets start at the first letter of a further line, not under its indentation.
            let indent = if number == first { 0 } else { text.len() - text.trim_start().len() };
            let part = Span::new(from.max(indent), to.max(from.max(indent)));
            let last_of_mark = number == last;
            let label = Mark { text: if last_of_mark { mark.text } else { "" }, ..*mark };
            let line = lines.entry(number).or_insert_with(|| Line { number, text, marks: vec![] });
            line.marks.push((part, label));
        }
    }
    lines.into_values().collect()
}

fn shown(first: usize, last: usize) -> Vec<usize> {
    if last - first < MOST_LINES { (first..=last).collect() } else { vec![first, first + 1, last] }
}

impl Line<'_> {
    /// Draws the line into so many columns.
    pub(super) fn draw(&self, room: usize) -> Drawn {
        let glyphs = layout(self.text);
        let total: usize = glyphs.iter().map(|glyph| glyph.width).sum();
        let places: Vec<(usize, usize)> = self
            .marks
            .iter()
            .map(|(span, _)| (column(&glyphs, span.start, total), column(&glyphs, span.end, total)))
            .collect();
        let (from, to) = if total <= room { (0, total) } else { window(&places, total, room) };
        let text = draw_text(&glyphs, from, to, total);
        let rows = self.marks.iter().zip(&places).map(|((_, mark), (start, end))| {
            let start = (*start).clamp(from, to);
            let end = (*end).clamp(start, to);
            // Nothing, such as the end of a line, is still marked by one caret.
            let length = (end - start).max(1);
            Row {
                column: start - from,
                signs: mark.sign.to_string().repeat(length),
                text: clean(mark.text, LONGEST_LABEL),
                style: mark.style,
            }
        });
        Drawn { rows: rows.collect(), text }
    }
}

/// Chooses the columns of a wide line that hold the first mark and something before it.
fn window(places: &[(usize, usize)], total: usize, room: usize) -> (usize, usize) {
    let (start, end) = places.first().copied().unwrap_or_default();
    let from = if end <= room { 0 } else { start.saturating_sub(CONTEXT) };
    let from = from.min(total.saturating_sub(room));
    (from, (from + room).min(total))
}

/// Returns the column where a byte offset is drawn.
fn column(glyphs: &[Glyph], offset: usize, total: usize) -> usize {
    let before = glyphs.partition_point(|glyph| glyph.offset < offset);
    if before == glyphs.len() { total } else { glyphs[..before].iter().map(|glyph| glyph.width).sum() }
}

/// Draws the columns of a window; a cut end is an ellipsis.
fn draw_text(glyphs: &[Glyph], from: usize, to: usize, total: usize) -> String {
    let mut text = String::new();
    let mut column = 0;
    for glyph in glyphs {
        let start = column;
        column += glyph.width;
        if column <= from && glyph.width > 0 {
            continue;
        }
        if start >= to {
            break;
        }
        // A cut end takes the place of what stands there, column by column, so that carets stay under their letters.
        let cut = (from > 0 && start <= from) || (to < total && column >= to);
        if cut {
            let width = column.min(to) - start.max(from);
            text.extend(std::iter::repeat_n('\u{2026}', usize::from(width > 0)));
            text.extend(std::iter::repeat_n(' ', width.saturating_sub(1)));
        } else if glyph.shown == ' ' {
            text.extend(std::iter::repeat_n(' ', glyph.width));
        } else {
            text.push(glyph.shown);
        }
    }
    text.truncate(text.trim_end().len());
    text
}
