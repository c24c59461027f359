//! ENV, ARG, LABEL, and the variables that instructions use.

use crate::{
    ast::{KeyValue, Kind, Word},
    span::Span,
};

use super::{
    model::{Model, Reason},
    report::Report,
    rules::Id,
};

/// Runs the rules of this family.
pub(super) fn check(model: &Model<'_>, report: &mut Report) {
    // Arguments above the first FROM are not looked at for secrets, as in BuildKit: alone they reach no image.
    for step in model.stages.iter().flat_map(|stage| &stage.steps) {
        let comments = &step.instruction.comments;
        for undefined in &step.undefined {
            let finding = Id::UndefinedVar
                .finding(undefined.span, format!("variable `${}` is not defined here", undefined.name));
            let name = &undefined.name;
            let help = match &undefined.reason {
                Reason::DefinedBelow => "it is defined further down; move that above this".to_owned(),
                Reason::OnlyForFrom => format!("only FROM sees it; add `ARG {name}` to this stage"),
                Reason::Near(near) => format!("did you mean `${near}`?"),
                Reason::Nowhere => {
                    format!(
                        "define it with `ARG {name}` or `ENV {name}=…` above, or write `\\${name}` for the text itself"
                    )
                }
            };
            report.push(comments, finding.help(help));
        }
        match &step.instruction.kind {
            Kind::Env(pairs) => {
                legacy("ENV", pairs, step.instruction.span, comments, report);
                for pair in pairs {
                    secret("ENV", &pair.key, comments, report);
                }
            }
            Kind::Label(pairs) => legacy("LABEL", pairs, step.instruction.span, comments, report),
            Kind::Arg(args) => {
                for arg in args {
                    secret("ARG", &arg.name, comments, report);
                }
            }
            _ => {}
        }
    }
}

fn legacy(instruction: &str, pairs: &[KeyValue], span: Span, comments: &[Word], report: &mut Report) {
    for pair in pairs.iter().filter(|pair| pair.legacy) {
        let value = &pair.value.text;
        let quoted = if value.contains([' ', '\t']) && !value.starts_with(['"', '\'']) {
            format!("\"{}\"", value.replace('"', "\\\""))
        } else {
            value.clone()
        };
        let finding = Id::LegacyKeyValueFormat
            .finding(span, format!("`{instruction} key value` is the old form"))
            .help(format!("write `{instruction} {}={quoted}`", pair.key.text));
        report.push(comments, finding);
    }
}

const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
const HARMLESS: [&str; 3] = ["public", "file", "version"];

fn secret(instruction: &str, name: &Word, comments: &[Word], report: &mut Report) {
    let lower = name.text.to_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    if has(&SECRET) && !has(&HARMLESS) {
        let finding = Id::SecretsUsedInArgOrEnv
            .finding(
                name.span,
                format!(
                    "{instruction} `{}` looks like a secret, and would stay in the image's history",
                    name.text
                ),
            )
            .help("use `RUN --mount=type=secret`, which leaves nothing behind");
        report.push(comments, finding);
    }
}
