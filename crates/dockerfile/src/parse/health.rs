//! `HEALTHCHECK`.

use super::{Cx, args::missing, command::command};
use crate::{
    ast::{Command, Healthcheck, Kind, Word},
    diagnostic::Diagnostic,
    duration,
    flags::{Arity, Flags, Known},
    keyword::Keyword,
    suggest::{nearest, shown},
    words::Head,
};

const FLAGS: Known = &[
    ("interval", Arity::Text),
    ("timeout", Arity::Text),
    ("start-period", Arity::Text),
    ("start-interval", Arity::Text),
    ("retries", Arity::Text),
];

/// Shorter intervals than this are refused; zero means the default.
const SHORTEST: i64 = 1_000_000;

/// Reads a `HEALTHCHECK`.
pub(super) fn read(cx: &mut Cx<'_>, head: &Head<'_>) -> Option<Kind> {
    let text = head.rest.text();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, rest) = (head.rest.part(0, end), head.rest.after(end).trim());
    if word.is_empty() {
        cx.flags(Keyword::Healthcheck, head, FLAGS);
        missing(
            cx,
            Keyword::Healthcheck,
            head,
            "a command",
            "write `HEALTHCHECK CMD <command>` or `HEALTHCHECK NONE`",
        );
        return None;
    }
    if word.text().eq_ignore_ascii_case("none") {
        cx.ignore_flags(Keyword::Healthcheck, head);
        if !rest.is_empty() {
            cx.report(
                Diagnostic::error("too-many-arguments", rest.span(), "HEALTHCHECK NONE takes no arguments")
                    .help("remove them, or write `HEALTHCHECK CMD`"),
            );
            return None;
        }
        return Some(Kind::Healthcheck(Healthcheck::None));
    }
    let flags = cx.flags(Keyword::Healthcheck, head, FLAGS);
    let interval = interval(cx, &flags, "interval");
    let timeout = self::interval(cx, &flags, "timeout");
    let start_period = self::interval(cx, &flags, "start-period");
    let start_interval = self::interval(cx, &flags, "start-interval");
    let retries = flags.text("retries").and_then(|word| retries(cx, &word));
    if !word.text().eq_ignore_ascii_case("cmd") {
        let message = format!("there is no health check of type `{}`", shown(word.text()));
        let help = match nearest(word.text(), ["CMD", "NONE"]) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write `HEALTHCHECK CMD <command>` or `HEALTHCHECK NONE`".to_owned(),
        };
        cx.report(Diagnostic::error("unknown-health-type", word.span(), message).help(help));
        return None;
    }
    let command = command(cx, rest)?;
    let empty = match &command {
        Command::Exec(words) => words.is_empty(),
        Command::Shell(text) => text.is_empty(),
    };
    if empty {
        missing(cx, Keyword::Healthcheck, head, "a command after CMD", "write `HEALTHCHECK CMD <command>`");
        return None;
    }
    Some(Kind::Healthcheck(Healthcheck::Cmd {
        command,
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    }))
}

fn interval(cx: &mut Cx<'_>, flags: &Flags<'_>, name: &str) -> Option<u64> {
    let word = flags.text(name)?;
    let help = "write a duration such as `30s`, `1m30s` or `500ms`";
    match duration::parse(&word.text) {
        Ok(nanos) if nanos == 0 || nanos >= SHORTEST => u64::try_from(nanos).ok(),
        Ok(_) => {
            let message = format!("`--{name}` cannot be shorter than 1ms");
            cx.report(Diagnostic::error("invalid-duration", word.span, message).help(help));
            None
        }
        Err(error) => {
            let message = format!("`{}` is no duration: {error}", shown(&word.text));
            cx.report(Diagnostic::error("invalid-duration", word.span, message).help(help));
            None
        }
    }
}

fn retries(cx: &mut Cx<'_>, word: &Word) -> Option<u32> {
    let number = word.text.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok());
    if number.is_none() {
        let message = format!("`{}` is no number of retries", shown(&word.text));
        cx.report(
            Diagnostic::error("invalid-retries", word.span, message).help("write a whole number, 0 or more"),
        );
    }
    number
}
