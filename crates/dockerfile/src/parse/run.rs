//! `RUN`.

use super::{Cx, command};
use crate::{
    ast::{Heredoc, Kind, Run, Word},
    csv,
    diagnostic::Diagnostic,
    flags::{Arity, Flag, Known},
    keyword::Keyword,
    mount::{self, csv_error, one_of},
    suggest::{nearest, shown},
    words::Head,
};

const FLAGS: Known =
    &[("mount", Arity::List), ("network", Arity::Text), ("security", Arity::Text), ("device", Arity::List)];

/// Reads a `RUN`.
pub(super) fn read(cx: &mut Cx<'_>, head: &Head<'_>) -> Option<Kind> {
    let flags = cx.flags(Keyword::Run, head, FLAGS);
    let mounts = flags.all("mount").map(|flag| mount::read(flag, cx.diagnostics)).collect();
    let network = flags.given("network").map(Flag::word);
    mode(cx, network.as_ref(), "network mode", &["default", "none", "host"]);
    let security = flags.given("security").map(Flag::word);
    mode(cx, security.as_ref(), "security mode", &["sandbox", "insecure"]);
    let devices = flags.all("device").map(|flag| device(cx, flag)).collect();
    let command = command::command(cx, head.rest)?;
    let heredocs = cx.bodies.found.iter().map(super::Body::heredoc).collect();
    Some(Kind::Run(Run { command, heredocs, mounts, network, security, devices }))
}

fn mode(cx: &mut Cx<'_>, word: Option<&Word>, what: &str, known: &[&'static str]) {
    let Some(word) = word else { return };
    if !known.contains(&word.text.as_str()) {
        let message = format!("there is no {what} `{}`", shown(&word.text));
        cx.report(Diagnostic::error("unknown-mode", word.span, message).help(one_of(&word.text, known)));
    }
}

/// Checks `--device=name[,required]`.
fn device(cx: &mut Cx<'_>, flag: &Flag<'_>) -> Word {
    let word = flag.word();
    match csv::fields(&word.text) {
        Ok(fields) => {
            let texts: Vec<String> = fields.into_iter().map(|field| field.text.into_owned()).collect();
            check_device(cx, &word, &texts);
        }
        Err(error) => cx.report(csv_error("--device", flag, error)),
    }
    word
}

fn check_device(cx: &mut Cx<'_>, word: &Word, fields: &[String]) {
    let mut named = false;
    for field in fields {
        let (key, value) =
            field.split_once('=').map_or((field.as_str(), None), |(key, value)| (key, Some(value)));
        let wrong = match (key.to_lowercase().as_str(), value) {
            ("required", None) => None,
            ("required", Some(value)) => {
                let is_bool =
                    matches!(value.to_ascii_lowercase().as_str(), "1" | "t" | "true" | "0" | "f" | "false");
                (!is_bool).then(|| "write `required` or `required=false`".to_owned())
            }
            ("name", Some(_)) if named => Some("give one name".to_owned()),
            ("name", Some(_)) => {
                named = true;
                None
            }
            // The first field that is no known key is the name itself, even with `=` in it.
            _ if !named => {
                named = true;
                None
            }
            (key, _) => Some(match nearest(key, ["name", "required"]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "the keys are name and required".to_owned(),
            }),
        };
        if let Some(help) = wrong {
            let message = format!("`{}` is not valid for `--device`", shown(field));
            cx.report(Diagnostic::error("invalid-device", word.span, message).help(help));
        }
    }
}

impl super::Body<'_> {
    /// Makes the node of the syntax tree.
    pub(super) fn heredoc(&self) -> Heredoc {
        let body = if self.redirect.strip_tabs { strip_tabs(self.raw) } else { self.raw.to_owned() };
        Heredoc {
            name: self.redirect.name.clone(),
            body,
            expand: self.redirect.expand,
            strip_tabs: self.redirect.strip_tabs,
            fd: self.redirect.fd,
            span: self.span,
            body_span: self.content,
        }
    }
}

fn strip_tabs(body: &str) -> String {
    body.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
}
