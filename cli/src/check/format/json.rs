//! Findings for scripts. The form is documented in `docs/checks.md`; fields are added, never changed or removed, while `version` stays.

use serde_json::{Value, json};
use slipway_dockerfile::{check::Id, diagnostic::Severity, span::LineIndex};

use super::{Findings, Region};

/// The version of the form.
const VERSION: u32 = 1;

/// Renders findings.
pub(super) fn render(findings: &Findings<'_>) -> Value {
    let index = LineIndex::new(findings.source);
    let region = |span| Region::new(span, &index, findings.source).json(span);
    let all: Vec<Value> = findings
        .diagnostics
        .iter()
        .map(|finding| {
            let labels: Vec<Value> = finding
                .labels
                .iter()
                .map(|label| json!({"text": label.text, "at": region(label.span)}))
                .collect();
            json!({
                "code": finding.code,
                "severity": finding.severity,
                "message": finding.message,
                "help": finding.help,
                "page": Id::find(finding.code).map(|id| id.rule().page()),
                "at": region(finding.span),
                "labels": labels,
            })
        })
        .collect();
    let count = |severity| findings.diagnostics.iter().filter(|finding| finding.severity == severity).count();
    json!({
        "version": VERSION,
        "file": findings.name,
        "counts": {
            "error": count(Severity::Error),
            "warning": count(Severity::Warning),
            "info": count(Severity::Info),
        },
        "findings": all,
    })
}
