//! Which stage starts from which, which takes from which, and what of it the output needs.

use std::collections::HashMap;

use crate::{
    Parsed,
    ast::{Kind, Word},
    diagnostic::Diagnostic,
    expand::{Expanded, Expander},
    suggest::nearest,
};

use super::{
    super::input::CheckInput,
    Base, Globals, StageModel, StageUse, Vars,
    steps::{self, expansion_error},
};

/// Goes through the stages in order.
pub(super) fn build<'a>(
    parsed: &'a Parsed,
    input: &'a CheckInput<'a>,
    globals: &Globals,
    errors: &mut Vec<Diagnostic>,
) -> Vec<StageModel<'a>> {
    let stages = &parsed.file.stages;
    // COPY may name a stage further down, FROM may not; of several with one name the last counts.
    let all: HashMap<&str, usize> =
        stages.iter().filter_map(|stage| Some((stage.name.as_deref()?, stage.index))).collect();
    let mut before: HashMap<&str, usize> = HashMap::new();
    let mut done: Vec<StageModel<'a>> = vec![];
    let mut after: Vec<(Vars, bool)> = vec![];
    for stage in stages {
        let mut expand = |word: &Word| -> Option<Expanded> {
            let expanded = Expander::new(parsed.file.escape).word(&word.text, &globals.for_from);
            expanded.map_err(|error| errors.push(expansion_error(word, &error, &parsed.source))).ok()
        };
        let image = expand(&stage.from.image);
        let platform = stage.from.platform.as_ref().and_then(expand);
        let base = match image.as_ref().map(|image| image.text.as_str()) {
            None | Some("") => Base::Unknown,
            Some("scratch") => Base::Scratch,
            Some(name) => before.get(name).map_or(Base::Image, |index| Base::Stage(*index)),
        };
        let known = image.as_ref().and_then(|image| input.images.get(&image.text));
        let mut state = match base {
            Base::Stage(index) => after[index].clone(),
            Base::Scratch => (Vars::of_image(Some(&[])), false),
            Base::Image => (Vars::of_image(known.map(|image| image.env.as_slice())), false),
            Base::Unknown => (Vars::of_image(None), false),
        };
        let steps = steps::build(parsed, input, globals, stage, &mut state.0, errors);
        let uses = uses(stage, &all, stages.len());
        done.push(StageModel { stage, image, platform, base, uses, steps });
        after.push(state);
        if let Some(name) = &stage.name {
            before.insert(name, stage.index);
        }
    }
    done
}

fn uses(stage: &crate::ast::Stage, names: &HashMap<&str, usize>, count: usize) -> Vec<StageUse> {
    let mut uses = vec![];
    for (step, instruction) in stage.instructions.iter().enumerate() {
        let froms: Vec<&Word> = match &instruction.kind {
            Kind::Copy(copy) => copy.from.iter().collect(),
            Kind::Run(run) => run.mounts.iter().filter_map(|mount| mount.from.as_ref()).collect(),
            _ => continue,
        };
        uses.extend(froms.into_iter().filter_map(|from| {
            let index = from.text.parse::<usize>().ok().filter(|index| *index < count);
            let stage = index.or_else(|| names.get(from.text.to_lowercase().as_str()).copied())?;
            Some(StageUse { stage, span: from.span, by_index: index.is_some(), step })
        }));
    }
    uses
}

/// Finds the stage that becomes the image.
pub(super) fn output(
    stages: &[StageModel<'_>],
    input: &CheckInput<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Option<usize> {
    let last = stages.len().checked_sub(1)?;
    let Some(target) = input.target else { return Some(last) };
    let wanted = target.to_lowercase();
    let named = stages.iter().rposition(|stage| stage.stage.name.as_deref() == Some(wanted.as_str()));
    let found = named.or_else(|| target.parse().ok().filter(|index| *index <= last));
    if found.is_none() {
        let names = stages.iter().filter_map(|stage| stage.stage.name.as_deref());
        let help = match nearest(target, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                format!("there are {}", names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
            }
        };
        let message = format!("there is no stage `{target}` to build");
        errors.push(Diagnostic::error("unknown-target", stages[last].stage.from.span, message).help(help));
    }
    found
}

/// Marks what the output needs.
pub(super) fn needed(stages: &[StageModel<'_>], output: Option<usize>) -> Vec<bool> {
    let mut needed = vec![false; stages.len()];
    let mut open: Vec<usize> = output.into_iter().collect();
    while let Some(index) = open.pop() {
        if !std::mem::replace(&mut needed[index], true) {
            open.extend(stages[index].uses.iter().map(|used| used.stage));
            open.extend(base_stage(&stages[index]));
        }
    }
    needed
}

/// Marks what the output starts from, itself included.
pub(super) fn shipped(stages: &[StageModel<'_>], output: Option<usize>) -> Vec<bool> {
    let mut shipped = vec![false; stages.len()];
    let mut next = output;
    while let Some(index) = next {
        shipped[index] = true;
        next = base_stage(&stages[index]);
    }
    shipped
}

/// A base always stands further up, so following bases comes to an end.
fn base_stage(stage: &StageModel<'_>) -> Option<usize> {
    if let Base::Stage(index) = stage.base { Some(index) } else { None }
}
