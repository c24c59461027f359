//! What both parsers found, in a form that can be compared: names, flags and words, with white space in shell text folded.

use parse_dockerfile::{
    Command as TheirCommand, Flag, HealthcheckArguments, Instruction as Theirs, JsonOrStringArray, Source,
};
use slipway_dockerfile::{
    ast::{Command, Copy, Healthcheck, Instruction, Kind},
    parse,
    tree::{Arguments, Node, Tree},
};

/// One instruction: its name, its flags, its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    name: String,
    flags: Vec<String>,
    words: Vec<String>,
}

/// Reads with our parser.
pub(crate) fn ours(text: &str) -> Result<Vec<Outline>, Vec<&'static str>> {
    let parsed = parse(text.as_bytes());
    if !parsed.is_ok() {
        return Err(parsed.diagnostics.iter().map(|diagnostic| diagnostic.code).collect());
    }
    let tree = Tree::read(text.as_bytes()).map_err(|error| vec![error.code])?;
    let mut nodes = tree.nodes.iter();
    let mut outlines = vec![];
    for arg in &parsed.file.global_args {
        outlines.push(of_instruction(arg, nodes.next()));
    }
    for stage in &parsed.file.stages {
        let flags = flags_of(nodes.next());
        let mut words = vec![stage.from.image.text.clone()];
        words.extend(stage.from.alias.as_ref().map(|alias| alias.text.clone()));
        outlines.push(Outline { name: "FROM".into(), flags, words });
        for instruction in &stage.instructions {
            outlines.push(of_instruction(instruction, nodes.next()));
        }
    }
    Ok(outlines)
}

fn flags_of(node: Option<&Node>) -> Vec<String> {
    let Some(node) = node else { return vec![] };
    let mut flags = node.flags.clone();
    if let Arguments::Instruction(inner) = &node.arguments {
        flags.extend(inner.flags.iter().cloned());
    }
    flags
}

fn of_instruction(instruction: &Instruction, node: Option<&Node>) -> Outline {
    let mut name = instruction.keyword.text.to_uppercase();
    let mut found = instruction;
    while let Kind::Onbuild { instruction, .. } = &found.kind {
        found = instruction;
        name = format!("{name} {}", found.keyword.text.to_uppercase());
    }
    let words = match &found.kind {
        Kind::Run(run) => {
            let mut words = command(&run.command);
            words.extend(run.heredocs.iter().map(|heredoc| heredoc.body.clone()));
            words
        }
        Kind::Cmd(found)
        | Kind::Entrypoint(found)
        | Kind::Healthcheck(Healthcheck::Cmd { command: found, .. }) => command(found),
        Kind::Copy(found) | Kind::Add(found) => copy(found),
        Kind::Volume(found) | Kind::Expose(found) => found.iter().map(|word| word.text.clone()).collect(),
        Kind::Shell(found) => found.clone(),
        Kind::Healthcheck(Healthcheck::None) => vec!["NONE".into()],
        _ => vec![folded(
            found.text.split_once(|c: char| c.is_ascii_whitespace()).map_or("", |(_, rest)| rest),
        )],
    };
    Outline { name, flags: flags_of(node), words }
}

fn copy(copy: &Copy) -> Vec<String> {
    let mut words: Vec<String> = copy.sources.iter().map(|word| word.text.clone()).collect();
    words.extend(copy.heredocs.iter().map(|heredoc| heredoc.body.clone()));
    words.push(copy.dest.text.clone());
    words
}

fn command(command: &Command) -> Vec<String> {
    match command {
        Command::Exec(words) => ["exec".to_owned()].into_iter().chain(words.iter().cloned()).collect(),
        Command::Shell(text) => vec!["shell".into(), folded(text)],
    }
}

/// Reads with the other parser.
pub(crate) fn theirs(text: &str) -> Result<Vec<Outline>, String> {
    let file = parse_dockerfile::parse(text).map_err(|error| error.to_string())?;
    let escape = file.parser_directives.escape.as_ref().map_or('\\', |escape| escape.value.value);
    Ok(file.instructions.iter().map(|instruction| of_theirs(instruction, escape)).collect())
}

fn of_theirs(instruction: &Theirs<'_>, escape: char) -> Outline {
    let folded_value = |value: &str| vec![folded(value)];
    let (name, flags, words) = match instruction {
        Theirs::Onbuild(found) => {
            let inner = of_theirs(&found.instruction, escape);
            return Outline { name: format!("ONBUILD {}", inner.name), ..inner };
        }
        Theirs::From(found) => {
            let alias = found.as_.as_ref().map(|(_, name)| name.value.to_string());
            (
                "FROM",
                flags(&found.options),
                [found.image.value.to_string()].into_iter().chain(alias).collect(),
            )
        }
        Theirs::Run(found) => {
            let mut words = their_command(&found.arguments, escape);
            words.extend(found.here_docs.iter().map(|heredoc| heredoc.value.to_string()));
            ("RUN", flags(&found.options), words)
        }
        Theirs::Cmd(found) => ("CMD", vec![], their_command(&found.arguments, escape)),
        Theirs::Entrypoint(found) => ("ENTRYPOINT", vec![], their_command(&found.arguments, escape)),
        Theirs::Copy(found) => ("COPY", flags(&found.options), their_copy(&found.src, &found.dest.value)),
        Theirs::Add(found) => ("ADD", flags(&found.options), their_copy(&found.src, &found.dest.value)),
        Theirs::Volume(found) => {
            let words = match &found.arguments {
                JsonOrStringArray::Json(found) => &found.value,
                JsonOrStringArray::String(found) => found,
            };
            ("VOLUME", vec![], words.iter().map(|word| word.value.trim().to_owned()).collect())
        }
        Theirs::Expose(found) => {
            ("EXPOSE", vec![], found.arguments.iter().map(|word| word.value.to_string()).collect())
        }
        Theirs::Shell(found) => {
            ("SHELL", vec![], found.arguments.iter().map(|word| word.value.to_string()).collect())
        }
        Theirs::Healthcheck(found) => {
            let words = match &found.arguments {
                HealthcheckArguments::Cmd { arguments, .. } => their_command(arguments, escape),
                _ => vec!["NONE".into()],
            };
            ("HEALTHCHECK", flags(&found.options), words)
        }
        Theirs::Env(found) => ("ENV", vec![], folded_value(&found.arguments.value)),
        Theirs::Label(found) => ("LABEL", vec![], folded_value(&found.arguments.value)),
        Theirs::Arg(found) => ("ARG", vec![], folded_value(&found.arguments.value)),
        Theirs::Workdir(found) => ("WORKDIR", vec![], folded_value(&found.arguments.value)),
        Theirs::User(found) => ("USER", vec![], folded_value(&found.arguments.value)),
        Theirs::Maintainer(found) => ("MAINTAINER", vec![], folded_value(&found.name.value)),
        Theirs::Stopsignal(found) => ("STOPSIGNAL", vec![], folded_value(&found.arguments.value)),
        other => panic!("an instruction that we do not know: {other:?}"),
    };
    Outline { name: name.into(), flags, words }
}

fn flags(flags: &[Flag<'_>]) -> Vec<String> {
    let text = |flag: &Flag<'_>| {
        let value = flag.value.as_ref().map_or(String::new(), |value| format!("={}", value.value));
        format!("--{}{value}", flag.name.value)
    };
    flags.iter().map(text).collect()
}

fn their_copy(sources: &[Source<'_>], dest: &str) -> Vec<String> {
    let text = |source: &Source<'_>| match source {
        Source::Path(path) => path.value.to_string(),
        Source::HereDoc(heredoc) => heredoc.value.to_string(),
        other => panic!("a source that we do not know: {other:?}"),
    };
    sources.iter().map(text).chain([dest.to_owned()]).collect()
}

fn their_command(command: &TheirCommand<'_>, escape: char) -> Vec<String> {
    match command {
        TheirCommand::Exec(found) => ["exec".to_owned()]
            .into_iter()
            .chain(found.value.iter().map(|word| word.value.to_string()))
            .collect(),
        // Theirs is the text as it stands in the file.
        TheirCommand::Shell(found) => vec!["shell".into(), folded(&joined(found.value, escape))],
        other => panic!("a command that we do not know: {other:?}"),
    }
}

/// Joins continued lines and drops the comments and blank lines between them.
fn joined(text: &str, escape: char) -> String {
    let mut joined = String::new();
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if number > 0 && (trimmed.is_empty() || trimmed.starts_with('#')) {
            continue;
        }
        joined.push_str(line.trim_end_matches([' ', '\t']).strip_suffix(escape).unwrap_or(line));
    }
    joined
}

fn folded(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
