//! How instructions are written, and which of them undo each other.

use crate::{
    ast::{Command, Instruction, Kind, Word},
    span::Span,
    suggest::shown,
};

use super::{
    config,
    model::{Base, Model, StageModel},
    report::Report,
    rules::Id,
};

/// Runs the rules of this family.
pub(super) fn check(model: &Model<'_>, report: &mut Report) {
    blank_lines(model, report);
    descriptions(model, report);
    let mut workdir_set: Vec<bool> = vec![];
    let mut shell_set: Vec<bool> = vec![];
    for stage in &model.stages {
        let inherited = |of: &[bool]| if let Base::Stage(index) = stage.base { of[index] } else { false };
        let (workdir, shell) = (inherited(&workdir_set), inherited(&shell_set));
        let known = stage
            .image
            .as_ref()
            .and_then(|image| model.input.images.get(&image.text))
            .is_some_and(|image| image.has_shell);
        workdir_set.push(relative_workdir(stage, workdir, report));
        shell_set.push(shell_forms(stage, shell || known, report));
        repeated(stage, report);
        for step in &stage.steps {
            if let Kind::Maintainer(name) = &step.instruction.kind {
                let finding = Id::MaintainerDeprecated
                    .finding(step.instruction.keyword.span, "MAINTAINER is deprecated")
                    .help(format!(
                        "write `LABEL org.opencontainers.image.authors=\"{}\"`",
                        name.text.trim_matches('"')
                    ));
                report.push(&step.instruction.comments, finding);
            }
        }
    }
}

fn blank_lines(model: &Model<'_>, report: &mut Report) {
    // The comments above the instruction may ask to skip this, and the line lies inside it.
    let mut owners: Vec<(&Span, &[Word])> = vec![];
    for stage in &model.stages {
        owners.push((&stage.stage.from.span, &stage.stage.from.comments));
        owners.extend(stage.stage.instructions.iter().map(|i| (&i.span, i.comments.as_slice())));
    }
    for blank in &model.parsed.blank_continuations {
        let after = owners.partition_point(|(span, _)| span.start <= blank.start);
        let comments = after.checked_sub(1).map_or(&[][..], |at| owners[at].1);
        let finding = Id::NoEmptyContinuation
            .finding(*blank, "the instruction goes on over an empty line")
            .help("remove the line, or end the instruction above it; a later release of BuildKit will refuse this");
        report.push(comments, finding);
    }
}

fn relative_workdir(stage: &StageModel<'_>, mut set: bool, report: &mut Report) -> bool {
    for step in &stage.steps {
        if let (Kind::Workdir(word), Some((path, _))) = (&step.instruction.kind, step.words.first()) {
            let windows_drive = path.as_bytes().get(1) == Some(&b':') || path.starts_with('\\');
            if !set && !path.starts_with('/') && !windows_drive {
                let finding = Id::WorkdirRelativePath
                    .finding(
                        word.span,
                        format!("`{}` is below whatever directory the base image ends in", shown(path)),
                    )
                    .help(format!("write an absolute path, such as `/{}`", shown(path)));
                report.push(&step.instruction.comments, finding);
            }
            set = true;
        }
    }
    set
}

fn shell_forms(stage: &StageModel<'_>, mut shell: bool, report: &mut Report) -> bool {
    for step in &stage.steps {
        let Instruction { kind, keyword, comments, span, .. } = step.instruction;
        match kind {
            Kind::Shell(_) => shell = true,
            Kind::Cmd(Command::Shell(text)) | Kind::Entrypoint(Command::Shell(text))
                if !shell && !text.is_empty() =>
            {
                let name = keyword.text.to_uppercase();
                let message = format!("{name} runs in a shell, which takes the signals and passes none on");
                let finding = Id::JSONArgsRecommended.finding(*span, message);
                let help = match as_json(text) {
                    Some(json) => format!("write `{name} {json}`"),
                    None => "write it as a JSON array; where a shell is needed, name it: `[\"sh\", \"-c\", \"exec …\"]`".to_owned(),
                };
                report.push(comments, finding.help(help));
            }
            _ => {}
        }
    }
    shell
}

/// Returns the same command as a JSON array, where that needs no shell.
fn as_json(text: &str) -> Option<String> {
    let needs_shell = |c: char| {
        matches!(
            c,
            '$' | '`'
                | '&'
                | '|'
                | ';'
                | '<'
                | '>'
                | '*'
                | '?'
                | '('
                | ')'
                | '\''
                | '"'
                | '\\'
                | '~'
                | '{'
                | '['
                | '#'
                | '\n'
        )
    };
    if text.contains(needs_shell) || text.split_whitespace().next()?.contains('=') {
        return None;
    }
    Some(format!(
        "[{}]",
        text.split_whitespace().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
    ))
}

/// Tells whether an instruction is of one kind.
type IsKind = fn(&Kind) -> bool;

/// Of these only the last counts; the earlier ones are reported.
fn repeated(stage: &StageModel<'_>, report: &mut Report) {
    let kinds: [(&str, IsKind); 3] = [
        ("CMD", |kind| matches!(kind, Kind::Cmd(_))),
        ("ENTRYPOINT", |kind| matches!(kind, Kind::Entrypoint(_))),
        ("HEALTHCHECK", |kind| matches!(kind, Kind::Healthcheck(_))),
    ];
    for (name, is) in kinds {
        let all: Vec<&Instruction> =
            stage.steps.iter().map(|step| step.instruction).filter(|i| is(&i.kind)).collect();
        for pair in all.windows(2) {
            let finding = Id::MultipleInstructionsDisallowed
                .finding(
                    pair[0].span,
                    format!("this {name} has no effect, because another follows in the same stage"),
                )
                .label(pair[1].span, "this one counts")
                .help("remove it");
            // BuildKit asks the comments of the later one.
            report.push(&pair[1].comments, finding);
        }
    }
}

fn descriptions(model: &Model<'_>, report: &mut Report) {
    // An empty line sets a comment apart. BuildKit's documentation says so too; its code looks over the line.
    let directly_above = |comment: &Word, instruction: Span| {
        let between = Span::new(comment.span.end, instruction.start).of(model.source());
        between.matches('\n').count() == 1
    };
    let mut check = |what: &str, names: &[&str], comments: &[Word], instruction: Span| {
        let Some(comment) = comments.last().filter(|comment| directly_above(comment, instruction)) else {
            return;
        };
        if config::directive(&comment.text).is_some() {
            return;
        }
        let text = comment.text.trim_start();
        let first = text.split(' ').next().unwrap_or_default();
        if names.is_empty() || names.contains(&first) {
            return;
        }
        let example = if let [name] = names { name } else { "<name>" };
        let finding = Id::InvalidDefinitionDescription
            .finding(comment.span, format!("a comment above {what} describes it and starts with its name"))
            .help(format!("write `# {example} …`, or put an empty line below the comment"));
        report.push(comments, finding);
    };
    let in_stages = model.stages.iter().flat_map(|stage| &stage.stage.instructions);
    for arg in model.parsed.file.global_args.iter().chain(in_stages) {
        if let Kind::Arg(args) = &arg.kind {
            let names: Vec<&str> = args.iter().map(|arg| arg.name.text.as_str()).collect();
            check("ARG", &names, &arg.comments, arg.span);
        }
    }
    for stage in &model.stages {
        let name: Vec<&str> = stage.stage.name.iter().map(String::as_str).collect();
        check("FROM", &name, &stage.stage.from.comments, stage.stage.from.span);
    }
}
