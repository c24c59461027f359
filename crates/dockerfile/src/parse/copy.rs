//! `COPY` and `ADD`.

use super::{
    Cx,
    args::{list, missing},
};
use crate::{
    ast::{Copy, Heredoc, Word},
    chmod,
    diagnostic::Diagnostic,
    flags::{Arity, Flag, Flags, Known},
    heredoc,
    keyword::Keyword,
    suggest::shown,
    words::Head,
};

const COPY_FLAGS: Known = &[
    ("from", Arity::Text),
    ("chown", Arity::Text),
    ("chmod", Arity::Text),
    ("link", Arity::Bool),
    ("parents", Arity::Bool),
    ("exclude", Arity::List),
];

const ADD_FLAGS: Known = &[
    ("chown", Arity::Text),
    ("chmod", Arity::Text),
    ("link", Arity::Bool),
    ("exclude", Arity::List),
    ("checksum", Arity::Text),
    ("keep-git-dir", Arity::Bool),
    ("unpack", Arity::Bool),
];

/// Reads a `COPY`.
pub(super) fn copy(cx: &mut Cx<'_>, head: &Head<'_>) -> Option<Copy> {
    let flags = cx.flags(Keyword::Copy, head, COPY_FLAGS);
    let shared = shared(cx, Keyword::Copy, head, &flags)?;
    Some(Copy { from: flags.text("from"), parents: flags.bool("parents").unwrap_or(false), ..shared })
}

/// Reads an `ADD`.
pub(super) fn add(cx: &mut Cx<'_>, head: &Head<'_>) -> Option<Copy> {
    let flags = cx.flags(Keyword::Add, head, ADD_FLAGS);
    let shared = shared(cx, Keyword::Add, head, &flags)?;
    Some(Copy {
        checksum: flags.text("checksum"),
        keep_git_dir: flags.bool("keep-git-dir"),
        unpack: flags.bool("unpack"),
        ..shared
    })
}

/// Reads what both have in common.
fn shared(cx: &mut Cx<'_>, keyword: Keyword, head: &Head<'_>, flags: &Flags<'_>) -> Option<Copy> {
    let mut words = list(cx, head.rest)?;
    let dest = words.pop();
    let Some(dest) = dest.filter(|_| !words.is_empty()) else {
        let help = format!("write `{} <source>... <destination>`", keyword.name());
        let what = if words.is_empty() && head.rest.is_empty() {
            "a source and a destination"
        } else {
            "a destination"
        };
        missing(cx, keyword, head, what, &help);
        return None;
    };
    if matches!(heredoc::parse(&dest.text), Ok(Some(_))) {
        cx.report(
            Diagnostic::error("heredoc-destination", dest.span, "a here-document cannot be the destination")
                .help(format!("write the destination last: `{} <<EOF /path`", keyword.name())),
        );
        return None;
    }
    let mode = flags.text("chmod");
    if let Some(mode) = &mode
        && !mode.text.contains('$')
        && !chmod::is_valid(&mode.text)
    {
        cx.report(
            Diagnostic::error("invalid-mode", mode.span, format!("`{}` is no file mode", shown(&mode.text)))
                .help("write an octal number from 0 to 07777, or a symbolic mode such as `u=rwX,go=rX`"),
        );
    }
    let (sources, heredocs) = split_sources(cx, words);
    Some(Copy {
        sources,
        heredocs,
        dest,
        chown: flags.text("chown"),
        chmod: mode,
        link: flags.bool("link").unwrap_or(false),
        exclude: flags.all("exclude").map(Flag::word).collect(),
        ..Copy::default()
    })
}

/// Tells inline sources from paths.
fn split_sources(cx: &mut Cx<'_>, words: Vec<Word>) -> (Vec<Word>, Vec<Heredoc>) {
    let (mut sources, mut heredocs, mut used) = (vec![], vec![], vec![]);
    for word in words {
        let Ok(Some(redirect)) = heredoc::parse(&word.text) else {
            sources.push(word);
            continue;
        };
        // Of several bodies under one name the last one counts, for each of its words.
        let found = cx.bodies.found.iter().rev().find(|body| body.redirect.name == redirect.name);
        let mut heredoc = found.map_or_else(
            || Heredoc {
                name: redirect.name.clone(),
                body: String::new(),
                expand: redirect.expand,
                strip_tabs: redirect.strip_tabs,
                fd: redirect.fd,
                span: word.span,
                body_span: word.span,
            },
            super::Body::heredoc,
        );
        heredoc.span = word.span;
        heredoc.expand = redirect.expand;
        used.push(redirect.name);
        heredocs.push(heredoc);
    }
    for body in cx.bodies.found.iter().filter(|body| !used.contains(&body.redirect.name)) {
        let diagnostic = Diagnostic::warning(
            "heredoc-unused",
            body.span,
            format!("the here-document `{}` is no source", shown(&body.redirect.name)),
        );
        let help = format!("write `<<{}` as one word", shown(&body.redirect.name));
        cx.diagnostics.push(diagnostic.help(help));
    }
    (sources, heredocs)
}
