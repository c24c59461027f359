//! `ONBUILD`.

use std::fmt::Write as _;

use super::{Cx, args::missing, unknown_instruction};
use crate::{
    ast::{Instruction, Kind},
    diagnostic::Diagnostic,
    keyword::Keyword,
    span::Span,
    text::View,
    words::{Head, split_line},
};

/// Reads an `ONBUILD` and the instruction in it.
///
/// BuildKit looks at that instruction when a child is built; one that cannot be read fails every child, so it is an error
/// here.
pub(super) fn read(cx: &mut Cx<'_>, head: &Head<'_>, original: View<'_>) -> Option<Kind> {
    cx.flags(Keyword::Onbuild, head, &[]);
    if head.rest.is_empty() {
        missing(cx, Keyword::Onbuild, head, "an instruction", "write `ONBUILD RUN <command>`");
        return None;
    }
    let inner = split_line(head.rest, cx.escape);
    let Some(keyword) = Keyword::find(inner.keyword.text()) else {
        cx.report(unknown_instruction(inner.keyword.text(), inner.keyword.span()));
        return None;
    };
    if matches!(keyword, Keyword::Onbuild | Keyword::From | Keyword::Maintainer) {
        let message = format!("{} cannot stand in ONBUILD", keyword.name());
        let help = match keyword {
            Keyword::Onbuild => "remove one ONBUILD: its instruction runs in children, not in their children",
            Keyword::From => "write the FROM in the child",
            _ => "use `ONBUILD LABEL org.opencontainers.image.authors=...`",
        };
        cx.report(Diagnostic::error("onbuild-trigger", inner.keyword.span(), message).help(help));
        return None;
    }
    let kind = cx.kind(keyword, &inner, head.rest)?;
    // What the image keeps ends as the line does, spaces included.
    let after = original.text().trim_start()[head.keyword.text().len()..].trim_start();
    let mut text = after.to_owned();
    let logical = head.rest.text().to_owned();
    let mut span = head.rest.span();
    for body in &cx.bodies.found {
        let _ = write!(text, "\n{}{}", body.raw, body.redirect.name);
    }
    span = Span::new(span.start, span.end.max(cx.bodies.end));
    let keyword = inner.keyword.word();
    let instruction = Instruction { kind, keyword, comments: vec![], text: logical, span };
    Some(Kind::Onbuild { text, instruction: Box::new(instruction) })
}
