//! Instructions whose arguments are words or one plain string.

use super::Cx;
use crate::{
    ast::{Kind, Word},
    diagnostic::Diagnostic,
    json::{self, Failure},
    keyword::Keyword,
    signal,
    suggest::shown,
    text::View,
    words::{Head, split_words},
};

/// Reads the rest of the line as one argument: `WORKDIR`, `USER`, `MAINTAINER`.
pub(super) fn whole(cx: &mut Cx<'_>, keyword: Keyword, head: &Head<'_>) -> Option<Word> {
    cx.flags(keyword, head, &[]);
    argument(cx, keyword, head)
}

fn argument(cx: &mut Cx<'_>, keyword: Keyword, head: &Head<'_>) -> Option<Word> {
    if head.rest.is_empty() {
        let help = match keyword {
            Keyword::Workdir => "write `WORKDIR /path`",
            Keyword::User => "write `USER name` or `USER 1000:1000`",
            Keyword::StopSignal => "write `STOPSIGNAL SIGTERM`",
            _ => "write it after the keyword",
        };
        missing(cx, keyword, head, "its argument", help);
        return None;
    }
    Some(head.rest.word())
}

/// Reports that an instruction lacks an argument.
pub(super) fn missing(cx: &mut Cx<'_>, keyword: Keyword, head: &Head<'_>, what: &str, help: &str) {
    let message = format!("{} lacks {what}", keyword.name());
    cx.report(Diagnostic::error("missing-argument", head.keyword.span(), message).help(help));
}

/// Reads `STOPSIGNAL`; a signal with a variable is checked when it is known.
pub(super) fn stop_signal(cx: &mut Cx<'_>, head: &Head<'_>) -> Option<Kind> {
    cx.ignore_flags(Keyword::StopSignal, head);
    let word = argument(cx, Keyword::StopSignal, head)?;
    if !word.text.contains(['$', '\'', '"', cx.escape]) && !signal::is_known(&word.text) {
        let diagnostic = Diagnostic::error(
            "unknown-signal",
            word.span,
            format!("there is no signal `{}`", shown(&word.text)),
        );
        cx.report(match signal::nearest_name(&word.text) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("write a name such as `SIGTERM`, or a number"),
        });
        return None;
    }
    Some(Kind::StopSignal(word))
}

/// Reads `VOLUME`.
pub(super) fn volume(cx: &mut Cx<'_>, head: &Head<'_>) -> Option<Kind> {
    cx.flags(Keyword::Volume, head, &[]);
    let words = list(cx, head.rest)?;
    if words.is_empty() {
        missing(cx, Keyword::Volume, head, "a path", "write `VOLUME /data`");
        return None;
    }
    let mut volumes = vec![];
    for word in words {
        let trimmed = word.text.trim();
        if trimmed.is_empty() {
            cx.report(
                Diagnostic::error("empty-volume", word.span, "a volume's path is empty").help("remove it"),
            );
        } else if trimmed.len() == word.text.len() {
            volumes.push(word);
        } else {
            let text = trimmed.to_owned();
            volumes.push(Word { text, span: word.span });
        }
    }
    Some(Kind::Volume(volumes))
}

/// Reads `EXPOSE`, in the order of the file.
pub(super) fn expose(cx: &mut Cx<'_>, head: &Head<'_>) -> Option<Kind> {
    cx.flags(Keyword::Expose, head, &[]);
    let ports: Vec<Word> = split_words(head.rest).into_iter().map(View::word).collect();
    if ports.is_empty() {
        missing(cx, Keyword::Expose, head, "a port", "write `EXPOSE 8080` or `EXPOSE 53/udp`");
        return None;
    }
    Some(Kind::Expose(ports))
}

/// Reads a JSON array or words: the arguments of `ADD`, `COPY` and `VOLUME`.
pub(super) fn list(cx: &mut Cx<'_>, rest: View<'_>) -> Option<Vec<Word>> {
    match json::strings(rest.text()) {
        Ok(elements) => Some(
            elements
                .into_iter()
                .map(|element| Word {
                    text: element.text,
                    span: rest.part(element.start, element.end).span(),
                })
                .collect(),
        ),
        Err(failure) => {
            if !json_failure(cx, rest, failure) {
                return None;
            }
            Some(split_words(rest).into_iter().map(View::word).collect())
        }
    }
}

/// Reports what is wrong with JSON; returns whether the text can still be read without it.
pub(super) fn json_failure(cx: &mut Cx<'_>, rest: View<'_>, failure: Failure) -> bool {
    match failure {
        Failure::NotAnArray => true,
        Failure::NotAString(start, end) => {
            let span = rest.part(start, end).span();
            cx.report(
                Diagnostic::error("json-not-strings", span, "a JSON array can hold only strings here")
                    .help("put it in double quotes"),
            );
            false
        }
        Failure::Malformed(at) => {
            let text = rest.text();
            let inside = text[1..].trim_start();
            let meant = text.starts_with("[\"")
                || text.starts_with("['")
                || (text.ends_with(']') && text.contains(','));
            if meant && inside.starts_with(['"', '\'']) {
                let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
                let help = if inside.starts_with('\'') {
                    "JSON strings stand in double quotes"
                } else {
                    "mend the JSON, or remove the brackets if words are meant"
                };
                cx.report(
                    Diagnostic::warning(
                        "invalid-json",
                        rest.part(at, end).span(),
                        "this is no valid JSON array, so it is read as plain text",
                    )
                    .help(help),
                );
            }
            true
        }
    }
}
