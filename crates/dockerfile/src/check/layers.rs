//! The order and the number of layers: what makes builds slow and images large.

use crate::{
    ast::{Instruction, Kind, MountKind, Run},
    span::Span,
};

use super::{
    context,
    model::{Base, Model, StageModel, Step},
    packages::{Manager, build_with_dependencies, install_of_dependencies},
    report::Report,
    rules::Id,
};

/// Runs the rules of this family.
pub(super) fn check(model: &Model<'_>, report: &mut Report) {
    dependencies_after_sources(model, report);
    for (stage, _) in model.stages.iter().zip(&model.shipped).filter(|(_, shipped)| **shipped) {
        consecutive_runs(stage, report);
    }
}

/// Once all sources are copied, every change of any file installs all dependencies again.
///
/// An install with a cache mount is quick the second time, and one that an earlier stage or step did before is quick as well: both pass.
fn dependencies_after_sources(model: &Model<'_>, report: &mut Report) {
    let mut after: Vec<State> = vec![];
    for stage in &model.stages {
        let inherited = if let Base::Stage(base) = stage.base { after.get(base).cloned() } else { None };
        let State { mut sources, mut installed } = inherited.unwrap_or_default();
        for step in &stage.steps {
            if sources.is_none() && context::from_context(step).is_some() {
                sources =
                    step.words.iter().find(|(source, _)| context::is_whole(source)).map(|(_, span)| *span);
            }
            for command in &step.commands {
                let manager = install_of_dependencies(command).or_else(|| build_with_dependencies(command));
                let Some(manager) = manager.filter(|manager| !installed.contains(manager)) else { continue };
                installed.push(manager);
                if let (Some(copy), false) = (sources, has_cache(step)) {
                    let finding = Id::DependenciesAfterSources
                        .finding(
                            step.command_span(model.source(), command),
                            "any change in the sources installs the dependencies again",
                        )
                        .label(copy, "everything is copied here")
                        .help(format!(
                            "before this, copy only `{}`; install; then copy the rest",
                            manager.manifests()
                        ));
                    report.push(&step.instruction.comments, finding);
                }
            }
        }
        after.push(State { sources, installed });
    }
}

/// What is in a stage after its last step.
#[derive(Clone, Default)]
struct State {
    /// Where the whole context was copied.
    sources: Option<Span>,
    /// Whose dependencies were installed, with or without the sources; each once.
    installed: Vec<Manager>,
}

fn has_cache(step: &Step<'_>) -> bool {
    step.mounts().iter().any(|mount| mount.kind == MountKind::Cache)
}

/// Several RUNs in a row that differ in nothing but their command. Build stages do not matter: their layers are in no image.
fn consecutive_runs(stage: &StageModel<'_>, report: &mut Report) {
    let mut row: Vec<&Instruction> = vec![];
    let ends = stage.steps.iter().map(Some).chain([None]);
    for step in ends {
        let plain = step.filter(|step| matches!(&step.instruction.kind, Kind::Run(run) if is_plain(run)));
        if let Some(step) = plain {
            row.push(step.instruction);
            continue;
        }
        if let [first, others @ ..] = row.as_slice()
            && let Some(last) = others.last()
        {
            let finding = Id::ConsecutiveRuns
                .finding(
                    first.keyword.span,
                    format!("{} RUNs follow each other, each with a layer of its own", row.len()),
                )
                .label(last.keyword.span, "up to here")
                .help("join them with `&&`, or write one RUN with a here-document");
            report.push(&first.comments, finding);
        }
        row.clear();
    }
}

/// Only what needs no flag and no special form can simply be joined.
fn is_plain(run: &Run) -> bool {
    let Run { command, heredocs, mounts, network, security, devices } = run;
    matches!(command, crate::ast::Command::Shell(_))
        && heredocs.is_empty()
        && mounts.is_empty()
        && network.is_none()
        && security.is_none()
        && devices.is_empty()
}
