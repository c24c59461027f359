//! What a name in `FROM`, `COPY --from` or `--mount=from` means.

use std::collections::HashMap;

use slipway_dockerfile::ast::{Dockerfile, Word};
use slipway_dockerfile::diagnostic::{Diagnostic, Severity};
use slipway_dockerfile::span::Span;
use slipway_oci::Platform;
use slipway_oci::reference::Reference;

use super::{Origin, Target};
use crate::request::{NamedContext, Request};
use crate::suggest::nearest;

/// How many misspelt names get a suggestion; each costs a comparison with every stage.
const MAX_SUGGESTIONS: usize = 50;

/// The names of a file's stages.
pub(super) struct Names<'a> {
    file: &'a Dockerfile,
    request: &'a Request,
    /// The last stage of each name: what `COPY --from` and targets mean.
    last: HashMap<&'a str, usize>,
    suggestions: usize,
}

impl<'a> Names<'a> {
    pub(super) fn new(file: &'a Dockerfile, request: &'a Request) -> Self {
        let last = file
            .stages
            .iter()
            .filter_map(|stage| Some((stage.name.as_deref()?, stage.index)))
            .collect::<HashMap<_, _>>();
        Self { file, request, last, suggestions: 0 }
    }

    /// Finds the targets, or says which there are.
    pub(super) fn targets(&self) -> Result<Vec<Target>, Vec<Diagnostic>> {
        let Some(last) = self.file.stages.last() else {
            let message = "the file has no stage";
            let help = "start a stage with `FROM <image>`";
            return Err(vec![Diagnostic::error("no-stage", Span::default(), message).help(help)]);
        };
        if self.request.targets.is_empty() {
            let name = last.name.clone().unwrap_or_else(|| last.index.to_string());
            return Ok(vec![Target { name, stage: last.index }]);
        }
        let mut found = vec![];
        let mut problems = vec![];
        for name in &self.request.targets {
            match self.target(name) {
                Some(stage) => found.push(Target { name: name.clone(), stage }),
                None => problems.push(self.unknown_target(name, last.from.span)),
            }
        }
        if problems.is_empty() { Ok(found) } else { Err(problems) }
    }

    fn target(&self, name: &str) -> Option<usize> {
        let by_number = || name.parse::<usize>().ok().filter(|number| *number < self.file.stages.len());
        self.last.get(name.to_lowercase().as_str()).copied().or_else(by_number)
    }

    fn unknown_target(&self, name: &str, span: Span) -> Diagnostic {
        let problem =
            Diagnostic::error("unknown-target", span, format!("there is no stage `{name}` to build"));
        let names: Vec<&str> = self.file.stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
        match nearest(name, names.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None if names.is_empty() => problem
                .help(format!("no stage has a name; use a number from 0 to {}", self.file.stages.len() - 1)),
            None => problem.help(format!("the stages are {}", list(&names))),
        }
    }

    /// Finds what `FROM name` means, where `earlier` are the stages above it.
    pub(super) fn base(
        &self,
        name: &str,
        written: &Word,
        earlier: &HashMap<&str, usize>,
        platform: &Platform,
    ) -> Result<Origin, Diagnostic> {
        if name.is_empty() {
            let message = format!("`{}` is empty, so there is nothing to start from", written.text);
            return Err(Diagnostic::error("empty-base", written.span, message)
                .help("give the argument a default before the first FROM, or pass it with --build-arg"));
        }
        if let Some(stage) = earlier.get(name) {
            return Ok(Origin::Stage(*stage));
        }
        if name == "scratch" {
            return Ok(Origin::Scratch);
        }
        self.image(name, written, platform)
    }

    /// Finds what `COPY --from=name` means.
    pub(super) fn copy_source(
        &mut self,
        word: &Word,
        platform: &Platform,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Origin, Diagnostic> {
        if let Ok(number) = word.text.parse::<i64>() {
            return match usize::try_from(number) {
                Ok(stage) if stage < self.file.stages.len() => Ok(Origin::Stage(stage)),
                _ => {
                    let count = self.file.stages.len();
                    let message = format!("there is no stage number {number}");
                    Err(Diagnostic::error("unknown-stage", word.span, message).help(format!(
                        "the file has {count} stages, counted from 0; better, name the stage with AS"
                    )))
                }
            };
        }
        self.named_source(word, platform, warnings)
    }

    /// Finds what `--mount=from=name` means; numbers are not stages there.
    pub(super) fn named_source(
        &mut self,
        word: &Word,
        platform: &Platform,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Origin, Diagnostic> {
        let lower = word.text.to_lowercase();
        if let Some(stage) = self.last.get(lower.as_str()) {
            return Ok(Origin::Stage(*stage));
        }
        if word.text == "scratch" {
            return Ok(Origin::Scratch);
        }
        if !word.text.is_empty() && word.text.bytes().all(|b| b.is_ascii_digit()) {
            let message = format!("`from={}` in a mount takes a stage's name, not its number", word.text);
            return Err(Diagnostic::error("unknown-stage", word.span, message).help("name the stage with AS"));
        }
        let origin = self.image(&word.text, word, platform)?;
        if matches!(origin, Origin::Image(_)) && self.suggestions < MAX_SUGGESTIONS {
            self.suggestions += 1;
            if let Some(near) = nearest(&word.text, self.last.keys().copied()) {
                let message = format!("`{}` is no stage, so it is taken as an image", word.text);
                let mut warning = Diagnostic::warning("stage-or-image", word.span, message);
                warning.severity = Severity::Info;
                warnings.push(warning.help(format!("did you mean the stage `{near}`?")));
            }
        }
        Ok(origin)
    }

    /// Returns the context that stands in for a stage, if there is one.
    pub(super) fn replacement(&self, stage: &str, platform: &Platform) -> Option<Result<Origin, Diagnostic>> {
        let context = self.request.context(stage, platform)?;
        Some(origin_of(stage, context, &Word::default()))
    }

    fn image(&self, name: &str, written: &Word, platform: &Platform) -> Result<Origin, Diagnostic> {
        let parsed = name.parse::<Reference>();
        let familiar = parsed.as_ref().map(|reference| {
            let short = reference.familiar();
            short.strip_suffix(":latest").map(ToOwned::to_owned).unwrap_or(short)
        });
        let named = [Some(name), familiar.as_deref().ok()].into_iter().flatten();
        for candidate in named {
            if let Some(context) = self.request.context(candidate, platform) {
                return origin_of(candidate, context, written);
            }
        }
        match parsed {
            Ok(reference) => Ok(Origin::Image(reference.to_string())),
            Err(error) => Err(self.bad_reference(name, written, &error.reason)),
        }
    }

    fn bad_reference(&self, name: &str, written: &Word, reason: &str) -> Diagnostic {
        let shown =
            if written.text == name { format!("`{name}`") } else { format!("`{}` (`{name}`)", written.text) };
        let message = format!("{shown} is neither a stage above nor an image reference: {reason}");
        let problem = Diagnostic::error("bad-reference", written.span, message);
        let lower = name.to_lowercase();
        if self.last.contains_key(lower.as_str()) {
            return problem.help(format!("stage names are lower case in FROM: write `{lower}`"));
        }
        match nearest(name, self.last.keys().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        }
    }
}

fn origin_of(name: &str, context: &NamedContext, written: &Word) -> Result<Origin, Diagnostic> {
    match context {
        NamedContext::Tree => Ok(Origin::Context(name.to_owned())),
        NamedContext::Image(image) if image == "scratch" => Ok(Origin::Scratch),
        NamedContext::Image(image) => match image.parse::<Reference>() {
            Ok(reference) => Ok(Origin::Image(reference.to_string())),
            Err(error) => {
                let message = format!("the build context `{name}` stands for `{image}`: {}", error.reason);
                Err(Diagnostic::error("bad-reference", written.span, message))
            }
        },
    }
}

/// Returns up to eight names in backquotes.
fn list(names: &[&str]) -> String {
    let mut out: Vec<String> = names.iter().take(8).map(|name| format!("`{name}`")).collect();
    if names.len() > 8 {
        out.push(format!("and {} more", names.len() - 8));
    }
    out.join(", ")
}
