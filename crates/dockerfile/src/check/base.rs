//! Base images: what FROM names, for which platform, and how firmly.

use crate::{
    ast::{Kind, Word},
    expand::Expander,
    suggest::shown,
};

use super::{
    model::{Base, Model, StageModel, part},
    platform::Platform,
    reference::Reference,
    report::Report,
    rules::Id,
};

/// Runs the rules of this family.
pub(super) fn check(model: &Model<'_>, report: &mut Report) {
    for stage in &model.stages {
        arguments(model, stage, report);
        default_arguments(model, stage, report);
        platform_flag(model, stage, report);
        image_platform(model, stage, report);
        let from = &stage.stage.from;
        if let (Base::Image, Some(image)) = (stage.base, &stage.image) {
            firmness(&image.text, &from.image, &from.comments, report);
        }
        copied_images(stage, report);
    }
}

fn arguments(model: &Model<'_>, stage: &StageModel<'_>, report: &mut Report) {
    let from = &stage.stage.from;
    let words = [(Some(&from.image), &stage.image), (from.platform.as_ref(), &stage.platform)];
    for (word, expanded) in words {
        let (Some(word), Some(expanded)) = (word, expanded) else { continue };
        let mut told: Vec<&str> = vec![];
        for used in expanded.uses.iter().filter(|used| !model.globals.vars.knows(&used.name)) {
            if told.contains(&used.name.as_str()) {
                continue;
            }
            told.push(&used.name);
            let message = format!("`{}` is not declared above the first FROM", used.name);
            let help = match model.globals.vars.near(&used.name) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add `ARG {}` above the first FROM", used.name),
            };
            let span = part(word, used.at.clone(), model.source());
            report.push(&from.comments, Id::UndefinedArgInFrom.finding(span, message).help(help));
        }
    }
}

fn default_arguments(model: &Model<'_>, stage: &StageModel<'_>, report: &mut Report) {
    let from = &stage.stage.from;
    let Some(defaults) = model.globals.defaults.as_ref().filter(|_| !from.image.text.is_empty()) else {
        return;
    };
    let Ok(expanded) = Expander::new(model.parsed.file.escape).word(&from.image.text, defaults) else {
        return;
    };
    if Reference::parse(&expanded.text).is_some() {
        return;
    }
    let finding = if expanded.uses.is_empty() {
        Id::InvalidDefaultArgInFrom
            .finding(from.image.span, format!("`{}` is no valid name of an image", shown(&expanded.text))).help("write `[registry/]path[:tag][@digest]`; the path has lowercase letters, digits, and `.`, `_`, `-` between them")
    } else {
        let result = if expanded.text.is_empty() {
            "nothing".to_owned()
        } else {
            format!("`{}`", shown(&expanded.text))
        };
        Id::InvalidDefaultArgInFrom
            .finding(
                from.image.span,
                format!(
                    "with the defaults of its arguments the base image is {result}, which is no valid name"
                ),
            )
            .help(format!("give `{}` a default above the first FROM", expanded.uses[0].name))
    };
    report.push(&from.comments, finding);
}

fn platform_flag(model: &Model<'_>, stage: &StageModel<'_>, report: &mut Report) {
    let from = &stage.stage.from;
    let (Some(word), Some(expanded)) = (&from.platform, &stage.platform) else { return };
    match expanded.uses.as_slice() {
        [] => {
            let Some(platform) = Platform::parse(&expanded.text) else { return };
            let name = stage.stage.name.as_deref().unwrap_or_default();
            if !name.contains(&platform.os) && !name.contains(&platform.arch) {
                let message =
                    format!("the platform is always `{}`, whatever is built for", shown(&expanded.text));
                let help = "use `$BUILDPLATFORM`, or leave the flag out; if this stage is about that platform, say so in its name";
                report.push(
                    &from.comments,
                    Id::FromPlatformFlagConstDisallowed.finding(word.span, message).help(help),
                );
            }
        }
        [used, rest @ ..] => {
            let only =
                used.set && used.name == "TARGETPLATFORM" && rest.iter().all(|other| other.name == used.name);
            if only && crate::expand::Env::get(&model.globals.vars, "TARGETPLATFORM") == Some(&expanded.text)
            {
                let message = format!("`{}` is what FROM takes anyway", word.text);
                report.push(
                    &from.comments,
                    Id::RedundantTargetPlatform.finding(word.span, message).help("remove the flag"),
                );
            }
        }
    }
}

fn image_platform(model: &Model<'_>, stage: &StageModel<'_>, report: &mut Report) {
    let from = &stage.stage.from;
    let (Base::Image, Some(image)) = (stage.base, &stage.image) else { return };
    let Some(actual) = model.input.images.get(&image.text).and_then(|known| known.platform.as_ref()) else {
        return;
    };
    let asked = stage.platform.as_ref().and_then(|platform| Platform::parse(&platform.text));
    let wanted = asked.as_ref().unwrap_or(&model.input.platform);
    if (&wanted.os, &wanted.arch) != (&actual.os, &actual.arch) {
        let message = format!("the base image is for {actual}, but {wanted} is wanted");
        report.push(
            &from.comments,
            Id::InvalidBaseImagePlatform
                .finding(from.image.span, message)
                .help("choose an image that exists for the platform"),
        );
    }
}

/// Images that COPY and mounts name are as much a part of the build as bases are.
fn copied_images(stage: &StageModel<'_>, report: &mut Report) {
    for (index, step) in stage.steps.iter().enumerate() {
        let froms: Vec<&Word> = match &step.instruction.kind {
            Kind::Copy(copy) => copy.from.iter().collect(),
            Kind::Run(run) => run.mounts.iter().filter_map(|mount| mount.from.as_ref()).collect(),
            _ => continue,
        };
        for from in froms {
            let is_stage = stage.uses_of(index).iter().any(|used| used.span == from.span);
            let is_number = from.text.parse::<usize>().is_ok();
            if !is_stage && !is_number && from.text != "scratch" && from.text != "context" {
                firmness(&from.text, from, &step.instruction.comments, report);
            }
        }
    }
}

fn firmness(image: &str, word: &Word, comments: &[Word], report: &mut Report) {
    let Some(reference) = Reference::parse(image) else { return };
    if reference.digest.is_some() {
        return;
    }
    let expanded = if word.text == image { String::new() } else { format!(" (here `{}`)", shown(image)) };
    let name = shown(&word.text);
    match reference.tag {
        None => {
            let message =
                format!("`{name}`{expanded} names no version, so it is whatever `latest` is on the day");
            report.push(
                comments,
                Id::BaseImageTag
                    .finding(word.span, message)
                    .help(format!("add a tag, such as `{}:<version>`", reference.name)),
            );
        }
        Some("latest") => {
            let message = format!("`{name}`{expanded} is another image every time its owner makes one");
            report.push(
                comments,
                Id::BaseImageTag.finding(word.span, message).help("name a version instead of `latest`"),
            );
        }
        Some(_) => {}
    }
    let message = format!("`{name}`{expanded} may change under its tag");
    report.push(
        comments,
        Id::BaseImageDigest.finding(word.span, message).help(format!("pin it: `{}@sha256:…`", shown(image))),
    );
}
