//! Package managers in the stages whose layers are in the image: what they leave there.

mod leftovers;
mod managers;
mod tools;

use super::{
    model::{Model, StageModel, Step},
    report::Report,
    rules::Id,
    shell::Command,
};
use crate::{ast::Kind, span::Span};

pub(super) use managers::{Manager, build_with_dependencies, install_of_dependencies};

/// Runs the rules of this family.
pub(super) fn check(model: &Model<'_>, report: &mut Report) {
    for (_, step) in model.shipped_steps() {
        for leftover in leftovers::find(step) {
            let span = step.command_span(model.source(), leftover.command);
            let finding = Id::PackageCacheInLayer.finding(span, leftover.message).help(leftover.help);
            report.push(&step.instruction.comments, finding);
        }
    }
    if model.is_for_production() {
        tools::check(model, report);
        dev_dependencies(model, report);
    }
}

fn dev_dependencies(model: &Model<'_>, report: &mut Report) {
    let pruned: Vec<bool> = model.stages.iter().map(prunes).collect();
    for (stage, step) in model.shipped_steps() {
        for command in &step.commands {
            if let Some(help) = managers::dev_install(step, command)
                && !pruned[stage.stage.index]
            {
                let span = step.command_span(model.source(), command);
                let message = format!("`{}` also installs what only development needs", short(command));
                report
                    .push(&step.instruction.comments, Id::DevDependencies.finding(span, message).help(help));
            }
        }
        copied_modules(model, &pruned, stage, step, report);
    }
}

/// `COPY --from=build /app/node_modules` brings along what that stage installed.
fn copied_modules(
    model: &Model<'_>,
    pruned: &[bool],
    stage: &StageModel<'_>,
    step: &Step<'_>,
    report: &mut Report,
) {
    let Kind::Copy(copy) = &step.instruction.kind else { return };
    let Some(from) = &copy.from else { return };
    let folders = ["node_modules", "vendor"];
    let Some((folder, span)) = step.words.iter().find_map(|(path, span)| {
        let last = path.trim_end_matches('/').rsplit('/').next()?;
        folders.iter().find(|folder| **folder == last).map(|folder| (*folder, *span))
    }) else {
        return;
    };
    let Some(used) = stage.uses.iter().find(|used| used.span == from.span) else { return };
    let Some((install, command)) = full_install(model, pruned, used.stage, folder) else { return };
    let message = format!("this `{folder}` holds what only development needs");
    let finding = Id::DevDependencies
        .finding(span, message)
        .label(install, format!("`{}` here installs it", short(command)))
        .help("install again without it in a stage of its own, and copy from that one");
    report.push(&step.instruction.comments, finding);
}

/// Finds the install whose result a stage has, if it took development dependencies along and nothing removed them.
fn full_install<'m>(
    model: &'m Model<'_>,
    pruned: &[bool],
    mut index: usize,
    folder: &str,
) -> Option<(Span, &'m Command)> {
    loop {
        let stage = &model.stages[index];
        if pruned[index] {
            return None;
        }
        for step in stage.steps.iter().rev() {
            for command in step.commands.iter().rev() {
                if managers::install_of_dependencies(command)
                    .is_some_and(|manager| manager.folder() == Some(folder))
                {
                    managers::dev_install(step, command)?;
                    return Some((step.command_span(model.source(), command), command));
                }
            }
        }
        match stage.base {
            super::model::Base::Stage(base) => index = base,
            _ => return None,
        }
    }
}

/// Tells whether a stage removes development dependencies after all.
fn prunes(stage: &StageModel<'_>) -> bool {
    let mut commands = stage.steps.iter().flat_map(|step| &step.commands);
    commands.any(|command| {
        matches!(command.program(), "npm" | "pnpm" | "yarn") && command.operands().any(|word| word == "prune")
    })
}

/// Returns a command's first two words, as people call it.
fn short(command: &Command) -> String {
    let mut words = command.operands();
    match words.next() {
        Some(word) => format!("{} {word}", command.program()),
        None => command.program().to_owned(),
    }
}
