//! What is allowed but likely not wanted: BuildKit's checks under its ids, and Slipway's own.
//!
//! [`check`] looks at a parsed file and at what the caller knows beside it; it reads no files and asks no registry. Problems that keep a file from
//! being read at all are the parser's and come in [`Parsed::diagnostics`]. Each rule has a page in `docs/checks`.
//!
//! Differences from BuildKit, each because a finding should be worth reading:
//! - where the base image's environment is not known, `UndefinedVar` reports only what cannot come from there (BuildKit pulls the image to know);
//! - `UndefinedVar` also looks at EXPOSE, which BuildKit expands without a check;
//! - names in `# check=skip=` that are no rule are reported, not passed over;
//! - `error=true` makes errors of BuildKit's rules only, so that what builds there builds here;
//! - with a target, only the stages that it needs are looked at, also for rules about style.

mod base;
mod casing;
mod config;
mod context;
mod form;
mod input;
mod layers;
mod model;
mod packages;
mod platform;
mod ports;
mod reference;
mod report;
mod rules;
mod shell;
mod stages;
mod user;
mod variables;

use crate::{Parsed, diagnostic::Diagnostic, span::Span, suggest::nearest};

pub use config::{Config, ConfigError};
pub use input::{BaseImage, CheckInput, Ignore};
pub use platform::Platform;
pub use rules::{Id, Origin, RULES, Rule};

use self::{model::Model, report::Report};

/// A family of rules.
type Family = fn(&Model<'_>, &mut Report);

const FAMILIES: [Family; 10] = [
    casing::check,
    stages::check,
    base::check,
    variables::check,
    form::check,
    ports::check,
    context::check,
    packages::check,
    layers::check,
    user::check,
];

/// Checks a file. The findings are in the order of the file; errors among them mean that it cannot be built.
pub fn check(parsed: &Parsed, input: &CheckInput<'_>) -> Vec<Diagnostic> {
    let mut config = input.config.clone();
    let mut mistakes = vec![];
    read_directive(parsed, input, &mut config, &mut mistakes);
    let mut report = Report::new(config);
    let model = Model::new(parsed, input);
    for mistake in mistakes.into_iter().chain(model.errors.iter().cloned()) {
        report.push(&[], mistake);
    }
    comments(parsed, &mut report);
    for family in FAMILIES {
        family(&model, &mut report);
    }
    let mut findings = report.finish();
    if input.target.is_some() && model.output.is_some() {
        let idle = |span: Span| {
            model
                .stages
                .iter()
                .zip(&model.needed)
                .any(|(stage, needed)| !needed && contains(stage.stage.span, span))
        };
        findings.retain(|finding| !idle(finding.span));
    }
    findings
}

fn contains(outer: Span, inner: Span) -> bool {
    outer.start <= inner.start && inner.start < outer.end
}

/// The build argument that takes the place of `# check=`, as in BuildKit.
const CHECK_ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// Reads `# check=` at the top of the file, or the argument that replaces it.
fn read_directive(
    parsed: &Parsed,
    input: &CheckInput<'_>,
    config: &mut Config,
    mistakes: &mut Vec<Diagnostic>,
) {
    let directive = parsed.file.directives.check.as_ref();
    let span = directive.map_or(Span::default(), |word| word.span);
    let Some(value) = input.build_arg(CHECK_ARGUMENT).or(directive.map(|word| word.text.as_str())) else {
        return;
    };
    match Config::parse(value) {
        Ok(own) => {
            mistakes.extend(own.unknown_names().map(|name| unknown_check(name, span)));
            config.merge(&own);
        }
        Err(error) => mistakes.push(invalid_option(&error, span)),
    }
}

/// Looks for mistakes in `# check=` above instructions.
fn comments(parsed: &Parsed, report: &mut Report) {
    let file = &parsed.file;
    let instructions =
        file.global_args.iter().chain(file.stages.iter().flat_map(|stage| &stage.instructions));
    let froms = file.stages.iter().map(|stage| &stage.from.comments);
    for comments in instructions.map(|instruction| &instruction.comments).chain(froms) {
        match Config::from_comments(comments) {
            Some((Ok(config), word)) => {
                for name in config.unknown_names() {
                    report.push(comments, unknown_check(name, word.span));
                }
            }
            Some((Err(error), word)) => report.push(comments, invalid_option(&error, word.span)),
            None => {}
        }
    }
}

fn unknown_check(name: &str, span: Span) -> Diagnostic {
    let finding = Id::UnknownCheck.finding(span, format!("there is no rule `{name}`"));
    match nearest(name, RULES.iter().map(|rule| rule.name)) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None => finding.help("`slipway check --rules` lists them"),
    }
}

fn invalid_option(error: &ConfigError, span: Span) -> Diagnostic {
    Diagnostic::error("invalid-check-option", span, error.to_string())
        .help("write `# check=skip=Rule,Rule;error=true;experimental=Rule`")
}
