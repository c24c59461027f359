//! A Mermaid flowchart, which Markdown on many sites shows as a picture.

use super::diagram::{Diagram, NodeKind};
use crate::outline::{Outline, Via};
use std::fmt::Write as _;

/// How many paths a link names.
const MAX_LINES: usize = 4;

pub(super) fn render(outline: &Outline) -> String {
    let diagram = Diagram::new(outline);
    let mut out = "flowchart LR\n".to_owned();
    for (at, node) in diagram.nodes.iter().enumerate() {
        let mut label = format!("<b>{}</b>", escape(&node.title));
        if let Some(base) = &node.base {
            let _ = write!(label, "<br/>FROM {}", escape(base));
        }
        if !node.context.is_empty() {
            let _ = write!(label, "<br/>context {}", escape(&node.context.join(" ")));
        }
        let (open, close) = match (node.kind, node.target) {
            (NodeKind::Stage, false) => ("[", "]"),
            (NodeKind::Stage, true) => ("[[", "]]"),
            _ => ("([", "])"),
        };
        let class = match (node.needed, node.critical) {
            (false, _) => ":::pruned",
            (true, true) => ":::critical",
            (true, false) => "",
        };
        let _ = writeln!(out, "  n{at}{open}\"{label}\"{close}{class}");
    }
    let mut critical = vec![];
    let mut pruned = vec![];
    for (at, link) in diagram.links.iter().enumerate() {
        let lines: Vec<String> = link.lines(MAX_LINES).iter().map(|line| escape(line)).collect();
        let arrow = match link.via {
            Via::From => "==>",
            Via::Copy => "-->",
            Via::Mount => "-.->",
        };
        let _ = writeln!(out, "  n{} {arrow}|\"{}\"| n{}", link.from, lines.join("<br/>"), link.to);
        if !link.needed {
            pruned.push(at.to_string());
        } else if link.critical {
            critical.push(at.to_string());
        }
    }
    out.push_str("  classDef critical stroke:#d9480f,stroke-width:3px\n");
    out.push_str("  classDef pruned stroke:#999,color:#999,stroke-dasharray:4 3\n");
    if !critical.is_empty() {
        let _ = writeln!(out, "  linkStyle {} stroke:#d9480f,stroke-width:3px", critical.join(","));
    }
    if !pruned.is_empty() {
        let _ = writeln!(out, "  linkStyle {} stroke:#999,color:#999", pruned.join(","));
    }
    out
}

/// Escapes a text for a quoted label: Mermaid reads HTML in it, and Markdown too.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("#quot;"),
            '#' => out.push_str("#35;"),
            '`' => out.push_str("#96;"),
            '*' => out.push_str("#42;"),
            '_' => out.push_str("#95;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
