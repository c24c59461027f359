//! What all drawings show: nodes for stages and for what comes from outside, and what flows between them.

use std::collections::{BTreeMap, HashSet};

use slipway_oci::Reference;

use crate::outline::{MAIN_CONTEXT, Origin, Outline, StageOutline, StepKind, Via};

/// Nodes and links, ready to be drawn.
pub(super) struct Diagram {
    /// The stages come first, each at its number.
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
}

/// A stage, or something from outside.
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// Its name.
    pub(super) title: String,
    /// What a stage starts from, if that is no stage.
    pub(super) base: Option<String>,
    /// What it takes of the main context.
    pub(super) context: Vec<String>,
    /// What it does, in short.
    pub(super) summary: String,
    pub(super) needed: bool,
    pub(super) critical: bool,
    pub(super) target: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    Stage,
    Image,
    Context,
    Remote,
}

/// What flows from one node to another in one way.
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) via: Via,
    pub(super) paths: Vec<String>,
    pub(super) critical: bool,
    pub(super) needed: bool,
}

impl Diagram {
    pub(super) fn new(outline: &Outline) -> Self {
        let targets: HashSet<usize> = outline.targets.iter().map(|target| target.stage).collect();
        let steps: HashSet<(usize, usize)> =
            outline.critical.windows(2).map(|pair| (pair[0], pair[1])).collect();
        // A chain of one stage is no chain.
        let chain = if steps.is_empty() { &[] } else { outline.critical.as_slice() };
        let critical: HashSet<usize> = chain.iter().copied().collect();
        let mut nodes: Vec<Node> = outline
            .stages
            .iter()
            .map(|stage| Node {
                kind: NodeKind::Stage,
                title: stage.name.clone().unwrap_or_else(|| format!("stage {}", stage.index)),
                base: base(stage),
                context: vec![],
                summary: summary(stage),
                needed: stage.needed,
                critical: critical.contains(&stage.index),
                target: targets.contains(&stage.index),
            })
            .collect();
        let mut outside: BTreeMap<Origin, usize> = BTreeMap::new();
        let mut links: BTreeMap<(usize, Via, usize), Link> = BTreeMap::new();
        for stage in &outline.stages {
            for flow in &stage.flows {
                let from = match &flow.origin {
                    Origin::Scratch => continue,
                    Origin::Context(name) if name == MAIN_CONTEXT => {
                        let mounted = |path: &String| format!("mount {path}");
                        let paths = match flow.via {
                            Via::Mount => flow.paths.iter().map(mounted).collect(),
                            Via::From | Via::Copy => flow.paths.clone(),
                        };
                        append(&mut nodes[stage.index].context, &paths);
                        continue;
                    }
                    Origin::Image(_) if flow.via == Via::From => continue,
                    Origin::Stage(from) => *from,
                    other => *outside.entry(other.clone()).or_insert_with(|| {
                        nodes.push(Node::outside(other));
                        nodes.len() - 1
                    }),
                };
                nodes[from].needed |= stage.needed;
                let link = links.entry((stage.index, flow.via, from)).or_insert_with(|| Link {
                    from,
                    to: stage.index,
                    via: flow.via,
                    paths: vec![],
                    critical: steps.contains(&(from, stage.index)),
                    needed: stage.needed,
                });
                append(&mut link.paths, &flow.paths);
            }
        }
        Self { nodes, links: links.into_values().collect() }
    }
}

impl Node {
    fn outside(origin: &Origin) -> Self {
        let (kind, title) = match origin {
            Origin::Image(reference) => (NodeKind::Image, short_image(reference)),
            Origin::Remote(address) => (NodeKind::Remote, address.clone()),
            Origin::Context(name) => (NodeKind::Context, name.clone()),
            Origin::Stage(_) | Origin::Scratch => (NodeKind::Context, String::new()),
        };
        Self {
            kind,
            title,
            base: None,
            context: vec![],
            summary: String::new(),
            needed: false,
            critical: false,
            target: false,
        }
    }

    /// Returns what a node from outside is.
    pub(super) fn kind_name(&self) -> &'static str {
        match self.kind {
            NodeKind::Stage => "stage",
            NodeKind::Image => "image",
            NodeKind::Context => "context",
            NodeKind::Remote => "download",
        }
    }
}

impl Link {
    /// Returns what flows, one entry a line, at most `most`.
    pub(super) fn lines(&self, most: usize) -> Vec<String> {
        match self.via {
            Via::From => vec!["FROM".to_owned()],
            Via::Copy if self.paths.is_empty() => vec!["ADD".to_owned()],
            Via::Copy => limited(&self.paths, most),
            Via::Mount => {
                limited(&self.paths, most).into_iter().map(|path| format!("mount {path}")).collect()
            }
        }
    }
}

/// Returns at most `most` lines, the last of which may count the rest.
pub(super) fn limited(lines: &[String], most: usize) -> Vec<String> {
    if lines.len() <= most {
        return lines.to_vec();
    }
    let mut out = lines[..most - 1].to_vec();
    out.push(format!("+ {} more", lines.len() - (most - 1)));
    out
}

/// Returns an image's name as people write it.
pub(super) fn short_image(reference: &str) -> String {
    reference.parse::<Reference>().map_or_else(
        |_| reference.to_owned(),
        |reference| match reference.digest() {
            // A digest is long and says nothing; that there is one does.
            Some(digest) => {
                let name = reference.familiar();
                let name = name.split('@').next().unwrap_or_default();
                format!("{name}@{}…", &digest.to_string()[..15])
            }
            None => reference.familiar(),
        },
    )
}

/// Returns what a stage starts from, where that is no stage.
pub(super) fn base(stage: &StageOutline) -> Option<String> {
    match &stage.base {
        Origin::Stage(_) => None,
        Origin::Scratch => Some("scratch".to_owned()),
        Origin::Image(reference) => Some(short_image(reference)),
        Origin::Context(name) | Origin::Remote(name) => Some(format!("context {name}")),
    }
}

/// Returns what a stage does: `2 RUN · 3 COPY · lines 4–17`.
pub(super) fn summary(stage: &StageOutline) -> String {
    let count = |kind: StepKind| stage.steps.iter().filter(|step| step.kind == kind).count();
    let mut parts = vec![];
    for (kind, name) in [(StepKind::Run, "RUN"), (StepKind::Copy, "COPY")] {
        let count = count(kind);
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    if stage.replaced {
        parts.push("replaced".to_owned());
    } else if parts.is_empty() {
        parts.push("nothing to run".to_owned());
    }
    parts.push(if stage.line == stage.end_line {
        format!("line {}", stage.line)
    } else {
        format!("lines {}–{}", stage.line, stage.end_line)
    });
    parts.join(" · ")
}

/// Adds what is not there yet.
pub(super) fn append(paths: &mut Vec<String>, more: &[String]) {
    for path in more {
        if !paths.contains(path) {
            paths.push(path.clone());
        }
    }
}

/// Shortens a text in its middle: of a path, both ends tell something.
pub(super) fn middle_cut(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let tail = most * 6 / 10;
    let head = most - tail - 1;
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}
