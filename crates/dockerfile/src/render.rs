//! Problems as text for people: what, where, the lines with carets, and what to do.
//!
//! Formats for machines (JSON, SARIF, annotations) are made elsewhere from the same [`Diagnostic`]s.

mod excerpt;
mod glyph;

use std::fmt::Write as _;

use self::{excerpt::Mark, glyph::clean};
use crate::{
    diagnostic::{Diagnostic, Severity},
    span::LineIndex,
};

/// Lines are cut to this many columns unless told otherwise.
const DEFAULT_WIDTH: usize = 120;

/// A narrower terminal than this is taken for a mistake.
const LEAST_WIDTH: usize = 40;

/// A message longer than this is cut: it repeats a part of the file that the excerpt shows.
const LONGEST_MESSAGE: usize = 400;

/// Renders the problems of one file.
#[derive(Clone, Debug)]
pub struct Renderer<'a> {
    name: &'a str,
    source: &'a str,
    index: LineIndex,
    colour: bool,
    width: usize,
}

impl<'a> Renderer<'a> {
    /// Makes a renderer for a file: its name as people know it, and the decoded text that spans refer to.
    pub fn new(name: &'a str, source: &'a str) -> Self {
        Self { name, source, index: LineIndex::new(source), colour: false, width: DEFAULT_WIDTH }
    }

    /// Switches colours on or off; they are off at first.
    #[must_use]
    pub fn colour(mut self, colour: bool) -> Self {
        self.colour = colour;
        self
    }

    /// Sets how many columns the terminal has.
    #[must_use]
    pub fn width(mut self, width: usize) -> Self {
        self.width = width.max(LEAST_WIDTH);
        self
    }

    /// Renders one problem; the text ends with a line break.
    pub fn render(&self, diagnostic: &Diagnostic) -> String {
        let (word, style) = match diagnostic.severity {
            Severity::Error => ("error", Style::Error),
            Severity::Warning => ("warning", Style::Warning),
            Severity::Info => ("info", Style::Info),
        };
        let mut out = String::new();
        let title = self.paint(style, &format!("{word}[{}]", diagnostic.code));
        let message = self.paint(Style::Strong, &clean(&diagnostic.message, LONGEST_MESSAGE));
        let _ = writeln!(out, "{title}: {message}");
        let mut marks = vec![Mark { span: diagnostic.span, text: "", sign: '^', style }];
        marks.extend(diagnostic.labels.iter().map(|label| Mark {
            span: label.span,
            text: &label.text,
            sign: '-',
            style: Style::Gutter,
        }));
        self.excerpt(&mut out, diagnostic, &marks);
        out
    }

    /// Renders several problems with a blank line between them.
    pub fn render_all<'d>(&self, diagnostics: impl IntoIterator<Item = &'d Diagnostic>) -> String {
        let all: Vec<String> = diagnostics.into_iter().map(|diagnostic| self.render(diagnostic)).collect();
        all.join("\n")
    }

    fn excerpt(&self, out: &mut String, diagnostic: &Diagnostic, marks: &[Mark<'_>]) {
        let lines = excerpt::lines(&self.index, self.source, marks);
        let digits = lines.iter().map(|line| line.number).max().unwrap_or(1).to_string().len();
        let place = self.index.place(diagnostic.span.start.min(self.source.len()), self.source);
        let arrow = self.paint(Style::Gutter, &format!("{:digits$}-->", ""));
        let _ =
            writeln!(out, " {arrow} {}:{}:{}", clean(self.name, LONGEST_MESSAGE), place.line, place.column);
        let bar = self.paint(Style::Gutter, &format!(" {:digits$} |", ""));
        if !self.source.is_empty() {
            let _ = writeln!(out, "{bar}");
        }
        // The gutter, and one column for a caret behind the last character.
        let room = self.width.saturating_sub(digits + 5);
        let mut previous = None;
        for line in &lines {
            if previous.is_some_and(|number| number + 1 != line.number) {
                let _ = writeln!(out, "{}", self.paint(Style::Gutter, "..."));
            }
            previous = Some(line.number);
            let drawn = line.draw(room);
            let number = self.paint(Style::Gutter, &format!(" {:digits$} |", line.number));
            push_line(out, &number, &drawn.text);
            for row in &drawn.rows {
                let padding = " ".repeat(row.column);
                let signs = self.paint(row.style, &row.signs);
                let text = if row.text.is_empty() {
                    String::new()
                } else {
                    format!(" {}", self.paint(row.style, &row.text))
                };
                push_line(out, &bar, &format!("{padding}{signs}{text}"));
            }
        }
        if let Some(help) = &diagnostic.help {
            if !self.source.is_empty() {
                let _ = writeln!(out, "{bar}");
            }
            let equals = self.paint(Style::Gutter, &format!(" {:digits$} =", ""));
            let _ = writeln!(
                out,
                "{equals} {}: {}",
                self.paint(Style::Strong, "help"),
                clean(help, LONGEST_MESSAGE)
            );
        }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match style {
            Style::Error => "1;31",
            Style::Warning => "1;33",
            Style::Info => "1;36",
            Style::Gutter => "1;34",
            Style::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Puts a line behind its bar; an empty one gets no trailing space.
fn push_line(out: &mut String, bar: &str, text: &str) {
    let _ = if text.is_empty() { writeln!(out, "{bar}") } else { writeln!(out, "{bar} {text}") };
}

/// What a piece of text is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Error,
    Warning,
    Info,
    Gutter,
    Strong,
}
