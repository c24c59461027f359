//! The formats in which findings are printed.

mod github;
mod json;
mod sarif;
mod text;

use clap::ValueEnum;
use serde_json::{Value, json};
use slipway_dockerfile::{
    check::Id,
    diagnostic::{Diagnostic, Severity},
    span::{LineIndex, Span},
};

/// A format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people, with the lines of the file
    #[default]
    Text,
    /// For scripts; described in docs/checks.md
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
}

/// What was found in a file.
pub(super) struct Findings<'a> {
    /// The file's name.
    pub(super) name: &'a str,
    /// Its text, to which spans refer.
    pub(super) source: &'a str,
    /// The findings in order.
    pub(super) diagnostics: &'a [Diagnostic],
    /// Whether to colour.
    pub(super) colour: bool,
}

impl Format {
    /// Renders findings; the text ends with a line break unless it is empty.
    pub(super) fn render(self, findings: &Findings<'_>) -> anyhow::Result<String> {
        match self {
            Self::Text => Ok(text::render(findings)),
            Self::Json => lines(&json::render(findings)),
            Self::Sarif => lines(&sarif::render(findings)),
            Self::Github => Ok(github::render(findings)),
        }
    }
}

fn lines(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

impl Findings<'_> {
    /// Counts what was found, in words.
    pub(super) fn summary(&self) -> String {
        let count = |severity: Severity| {
            self.diagnostics.iter().filter(|finding| finding.severity == severity).count()
        };
        let some = |number: usize, word: &str| match number {
            0 => None,
            1 => Some(format!("1 {word}")),
            many => Some(format!("{many} {word}s")),
        };
        let parts = [
            some(count(Severity::Error), "error"),
            some(count(Severity::Warning), "warning"),
            some(count(Severity::Info), "remark"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let what = if parts.is_empty() { "nothing found".to_owned() } else { parts.join(", ") };
        let has_page = |finding: &&Diagnostic| Id::find(finding.code).is_some();
        let more = match self.diagnostics.iter().find(has_page) {
            Some(finding) => format!("; `slipway check --explain {}` tells more", finding.code),
            None => String::new(),
        };
        format!("{}: {what}{more}", self.name)
    }
}

/// A span as lines and columns; the end is one past the last character.
struct Region {
    start: (usize, usize),
    end: (usize, usize),
}

impl Region {
    fn new(span: Span, index: &LineIndex, source: &str) -> Self {
        let place = |offset| {
            let place = index.place(offset, source);
            (place.line, place.column)
        };
        Self { start: place(span.start), end: place(span.end.max(span.start)) }
    }

    fn json(&self, span: Span) -> Value {
        json!({
            "start": {"line": self.start.0, "column": self.start.1, "offset": span.start},
            "end": {"line": self.end.0, "column": self.end.1, "offset": span.end},
        })
    }
}
