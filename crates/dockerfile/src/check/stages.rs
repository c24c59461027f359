//! Stages, their names, and how they refer to each other.

use std::collections::{BTreeMap, HashMap};

use super::{
    model::{Base, Model, StageModel},
    report::Report,
    rules::Id,
};

/// Runs the rules of this family.
pub(super) fn check(model: &Model<'_>, report: &mut Report) {
    names(model, report);
    references(model, report);
    unreachable(model, report);
}

fn names(model: &Model<'_>, report: &mut Report) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for stage in &model.stages {
        let from = &stage.stage.from;
        let (Some(name), Some(alias)) = (&stage.stage.name, &from.alias) else { continue };
        if matches!(name.as_str(), "scratch" | "context") {
            let message = format!("a stage should not be called `{name}`, which has a meaning of its own");
            report.push(
                &from.comments,
                Id::ReservedStageName.finding(alias.span, message).help("choose another name"),
            );
        }
        if let Some(earlier) = first.get(name.as_str()) {
            let earlier = &model.stages[*earlier].stage.from;
            let mut finding = Id::DuplicateStageName
                .finding(alias.span, format!("there already is a stage `{name}`"))
                .help("rename one of them; of several with one name the last counts");
            if let Some(earlier) = &earlier.alias {
                finding = finding.label(earlier.span, "first here");
            }
            report.push(&from.comments, finding);
        } else {
            first.insert(name, stage.stage.index);
        }
    }
}

fn references(model: &Model<'_>, report: &mut Report) {
    let mut unnamed: BTreeMap<usize, crate::span::Span> = BTreeMap::new();
    for stage in &model.stages {
        for used in stage.uses.iter().filter(|used| used.by_index) {
            let target = model.stages[used.stage].stage;
            let message = format!(
                "the stage is counted (`{}`), so a stage added above it changes what is meant",
                used.stage
            );
            let finding = Id::CopyFromIndex.finding(used.span, message);
            let finding = match &target.from.alias {
                Some(alias) => {
                    finding.help(format!("write `{}`", alias.text)).label(alias.span, "this stage")
                }
                None => finding.help("give the stage a name with `AS name` and use that"),
            };
            report.push(&stage.steps[used.step].instruction.comments, finding);
            if target.name.is_none() {
                unnamed.entry(used.stage).or_insert(used.span);
            }
        }
    }
    for (index, used) in unnamed {
        let from = &model.stages[index].stage.from;
        let finding = Id::UnnamedStage
            .finding(from.span, format!("stage {index} is used and has no name"))
            .label(used, "used here")
            .help("add `AS name`");
        report.push(&from.comments, finding);
    }
}

/// Without a target, a stage that the last one does not need is built only where somebody names it as the target.
fn unreachable(model: &Model<'_>, report: &mut Report) {
    if model.input.target.is_some() {
        return;
    }
    let mut choices: Vec<(&str, &str)> = model.stages.iter().filter_map(choice).collect();
    choices.sort_unstable();
    choices.dedup();
    for (stage, _) in model.stages.iter().zip(&model.needed).filter(|(_, needed)| !**needed) {
        let name = stage.stage.name.as_deref().unwrap_or_default();
        if choices.iter().any(|(start, end)| {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }) {
            continue;
        }
        let from = &stage.stage.from;
        let what = stage
            .stage
            .name
            .as_ref()
            .map_or_else(|| format!("stage {}", stage.stage.index), |name| format!("stage `{name}`"));
        let help = match &stage.stage.name {
            Some(name) => {
                format!("it is built only with `--target {name}`; if that is never done, remove it")
            }
            None => "it has no name, so nobody can ask for it either; remove it".to_owned(),
        };
        report.push(
            &from.comments,
            Id::UnreachableStage
                .finding(from.span, format!("the last stage does not need {what}"))
                .help(help),
        );
    }
}

/// With `FROM deps-${KIND}` an argument chooses the stage: any that is called `deps-…` may be the one.
fn choice<'a>(stage: &StageModel<'a>) -> Option<(&'a str, &'a str)> {
    let uses = &stage.image.as_ref()?.uses;
    let text = stage.stage.from.image.text.as_str();
    let start = uses.iter().map(|used| used.at.start).min()?;
    let end = uses.iter().map(|used| used.at.end).max()?;
    let around = (text.get(..start)?, text.get(end..)?);
    // `FROM $BASE` could name any stage, but where it names an image now, it is hardly meant to.
    (around != ("", "") || matches!(stage.base, Base::Stage(_))).then_some(around)
}
