//! `ENV`, `LABEL` and `ARG`: names and values.

use super::{Cx, args::missing};
use crate::{
    ast::{ArgDecl, KeyValue, Kind},
    diagnostic::Diagnostic,
    keyword::Keyword,
    suggest::shown,
    words::{Head, key_value, legacy_pair, split_quoted},
};

/// Reads `ENV` or `LABEL`.
pub(super) fn read(cx: &mut Cx<'_>, keyword: Keyword, head: &Head<'_>) -> Option<Vec<KeyValue>> {
    cx.flags(keyword, head, &[]);
    let name = keyword.name();
    let words = split_quoted(head.rest, cx.escape);
    let Some(first) = words.first() else {
        missing(cx, keyword, head, "a name and a value", &format!("write `{name} name=value`"));
        return None;
    };
    if !first.text().contains('=') {
        let Some((key, value)) = legacy_pair(head.rest) else {
            let message = format!("{name} lacks a value for `{}`", shown(first.text()));
            let help = format!("write `{name} {}=value`", shown(first.text()));
            cx.report(Diagnostic::error("missing-argument", first.span(), message).help(help));
            return None;
        };
        return Some(vec![KeyValue { key: key.word(), value: value.word(), legacy: true }]);
    }
    let mut pairs = Vec::with_capacity(words.len());
    for word in words {
        match key_value(word) {
            Some((key, _)) if key.is_empty() => blank(cx, keyword, word.span()),
            Some((key, value)) => {
                pairs.push(KeyValue { key: key.word(), value: value.word(), legacy: false });
            }
            None => {
                let message = format!("`{}` has no `=`", shown(word.text()));
                cx.report(
                    Diagnostic::error("missing-equals", word.span(), message)
                        .help("write every pair as name=value, and quote values that hold spaces"),
                );
            }
        }
    }
    Some(pairs)
}

/// Reads `ARG`, where the value may be missing.
pub(super) fn arg(cx: &mut Cx<'_>, head: &Head<'_>) -> Option<Kind> {
    cx.ignore_flags(Keyword::Arg, head);
    let words = split_quoted(head.rest, cx.escape);
    if words.is_empty() {
        missing(cx, Keyword::Arg, head, "a name", "write `ARG name` or `ARG name=default`");
        return None;
    }
    let mut args = Vec::with_capacity(words.len());
    for word in words {
        match key_value(word) {
            Some((key, _)) if key.is_empty() => blank(cx, Keyword::Arg, word.span()),
            Some((key, value)) => args.push(ArgDecl { name: key.word(), default: Some(value.word()) }),
            None => args.push(ArgDecl { name: word.word(), default: None }),
        }
    }
    Some(Kind::Arg(args))
}

fn blank(cx: &mut Cx<'_>, keyword: Keyword, span: crate::span::Span) {
    let message = format!("a name of {} is blank", keyword.name());
    cx.report(Diagnostic::error("blank-name", span, message).help("write the name before `=`"));
}
