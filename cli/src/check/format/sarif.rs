//! Findings as SARIF 2.1.0, the form of OASIS that code scanners exchange.

use std::fmt::Write as _;

use serde_json::{Value, json};
use slipway_dockerfile::{
    check::{Id, Rule},
    diagnostic::{Diagnostic, Severity},
    span::{LineIndex, Span},
};

use super::{Findings, Region};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Renders findings.
pub(super) fn render(findings: &Findings<'_>) -> Value {
    let index = LineIndex::new(findings.source);
    let mut codes: Vec<&str> = findings.diagnostics.iter().map(|finding| finding.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes.iter().map(|code| rule(code)).collect();
    let results: Vec<Value> = findings
        .diagnostics
        .iter()
        .map(|finding| {
            let rule_index = codes.binary_search(&finding.code).unwrap_or_default();
            result(finding, rule_index, findings, &index)
        })
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "slipway",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// Describes a rule; what only the parser finds has no page.
fn rule(code: &str) -> Value {
    match Id::find(code).map(Id::rule) {
        Some(Rule { name, summary, severity, .. }) => {
            let help = crate::check::catalogue::explain(name).unwrap_or_default();
            json!({
                "id": name,
                "name": name,
                "shortDescription": {"text": summary},
                "help": {"text": help, "markdown": help},
                "defaultConfiguration": {"level": level(*severity)},
            })
        }
        None => json!({
            "id": code,
            "shortDescription": {"text": format!("The file cannot be read or built ({code})")},
            "defaultConfiguration": {"level": "error"},
        }),
    }
}

fn result(finding: &Diagnostic, rule_index: usize, findings: &Findings<'_>, index: &LineIndex) -> Value {
    let text = match &finding.help {
        Some(help) => format!("{}. {help}", finding.message),
        None => finding.message.clone(),
    };
    let location = |span: Span| {
        json!({
            "artifactLocation": {"uri": uri(findings.name)},
            "region": region(span, index, findings.source),
        })
    };
    let mut result = json!({
        "ruleId": finding.code,
        "ruleIndex": rule_index,
        "level": level(finding.severity),
        "message": {"text": text},
        "locations": [{"physicalLocation": location(finding.span)}],
    });
    if !finding.labels.is_empty() {
        let related: Vec<Value> = finding
            .labels
            .iter()
            .enumerate()
            .map(|(id, label)| json!({"id": id, "message": {"text": label.text}, "physicalLocation": location(label.span)}))
            .collect();
        result["relatedLocations"] = json!(related);
    }
    result
}

fn region(span: Span, index: &LineIndex, source: &str) -> Value {
    let region = Region::new(span, index, source);
    json!({
        "startLine": region.start.0,
        "startColumn": region.start.1,
        "endLine": region.end.0,
        "endColumn": region.end.1,
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// Returns a path as a relative URI reference.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
