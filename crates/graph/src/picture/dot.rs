//! Graphviz.

use super::diagram::{Diagram, NodeKind};
use crate::outline::{Outline, Via};
use std::fmt::Write as _;

pub(super) fn render(outline: &Outline, title: &str) -> String {
    let diagram = Diagram::new(outline);
    let mut out = format!("digraph {} {{\n", quote(title));
    out.push_str("  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
    out.push_str("  edge [fontname=\"monospace\", fontsize=10];\n");
    for (at, node) in diagram.nodes.iter().enumerate() {
        let mut label = node.title.clone();
        if let Some(base) = &node.base {
            let _ = write!(label, "\nFROM {base}");
        }
        if !node.context.is_empty() {
            let _ = write!(label, "\ncontext {}", node.context.join(" "));
        }
        let mut attributes = vec![format!("label={}", quote(&label))];
        if node.kind != NodeKind::Stage {
            attributes.push("shape=ellipse".to_owned());
        }
        if !node.needed {
            attributes.push("color=gray, fontcolor=gray, style=\"rounded,dashed\"".to_owned());
        } else if node.critical {
            attributes.push("color=orangered, penwidth=2".to_owned());
        }
        if node.target {
            attributes.push("peripheries=2".to_owned());
        }
        let _ = writeln!(out, "  n{at} [{}];", attributes.join(", "));
    }
    for link in &diagram.links {
        let mut attributes = vec![format!("label={}", quote(&link.lines(usize::MAX).join("\n")))];
        match link.via {
            Via::From => attributes.push("arrowhead=normal".to_owned()),
            Via::Copy => attributes.push("arrowhead=vee".to_owned()),
            Via::Mount => attributes.push("arrowhead=vee, style=dashed".to_owned()),
        }
        if !link.needed {
            attributes.push("color=gray, fontcolor=gray".to_owned());
        } else if link.critical {
            attributes.push("color=orangered, penwidth=2".to_owned());
        }
        let _ = writeln!(out, "  n{} -> n{} [{}];", link.from, link.to, attributes.join(", "));
    }
    out.push_str("}\n");
    out
}

fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
