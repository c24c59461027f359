//! The document for programs. Its schema is described in `docs/plan.md`.

use serde::Serialize;
use slipway_dockerfile::diagnostic::Severity;

use crate::outline::{Origin, Outline, StepKind, Via};

/// The version of the document. It grows when something is taken away or changes its meaning; what is added keeps it.
pub const SCHEMA_VERSION: u32 = 1;

/// The outline as a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'o> {
    version: u32,
    file: &'o str,
    targets: Vec<Target<'o>>,
    order: &'o [usize],
    levels: &'o [Vec<usize>],
    critical_path: &'o [usize],
    stages: Vec<Stage<'o>>,
    warnings: Vec<Warning<'o>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target<'o> {
    name: &'o str,
    stage: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stage<'o> {
    index: usize,
    name: Option<&'o str>,
    needed: bool,
    level: Option<usize>,
    base: Source<'o>,
    platform: String,
    line: usize,
    end_line: usize,
    replaced: bool,
    steps: Vec<Step<'o>>,
    flows: Vec<Flow<'o>>,
    needs: Vec<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step<'o> {
    kind: &'static str,
    text: &'o str,
    line: usize,
    end_line: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Flow<'o> {
    from: Source<'o>,
    via: &'static str,
    paths: &'o [String],
    line: usize,
}

/// Where something comes from; the fields that do not belong to its kind are left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
enum Source<'o> {
    Scratch,
    Stage { stage: usize },
    Image { reference: &'o str },
    Context { name: &'o str },
    Remote { url: &'o str },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Warning<'o> {
    code: &'o str,
    message: &'o str,
    help: Option<&'o str>,
    severity: Severity,
    start: usize,
    end: usize,
}

/// Returns the document as a value, for programs that add to it.
pub fn document(outline: &Outline, file: &str) -> serde_json::Value {
    serde_json::to_value(of(outline, file)).unwrap_or_default()
}

pub(super) fn render(outline: &Outline, file: &str) -> String {
    let mut text = serde_json::to_string_pretty(&of(outline, file)).unwrap_or_default();
    text.push('\n');
    text
}

fn of<'o>(outline: &'o Outline, file: &'o str) -> Document<'o> {
    Document {
        version: SCHEMA_VERSION,
        file,
        targets: outline.targets.iter().map(|t| Target { name: &t.name, stage: t.stage }).collect(),
        order: &outline.order,
        levels: &outline.levels,
        critical_path: &outline.critical,
        stages: outline
            .stages
            .iter()
            .map(|stage| Stage {
                index: stage.index,
                name: stage.name.as_deref(),
                needed: stage.needed,
                level: stage.needed.then_some(stage.level),
                base: source(&stage.base),
                platform: stage.platform.to_string(),
                line: stage.line,
                end_line: stage.end_line,
                replaced: stage.replaced,
                steps: stage
                    .steps
                    .iter()
                    .map(|step| Step {
                        kind: match step.kind {
                            StepKind::Run => "run",
                            StepKind::Copy => "copy",
                            StepKind::Workdir => "workdir",
                            StepKind::Config => "config",
                        },
                        text: &step.title,
                        line: step.line,
                        end_line: step.end_line,
                    })
                    .collect(),
                flows: stage
                    .flows
                    .iter()
                    .map(|flow| Flow {
                        from: source(&flow.origin),
                        via: match flow.via {
                            Via::From => "from",
                            Via::Copy => "copy",
                            Via::Mount => "mount",
                        },
                        paths: &flow.paths,
                        line: flow.line,
                    })
                    .collect(),
                needs: stage.needs(),
            })
            .collect(),
        warnings: outline
            .warnings
            .iter()
            .map(|warning| Warning {
                code: warning.code,
                message: &warning.message,
                help: warning.help.as_deref(),
                severity: warning.severity,
                start: warning.span.start,
                end: warning.span.end,
            })
            .collect(),
    }
}

fn source(origin: &Origin) -> Source<'_> {
    match origin {
        Origin::Scratch => Source::Scratch,
        Origin::Stage(stage) => Source::Stage { stage: *stage },
        Origin::Image(reference) => Source::Image { reference },
        Origin::Context(name) => Source::Context { name },
        Origin::Remote(url) => Source::Remote { url },
    }
}
