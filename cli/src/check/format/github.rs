//! Findings as workflow commands, which GitHub Actions shows beside the lines of a change.

use std::fmt::Write as _;

use slipway_dockerfile::{diagnostic::Severity, span::LineIndex};

use super::{Findings, Region};

/// Renders findings, one a line.
pub(super) fn render(findings: &Findings<'_>) -> String {
    let index = LineIndex::new(findings.source);
    let mut out = String::new();
    for finding in findings.diagnostics {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let region = Region::new(finding.span, &index, findings.source);
        // Columns are shown only where the finding is in one line.
        let columns = if region.start.0 == region.end.0 {
            format!(",col={},endColumn={}", region.start.1, region.end.1)
        } else {
            String::new()
        };
        let mut message = finding.message.clone();
        if let Some(help) = &finding.help {
            message.push('\n');
            message.push_str(help);
        }
        let _ = writeln!(
            out,
            "::{command} file={},line={},endLine={}{columns},title={}::{}",
            property(findings.name),
            region.start.0,
            region.end.0,
            property(finding.code),
            data(&message),
        );
    }
    out
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
