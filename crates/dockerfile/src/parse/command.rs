//! Commands: a JSON array or a string for the shell.

use super::{
    Cx,
    args::{json_failure, missing},
};
use crate::{
    ast::{Command, Kind},
    diagnostic::Diagnostic,
    json,
    keyword::Keyword,
    text::View,
    words::Head,
};

/// Reads `CMD` or `ENTRYPOINT`. Both may be empty.
pub(super) fn read(cx: &mut Cx<'_>, keyword: Keyword, head: &Head<'_>) -> Option<Command> {
    cx.flags(keyword, head, &[]);
    command(cx, head.rest)
}

/// Reads a command in either form.
pub(super) fn command(cx: &mut Cx<'_>, rest: View<'_>) -> Option<Command> {
    match json::strings(rest.text()) {
        Ok(elements) => Some(Command::Exec(elements.into_iter().map(|element| element.text).collect())),
        Err(failure) => json_failure(cx, rest, failure).then(|| Command::Shell(rest.text().to_owned())),
    }
}

/// Reads `SHELL`, which knows only JSON.
pub(super) fn shell(cx: &mut Cx<'_>, head: &Head<'_>) -> Option<Kind> {
    cx.flags(Keyword::Shell, head, &[]);
    let help = "write `SHELL [\"/bin/bash\", \"-c\"]`";
    if head.rest.is_empty() {
        missing(cx, Keyword::Shell, head, "its command", help);
        return None;
    }
    match json::strings(head.rest.text()) {
        Ok(elements) if elements.is_empty() => missing(cx, Keyword::Shell, head, "its command", help),
        Ok(elements) => return Some(Kind::Shell(elements.into_iter().map(|element| element.text).collect())),
        Err(json::Failure::NotAString(start, end)) => {
            json_failure(cx, head.rest, json::Failure::NotAString(start, end));
        }
        Err(_) => cx.report(
            Diagnostic::error("shell-not-json", head.rest.span(), "SHELL needs a JSON array of strings")
                .help(help),
        ),
    }
    None
}
