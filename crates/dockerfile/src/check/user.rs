//! Who the image runs as.

use crate::ast::Kind;

use super::{
    model::{Base, Model, Step},
    reference::Reference,
    report::Report,
    rules::Id,
};

/// Runs the rules of this family.
pub(super) fn check(model: &Model<'_>, report: &mut Report) {
    let Some(output) = model.output.filter(|_| model.is_for_production()) else { return };
    let stage = &model.stages[output];
    let mut index = output;
    let last: Option<&Step<'_>> = loop {
        let stage = &model.stages[index];
        let user = stage.steps.iter().rev().find(|step| matches!(step.instruction.kind, Kind::User(_)));
        match (user, stage.base) {
            (Some(user), _) => break Some(user),
            (None, Base::Stage(base)) => index = base,
            (None, _) => break None,
        }
    };
    let Some(step) = last else {
        let base = &model.stages[index];
        let image = base.image.as_ref().map_or("", |image| &image.text);
        let known = model.input.images.get(image).map(|image| image.user.as_str());
        if !known.map_or_else(|| is_rootless(image), |user| !is_root(user)) {
            let from = &stage.stage.from;
            let message = if known.is_some() || base.base == Base::Scratch {
                "the image runs as root"
            } else {
                "the image says no user, so it runs as root unless its base says otherwise"
            };
            report.push(
                &from.comments,
                Id::MissingUser
                    .finding(from.span, message)
                    .help("add `USER <uid>` near the end of this stage"),
            );
        }
        return;
    };
    if step.words.first().is_some_and(|(user, _)| is_root(user)) {
        let finding = Id::MissingUser
            .finding(step.instruction.span, "the image runs as root")
            .help("go back to an ordinary user after the steps that need root");
        report.push(&step.instruction.comments, finding);
    }
}

fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or_default();
    matches!(name, "" | "root") || name.parse::<u32>() == Ok(0)
}

/// Images that are known to run as an ordinary user.
fn is_rootless(image: &str) -> bool {
    let Some(reference) = Reference::parse(image) else { return false };
    let tagged = reference.tag.is_some_and(|tag| {
        tag.split(['-', '_']).any(|part| matches!(part, "nonroot" | "rootless" | "unprivileged"))
    });
    let named =
        ["unprivileged", "nonroot", "rootless"].iter().any(|word| reference.short_name().contains(word));
    tagged || named || reference.name.starts_with("cgr.dev/chainguard/")
}
