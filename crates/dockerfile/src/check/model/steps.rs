//! The instructions of a stage in order: each sees the variables as they were before it.

use std::collections::HashSet;

use crate::{
    Parsed,
    ast::{Command as Form, Copy, Heredoc, Instruction, Kind, Mount, Run, Stage, Word},
    diagnostic::Diagnostic,
    expand::{Env, Error, ErrorKind, Expander, Use},
    span::Span,
};

use super::{
    super::{
        input::CheckInput,
        shell::{self, Command},
    },
    Globals, Reason, Settings, Step, Undefined, Vars, part,
};

/// Arguments that BuildKit reads itself and never puts into the environment.
const NOT_IN_ENV: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Goes through a stage; `vars` is left as it is after it.
pub(super) fn build<'a>(
    parsed: &'a Parsed,
    input: &CheckInput<'_>,
    globals: &Globals,
    stage: &'a Stage,
    vars: &mut Vars,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Step<'a>> {
    let mut pass = Pass { parsed, input, globals, vars, defined: defined(stage), errors };
    stage.instructions.iter().map(|instruction| pass.step(instruction)).collect()
}

fn defined(stage: &Stage) -> HashSet<&str> {
    let mut names = HashSet::new();
    for instruction in &stage.instructions {
        match &instruction.kind {
            Kind::Env(pairs) => names.extend(pairs.iter().map(|pair| pair.key.text.as_str())),
            Kind::Arg(args) => names.extend(args.iter().map(|arg| arg.name.text.as_str())),
            _ => {}
        }
    }
    names
}

/// Makes an error of a word that cannot be expanded.
pub(super) fn expansion_error(word: &Word, error: &Error, source: &str) -> Diagnostic {
    let end = word.text[error.offset..].chars().next().map_or(error.offset, |c| error.offset + c.len_utf8());
    let diagnostic = Diagnostic::error("expansion", part(word, error.offset..end, source), error.to_string());
    match &error.kind {
        ErrorKind::SingleQuote | ErrorKind::DoubleQuote => {
            diagnostic.help("close the quote, or escape it to mean the character itself")
        }
        ErrorKind::Brace => diagnostic.help("add the missing `}`, or write `\\$` for a dollar sign"),
        ErrorKind::Required { name, .. } => {
            diagnostic.help(format!("set it with `--build-arg {name}=…` and declare it with `ARG {name}`"))
        }
        _ => diagnostic,
    }
}

struct Pass<'a, 'b> {
    parsed: &'a Parsed,
    input: &'b CheckInput<'b>,
    globals: &'b Globals,
    vars: &'b mut Vars,
    /// What the stage defines anywhere, also further down.
    defined: HashSet<&'a str>,
    errors: &'b mut Vec<Diagnostic>,
}

impl<'a> Pass<'a, '_> {
    fn step(&mut self, instruction: &'a Instruction) -> Step<'a> {
        let mut step = Step {
            instruction,
            words: vec![],
            undefined: vec![],
            commands: vec![],
            settings: Settings::default(),
        };
        match &instruction.kind {
            Kind::Copy(copy) | Kind::Add(copy) => self.copy(copy, &mut step),
            Kind::Env(pairs) => {
                let expanded: Vec<_> = pairs
                    .iter()
                    .map(|pair| (self.word(&pair.key, &mut step), self.word(&pair.value, &mut step)))
                    .collect();
                for (key, value) in expanded {
                    if let (Some(key), Some(value)) = (key, value) {
                        self.vars.set(&key, &value);
                    }
                }
            }
            Kind::Label(pairs) => {
                for pair in pairs {
                    self.word(&pair.key, &mut step);
                    self.word(&pair.value, &mut step);
                }
            }
            Kind::Arg(args) => {
                for arg in args {
                    let name = arg.name.text.as_str();
                    let given = self.input.build_arg(name).map(str::to_owned);
                    let default = |pass: &mut Self, step: &mut Step<'a>| match &arg.default {
                        Some(default) => pass.word(default, step),
                        None => pass.globals.vars.get(name).map(str::to_owned),
                    };
                    match given.or_else(|| default(self, &mut step)) {
                        Some(value) if !NOT_IN_ENV.contains(&name) => self.vars.set(name, &value),
                        _ => self.vars.declare(name),
                    }
                }
            }
            Kind::Workdir(word) | Kind::User(word) | Kind::StopSignal(word) => self.keep(word, &mut step),
            Kind::Volume(words) => words.iter().for_each(|word| self.keep(word, &mut step)),
            Kind::Expose(words) => words.iter().for_each(|word| self.ports(word, &mut step)),
            Kind::Run(run) => {
                run.mounts.iter().for_each(|mount| self.mount(mount, &mut step));
                step.commands = commands(run);
                step.settings = self.settings();
            }
            Kind::Cmd(_)
            | Kind::Entrypoint(_)
            | Kind::Shell(_)
            | Kind::Healthcheck(_)
            | Kind::Onbuild { .. }
            | Kind::Maintainer(_) => {}
        }
        step
    }

    fn copy(&mut self, copy: &Copy, step: &mut Step<'a>) {
        copy.sources.iter().for_each(|word| self.keep(word, step));
        for word in [Some(&copy.dest), copy.chown.as_ref(), copy.chmod.as_ref(), copy.checksum.as_ref()]
            .into_iter()
            .flatten()
        {
            self.word(word, step);
        }
        for heredoc in copy.heredocs.iter().filter(|heredoc| heredoc.expand) {
            self.body(heredoc, step);
        }
    }

    fn mount(&mut self, mount: &Mount, step: &mut Step<'a>) {
        for field in mount.fields.iter().filter(|field| !field.key.text.eq_ignore_ascii_case("from")) {
            if let Some(value) = &field.value {
                self.word(value, step);
            }
        }
    }

    fn keep(&mut self, word: &Word, step: &mut Step<'a>) {
        if let Some(text) = self.word(word, step) {
            step.words.push((text, word.span));
        }
    }

    fn word(&mut self, word: &Word, step: &mut Step<'a>) -> Option<String> {
        match Expander::new(self.parsed.file.escape).word(&word.text, self.vars) {
            Ok(expanded) => {
                self.note(word, &expanded.uses, step);
                Some(expanded.text)
            }
            Err(error) => {
                self.fail(word, &error);
                None
            }
        }
    }

    fn ports(&mut self, word: &Word, step: &mut Step<'a>) {
        match Expander::new(self.parsed.file.escape).words(&word.text, self.vars) {
            Ok(expanded) => {
                self.note(word, &expanded.uses, step);
                step.words.extend(expanded.words.into_iter().map(|port| (port, word.span)));
            }
            Err(error) => self.fail(word, &error),
        }
    }

    fn body(&mut self, heredoc: &Heredoc, step: &mut Step<'a>) {
        let word = Word { text: heredoc.body.clone(), span: heredoc.body_span };
        match Expander::for_heredoc().word(&word.text, self.vars) {
            Ok(expanded) => self.note(&word, &expanded.uses, step),
            Err(error) => self.fail(&word, &error),
        }
    }

    fn fail(&mut self, word: &Word, error: &Error) {
        // Whether an unknown base image sets what is required cannot be told.
        let unknown = matches!(&error.kind, ErrorKind::Required { name, .. } if !self.vars.complete && !self.vars.knows(name));
        if !unknown {
            self.errors.push(expansion_error(word, error, &self.parsed.source));
        }
    }

    /// Notes variables that are not defined.
    ///
    /// Where the base image's environment is not known, a variable may come from there. Then only those count that can hardly: positional ones, those that
    /// only FROM lines see, those that the stage defines further down, and those that look like a typing error of one that is defined.
    fn note(&self, word: &Word, uses: &[Use], step: &mut Step<'a>) {
        for used in uses.iter().filter(|used| !used.set) {
            let name = used.name.as_str();
            if self.vars.knows(name)
                || NOT_IN_ENV.contains(&name)
                || step.undefined.iter().any(|other| other.name == name)
            {
                continue;
            }
            if used.handled && !self.vars.complete {
                continue;
            }
            let reason = if self.defined.contains(name) {
                Reason::DefinedBelow
            } else if self.globals.declared.contains(name) || self.globals.vars.get(name).is_some() {
                Reason::OnlyForFrom
            } else if name.len() > 3 && !COMES_WITH_IMAGES.contains(&name) {
                self.vars.near(name).map_or(Reason::Nowhere, Reason::Near)
            } else {
                Reason::Nowhere
            };
            let positional = !name.starts_with(|c: char| c.is_alphabetic() || c == '_');
            let certain = reason != Reason::Nowhere || positional;
            if self.vars.complete || certain {
                let span: Span = part(word, used.at.clone(), &self.parsed.source);
                step.undefined.push(Undefined { name: name.to_owned(), span, reason });
            }
        }
    }

    fn settings(&self) -> Settings {
        let is = |name: &str, value: &str| self.vars.get(name) == Some(value);
        let on = |name: &str| {
            self.vars.get(name).is_some_and(|value| !matches!(value, "" | "0" | "false" | "off" | "no"))
        };
        Settings {
            node_production: is("NODE_ENV", "production")
                || is("NPM_CONFIG_OMIT", "dev")
                || is("npm_config_omit", "dev")
                || on("NPM_CONFIG_PRODUCTION"),
            pip_no_cache: on("PIP_NO_CACHE_DIR"),
            composer_no_dev: on("COMPOSER_NO_DEV"),
            bundle_without: on("BUNDLE_WITHOUT"),
        }
    }
}

/// Variables that well-known images set and that are near to what people call their own.
const COMES_WITH_IMAGES: [&str; 29] = [
    "HOME",
    "USER",
    "LANG",
    "TERM",
    "HOSTNAME",
    "CARGO_HOME",
    "GEM_HOME",
    "GOLANG_VERSION",
    "GOPATH",
    "GOROOT",
    "GOTOOLCHAIN",
    "JAVA_HOME",
    "JAVA_VERSION",
    "LC_ALL",
    "LOGNAME",
    "NGINX_VERSION",
    "NJS_VERSION",
    "NODE_VERSION",
    "PHP_INI_DIR",
    "PHP_VERSION",
    "PYTHON_VERSION",
    "RUBY_VERSION",
    "RUSTUP_HOME",
    "RUST_VERSION",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "DEBIAN_FRONTEND",
    "YARN_VERSION",
    "SHELL",
];

/// Returns the commands of a RUN in whatever form.
fn commands(run: &Run) -> Vec<Command> {
    match &run.command {
        Form::Exec(words) => match words.as_slice() {
            [shell, flag, script, ..] if is_shell(shell) && flag.starts_with('-') && flag.ends_with('c') => {
                shell::commands(script)
            }
            words => vec![Command::from_words(words.to_vec())],
        },
        Form::Shell(line) => {
            let mut commands = shell::commands(line);
            let is_redirect = |command: &Command| command.words.iter().all(|word| word.starts_with("<<"));
            // `<<EOF` alone, or `sh <<EOF`: the body is the script. `cat <<EOF > file`: it is not.
            let runs_body =
                commands.first().is_none_or(|first| is_redirect(first) || is_shell(&first.words[0]));
            commands.retain(|command| !is_redirect(command));
            if runs_body {
                for heredoc in &run.heredocs {
                    let interpreter = heredoc.body.strip_prefix("#!").and_then(|rest| rest.lines().next());
                    if interpreter.is_none_or(|line| line.split_whitespace().any(is_shell)) {
                        commands.extend(shell::commands(&heredoc.body));
                    }
                }
            }
            commands
        }
    }
}

fn is_shell(program: &str) -> bool {
    matches!(program.rsplit('/').next().unwrap_or(program), "sh" | "bash" | "ash" | "dash" | "zsh" | "ksh")
}
