//! From the stages of a file to resolved names, flows and order.

use std::collections::HashMap;

use slipway_dockerfile::ast::{Copy, Dockerfile, From, Instruction, Kind, MountKind, Run, Stage};
use slipway_dockerfile::diagnostic::{Diagnostic, Severity};
use slipway_dockerfile::span::{LineIndex, Span};
use slipway_oci::Platform;

use super::args::FromEnv;
use super::names::Names;
use super::{
    Flow, GlobalArgs, MAIN_CONTEXT, Origin, Outline, StageOutline, StepKind, StepOutline, Via, order,
};
use crate::remote;
use crate::request::Request;
use crate::words::Words;

/// How long a step's title may get, in characters.
const MAX_TITLE: usize = 160;

/// Instructions that the base image of a stage brings along (`ONBUILD`), by stage.
pub(crate) type Triggers = HashMap<usize, Vec<Instruction>>;

/// An outline, and what lowering needs beyond it.
pub(crate) struct Resolved<'a> {
    pub(crate) outline: Outline,
    pub(crate) global: GlobalArgs,
    pub(crate) words: Words,
    /// The instructions of each stage.
    pub(crate) plans: Vec<Vec<PlannedStep<'a>>>,
}

/// An instruction and where its files come from.
pub(crate) struct PlannedStep<'a> {
    pub(crate) instruction: &'a Instruction,
    /// Where it stands in the file; for a trigger of a base image, the `FROM` line.
    pub(crate) span: Span,
    /// True for a trigger of a base image: its own spans are not of this file.
    pub(crate) foreign: bool,
    /// The origin for COPY and ADD; one for each mount of a RUN.
    pub(crate) origins: Vec<Origin>,
}

/// Resolves every name of a file and orders its stages.
pub(crate) fn resolve<'a>(
    file: &'a Dockerfile,
    source: &str,
    request: &Request,
    triggers: &'a Triggers,
) -> Result<Resolved<'a>, Vec<Diagnostic>> {
    let lines = LineIndex::new(source);
    let words = Words::new(file.escape);
    let mut names = Names::new(file, request);
    let targets = names.targets()?;
    let mut problems = vec![];
    let first_target = request.targets.first().cloned();
    let last_name = || file.stages.last().and_then(|stage| stage.name.clone());
    let target_arg = first_target.or_else(last_name).unwrap_or_default();
    let global = GlobalArgs::evaluate(file, &words, request, &target_arg, &mut problems);

    let mut reader =
        Reader { file, request, words: &words, global: &global, lines: &lines, problems, warnings: vec![] };
    let mut stages: Vec<StageOutline> = Vec::with_capacity(file.stages.len());
    let mut plans = Vec::with_capacity(file.stages.len());
    let mut spans = Vec::with_capacity(file.stages.len());
    let mut earlier: HashMap<&str, usize> = HashMap::new();
    for stage in &file.stages {
        let brought = triggers.get(&stage.index).map(Vec::as_slice).unwrap_or_default();
        let (outline, plan, flow_spans) = reader.stage(stage, brought, &mut names, &earlier, &stages);
        stages.push(outline);
        plans.push(plan);
        spans.push(flow_spans);
        if let Some(name) = &stage.name {
            earlier.insert(name, stage.index);
        }
    }
    let Reader { mut problems, warnings, .. } = reader;
    order::mark_needed(&mut stages, &targets);
    order::check_direction(&stages, &spans, &mut problems);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        problems.sort_by_key(|problem| problem.span);
        return Err(problems);
    }
    // Whatever a needed stage takes stands above it, so the order of the file is an order of work.
    let order: Vec<usize> = stages.iter().filter(|stage| stage.needed).map(|stage| stage.index).collect();
    let levels = order::levels(&mut stages, &order);
    let critical = order::critical_path(&stages, &order, &order::default_cost);
    let outline = Outline { stages, targets, order, levels, critical, warnings };
    Ok(Resolved { outline, global, words, plans })
}

struct Reader<'a, 'r> {
    file: &'a Dockerfile,
    request: &'r Request,
    words: &'r Words,
    global: &'r GlobalArgs,
    lines: &'r LineIndex,
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl<'a, 'r> Reader<'a, 'r> {
    /// Reads one stage: its outline, its instructions, and the span of each flow.
    fn stage(
        &mut self,
        stage: &'a Stage,
        brought: &'a [Instruction],
        names: &mut Names<'_>,
        earlier: &HashMap<&str, usize>,
        above: &[StageOutline],
    ) -> (StageOutline, Vec<PlannedStep<'a>>, Vec<Span>) {
        let mut platform = self.platform(&stage.from);
        let replacement = stage.name.as_deref().and_then(|name| names.replacement(name, &platform));
        let replaced = replacement.is_some();
        let base = replacement.unwrap_or_else(|| {
            self.env_of_from()
                .expand(self.words, &stage.from.image, &mut self.warnings)
                .and_then(|name| names.base(&name, &stage.from.image, earlier, &platform))
        });
        let base = base.unwrap_or_else(|problem| {
            self.problems.push(problem);
            Origin::Scratch
        });
        let mut steps = vec![];
        let line = self.lines.line(stage.from.span.start);
        let mut flows = vec![Flow { origin: base.clone(), via: Via::From, paths: vec![], line }];
        let mut spans = vec![stage.from.image.span];
        if let Origin::Stage(parent) = base {
            platform = above[parent].platform.clone();
        }
        let mut outlines = vec![];
        if !replaced {
            for (instruction, span) in self.instructions(stage, brought, &base) {
                let origins = self.origins(instruction, span, &platform, names, &mut flows, &mut spans);
                outlines.push(self.step(instruction, span));
                let foreign = outlines.len() <= brought.len();
                steps.push(PlannedStep { instruction, span, foreign, origins });
            }
        }
        let outline = StageOutline {
            index: stage.index,
            name: stage.name.clone(),
            base,
            written: stage.from.image.text.clone(),
            platform,
            line,
            end_line: self.lines.line(stage.span.end.max(stage.span.start + 1) - 1),
            steps: outlines,
            flows,
            needed: false,
            level: 0,
            replaced,
        };
        (outline, steps, spans)
    }

    fn env_of_from(&self) -> FromEnv<'r> {
        FromEnv { global: self.global, request: self.request }
    }

    /// Returns the instructions of a stage: triggers first, then its own.
    fn instructions(
        &self,
        stage: &'a Stage,
        brought: &'a [Instruction],
        base: &Origin,
    ) -> Vec<(&'a Instruction, Span)> {
        let mut out: Vec<(&Instruction, Span)> = brought.iter().map(|step| (step, stage.from.span)).collect();
        if let Origin::Stage(parent) = base {
            for step in &self.file.stages[*parent].instructions {
                if let Kind::Onbuild { instruction, .. } = &step.kind {
                    out.push((instruction, step.span));
                }
            }
        }
        out.extend(stage.instructions.iter().map(|step| (step, step.span)));
        out
    }

    fn platform(&mut self, from: &From) -> Platform {
        let Some(word) = &from.platform else { return self.request.platform.clone() };
        let expanded = self.env_of_from().expand(self.words, word, &mut self.warnings);
        let result = expanded.and_then(|text| {
            if text.is_empty() {
                let message = format!("`--platform={}` is empty", word.text);
                return Err(Diagnostic::error("bad-platform", word.span, message)
                    .help("the arguments that FROM sees are those above the first FROM, BUILDPLATFORM and TARGETPLATFORM"));
            }
            text.parse().map_err(|error| {
                Diagnostic::error("bad-platform", word.span, format!("{error}")).help("for example linux/arm64")
            })
        });
        result.unwrap_or_else(|problem| {
            self.problems.push(problem);
            self.request.platform.clone()
        })
    }

    /// Resolves where an instruction's files come from and notes the flows.
    fn origins(
        &mut self,
        instruction: &Instruction,
        span: Span,
        platform: &Platform,
        names: &mut Names<'_>,
        flows: &mut Vec<Flow>,
        spans: &mut Vec<Span>,
    ) -> Vec<Origin> {
        let line = self.lines.line(span.start);
        match &instruction.kind {
            Kind::Copy(copy) | Kind::Add(copy) => {
                let origin = match &copy.from {
                    None => Ok(Origin::Context(MAIN_CONTEXT.to_owned())),
                    Some(from) => names.copy_source(from, platform, &mut self.warnings),
                };
                let origin = self.or_report(origin);
                let added = matches!(instruction.kind, Kind::Add(_));
                note_copy(copy, added, &origin, line, flows);
                spans.resize(flows.len(), copy.from.as_ref().map_or(span, |from| from.span));
                vec![origin]
            }
            Kind::Run(run) => {
                let origins: Vec<Origin> = self.mounts(run, platform, names);
                for (mount, origin) in run.mounts.iter().zip(&origins) {
                    if *origin != Origin::Scratch {
                        let path = mount.source.as_ref().map_or("/", |source| source.text.as_str());
                        let paths = vec![path.to_owned()];
                        flows.push(Flow { origin: origin.clone(), via: Via::Mount, paths, line });
                        spans.push(mount.from.as_ref().map_or(mount.span, |from| from.span));
                    }
                }
                origins
            }
            _ => vec![],
        }
    }

    fn mounts(&mut self, run: &Run, platform: &Platform, names: &mut Names<'_>) -> Vec<Origin> {
        let mut out = Vec::with_capacity(run.mounts.len());
        for mount in &run.mounts {
            let origin = match (&mount.from, mount.kind) {
                (Some(from), MountKind::Bind | MountKind::Cache) => {
                    names.named_source(from, platform, &mut self.warnings)
                }
                (None, MountKind::Bind) => Ok(Origin::Context(MAIN_CONTEXT.to_owned())),
                _ => Ok(Origin::Scratch),
            };
            out.push(self.or_report(origin));
        }
        out
    }

    fn or_report(&mut self, origin: Result<Origin, Diagnostic>) -> Origin {
        origin.unwrap_or_else(|problem| {
            self.problems.push(problem);
            Origin::Scratch
        })
    }

    fn step(&self, instruction: &Instruction, span: Span) -> StepOutline {
        let kind = match &instruction.kind {
            Kind::Run(_) => StepKind::Run,
            Kind::Copy(_) | Kind::Add(_) => StepKind::Copy,
            Kind::Workdir(_) => StepKind::Workdir,
            _ => StepKind::Config,
        };
        StepOutline {
            title: title(instruction),
            line: self.lines.line(span.start),
            end_line: self.lines.line(span.end.max(span.start + 1) - 1),
            kind,
        }
    }
}

/// Notes what a COPY or ADD brings, downloads apart from paths.
fn note_copy(copy: &Copy, added: bool, origin: &Origin, line: usize, flows: &mut Vec<Flow>) {
    let is_remote = |text: &str| added && remote::kind(text).is_some();
    let paths: Vec<String> =
        copy.sources.iter().map(|s| &s.text).filter(|s| !is_remote(s)).cloned().collect();
    if !paths.is_empty() && *origin != Origin::Scratch {
        flows.push(Flow { origin: origin.clone(), via: Via::Copy, paths, line });
    }
    for source in copy.sources.iter().filter(|source| is_remote(&source.text)) {
        flows.push(Flow { origin: Origin::Remote(source.text.clone()), via: Via::Copy, paths: vec![], line });
    }
}

/// Returns an instruction on one line: keyword in capitals, runs of blanks as one, shortened.
pub(crate) fn title(instruction: &Instruction) -> String {
    let mut words = instruction.text.split_whitespace();
    let mut out = words.next().unwrap_or_default().to_uppercase();
    let mut length = out.chars().count();
    for word in words {
        length += 1 + word.chars().count();
        if length > MAX_TITLE {
            out.push_str(" …");
            break;
        }
        out.push(' ');
        out.push_str(word);
    }
    out
}
