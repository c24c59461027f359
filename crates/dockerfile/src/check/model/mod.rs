//! The file as the checks see it: every stage with its base resolved and every word expanded, as far as that can be known without a registry.

mod globals;
mod stages;
mod steps;
mod vars;

use crate::{
    Parsed,
    ast::{Instruction, Kind, Mount, Stage, Word},
    diagnostic::Diagnostic,
    expand::Expanded,
    span::Span,
};

use super::{input::CheckInput, shell::Command};

pub(super) use globals::Globals;
pub(super) use vars::Vars;

/// The whole file.
pub(super) struct Model<'a> {
    /// The syntax tree and its text.
    pub(super) parsed: &'a Parsed,
    /// What the caller knows.
    pub(super) input: &'a CheckInput<'a>,
    /// The arguments before the first FROM.
    pub(super) globals: Globals,
    /// The stages in the order of the file.
    pub(super) stages: Vec<StageModel<'a>>,
    /// The stage that becomes the image.
    pub(super) output: Option<usize>,
    /// For each stage, whether the output needs it.
    pub(super) needed: Vec<bool>,
    /// For each stage, whether its layers are in the output.
    pub(super) shipped: Vec<bool>,
    /// What cannot be expanded or found.
    pub(super) errors: Vec<Diagnostic>,
}

/// A stage.
pub(super) struct StageModel<'a> {
    /// Its syntax tree.
    pub(super) stage: &'a Stage,
    /// The image that FROM names, expanded; nothing where that fails.
    pub(super) image: Option<Expanded>,
    /// The platform that FROM names, expanded.
    pub(super) platform: Option<Expanded>,
    /// What it starts from.
    pub(super) base: Base,
    /// What else it takes from other stages.
    pub(super) uses: Vec<StageUse>,
    /// Its instructions.
    pub(super) steps: Vec<Step<'a>>,
}

/// What a stage starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Scratch,
    Stage(usize),
    Image,
    /// FROM could not be expanded.
    Unknown,
}

/// Another stage, named by COPY or by a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StageUse {
    /// Which.
    pub(super) stage: usize,
    /// Where it is named.
    pub(super) span: Span,
    /// True if it is counted, not named.
    pub(super) by_index: bool,
    /// The instruction's number in the stage.
    pub(super) step: usize,
}

/// An instruction.
pub(super) struct Step<'a> {
    /// Its syntax tree.
    pub(super) instruction: &'a Instruction,
    /// Its words, expanded: sources of COPY and ADD, ports, the user, the directory.
    pub(super) words: Vec<(String, Span)>,
    /// Variables that it uses and nobody sets.
    pub(super) undefined: Vec<Undefined>,
    /// The programs that a RUN calls.
    pub(super) commands: Vec<Command>,
    /// What the environment of a RUN tells package managers.
    pub(super) settings: Settings,
}

/// A variable that nobody sets.
#[derive(Clone, Debug)]
pub(super) struct Undefined {
    /// Its name.
    pub(super) name: String,
    /// Where it is used.
    pub(super) span: Span,
    /// Why not.
    pub(super) reason: Reason,
}

/// Why a variable is not defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The stage defines it further down.
    DefinedBelow,
    /// An argument above the first FROM has this name.
    OnlyForFrom,
    /// Another name was meant.
    Near(String),
    /// There is nothing like it.
    Nowhere,
}

/// Variables that change what package managers do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings {
    /// `NODE_ENV=production` or npm's own setting.
    pub(super) node_production: bool,
    /// `PIP_NO_CACHE_DIR`.
    pub(super) pip_no_cache: bool,
    /// `COMPOSER_NO_DEV`.
    pub(super) composer_no_dev: bool,
    /// `BUNDLE_WITHOUT`.
    pub(super) bundle_without: bool,
}

impl<'a> Model<'a> {
    /// Goes through a file.
    pub(super) fn new(parsed: &'a Parsed, input: &'a CheckInput<'a>) -> Self {
        let mut errors = vec![];
        let globals = Globals::new(parsed, input, &mut errors);
        let stages = stages::build(parsed, input, &globals, &mut errors);
        let output = stages::output(&stages, input, &mut errors);
        let needed = stages::needed(&stages, output);
        let shipped = stages::shipped(&stages, output);
        Self { parsed, input, globals, stages, output, needed, shipped, errors }
    }

    /// Returns the file's text.
    pub(super) fn source(&self) -> &'a str {
        &self.parsed.source
    }

    /// Returns the steps whose layers are in the output, in the order of building, each with its stage.
    pub(super) fn shipped_steps(&self) -> impl Iterator<Item = (&StageModel<'a>, &Step<'a>)> {
        let shipped = self.stages.iter().zip(&self.shipped).filter(|(_, shipped)| **shipped);
        shipped.flat_map(|(stage, _)| stage.steps.iter().map(move |step| (stage, step)))
    }

    /// Tells whether the output looks like something to deploy, by its stage's name.
    pub(super) fn is_for_production(&self) -> bool {
        const OTHER: [&str; 12] = [
            "dev",
            "develop",
            "development",
            "devel",
            "test",
            "tests",
            "testing",
            "lint",
            "ci",
            "debug",
            "build",
            "builder",
        ];
        let name =
            self.output.and_then(|output| self.stages[output].stage.name.as_deref()).unwrap_or_default();
        !name.split(['-', '_', '.']).any(|part| OTHER.contains(&part))
    }
}

impl StageModel<'_> {
    /// Returns what an instruction takes from other stages; they are kept in the order of instructions.
    pub(super) fn uses_of(&self, step: usize) -> &[StageUse] {
        let start = self.uses.partition_point(|used| used.step < step);
        let end = self.uses.partition_point(|used| used.step <= step);
        &self.uses[start..end]
    }
}

impl Step<'_> {
    /// Returns the mounts of a RUN.
    pub(super) fn mounts(&self) -> &[Mount] {
        match &self.instruction.kind {
            Kind::Run(run) => &run.mounts,
            _ => &[],
        }
    }

    /// Returns the place of a program that a RUN calls, or the whole instruction.
    pub(super) fn command_span(&self, source: &str, command: &Command) -> Span {
        let whole = self.instruction.span;
        let text = whole.of(source);
        let Some(program) = command.words.first() else { return whole };
        let nth = self
            .commands
            .iter()
            .take_while(|other| !std::ptr::eq(*other, command))
            .filter(|other| other.words.first() == Some(program))
            .count();
        let boundary =
            |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')));
        let mut found = text.match_indices(program.as_str()).filter(|(at, _)| {
            boundary(text[..*at].chars().next_back()) && boundary(text[at + program.len()..].chars().next())
        });
        let Some((at, _)) = found.nth(nth) else { return whole };
        let mut end = at + program.len();
        if let Some(second) = command.words.get(1)
            && text[end..].starts_with(' ')
            && text[end + 1..].starts_with(second.as_str())
        {
            end += 1 + second.len();
        }
        Span::new(whole.start + at, whole.start + end)
    }
}

/// Returns the place of a part of a word; of all of it where the text was put together from several lines.
pub(super) fn part(word: &Word, range: std::ops::Range<usize>, source: &str) -> Span {
    if word.span.of(source) == word.text {
        Span::new(word.span.start + range.start, word.span.start + range.end)
    } else {
        word.span
    }
}
