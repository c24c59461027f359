//! `FROM`.

use super::{Cx, args::missing};
use crate::{
    ast::{From, Word},
    diagnostic::Diagnostic,
    flags::{Arity, Known},
    keyword::Keyword,
    suggest::shown,
    text::View,
    words::{Head, split_words},
};

const FLAGS: Known = &[("platform", Arity::Text)];

/// Reads a `FROM`. Always opens a stage: what follows has to belong somewhere.
pub(super) fn read(cx: &mut Cx<'_>, head: &Head<'_>, line: View<'_>, comments: Vec<Word>) -> From {
    let platform = cx.flags(Keyword::From, head, FLAGS).text("platform");
    let words = split_words(head.rest);
    let mut from =
        From { keyword: head.keyword.word(), platform, comments, span: line.span(), ..From::default() };
    let Some(image) = words.first() else {
        missing(
            cx,
            Keyword::From,
            head,
            "an image",
            "write `FROM <image>`, or `FROM scratch` for an empty base",
        );
        from.image.span = head.rest.span();
        return from;
    };
    from.image = image.word();
    match words[1..] {
        [] => {}
        [keyword, name] if keyword.text().eq_ignore_ascii_case("as") => {
            from.as_keyword = Some(keyword.word());
            if is_stage_name(&name.text().to_lowercase()) {
                from.alias = Some(name.word());
            } else {
                let message = format!("`{}` cannot be the name of a stage", shown(name.text()));
                cx.report(
                    Diagnostic::error("invalid-stage-name", name.span(), message).help(
                        "a name starts with a letter and goes on with letters, digits, `-`, `_` and `.`",
                    ),
                );
            }
        }
        [keyword] if keyword.text().eq_ignore_ascii_case("as") => {
            cx.report(
                Diagnostic::error(
                    "from-arguments",
                    keyword.span(),
                    "the name of the stage is missing after AS",
                )
                .help("write `FROM <image> AS <name>`"),
            );
        }
        _ => {
            let span = words[1].span().to(words[words.len() - 1].span());
            cx.report(
                Diagnostic::error("from-arguments", span, "FROM takes an image, and a name after AS")
                    .help("write `FROM <image>` or `FROM <image> AS <name>`"),
            );
        }
    }
    from
}

/// Tells whether a lowercased text can name a stage.
fn is_stage_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
}
