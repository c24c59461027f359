//! What must hold for any bytes whatsoever: plain functions, so that libFuzzer and a loop on stable can both drive them.

#![allow(missing_docs, dead_code, unreachable_pub)] // included as a module by whoever drives it

use slipway_dockerfile::{
    ast::{Copy, From, Heredoc, Instruction, Kind, Mount, Run, Word},
    parse,
    render::Renderer,
    span::Span,
    tree::Tree,
};

/// More problems than this are not rendered: each costs time in proportion to its line.
const RENDERED: usize = 8;

/// Parsing ends, its spans are sound, and the typed tree and the generic one tell the same.
pub fn parses(data: &[u8]) {
    let parsed = parse(data);
    let source = &parsed.source;
    assert!(
        !source.starts_with('\u{feff}') || data.starts_with(b"\xEF\xBB\xBF\xEF\xBB\xBF"),
        "the byte order mark stays"
    );
    for diagnostic in &parsed.diagnostics {
        sound(source, diagnostic.span);
        diagnostic.labels.iter().for_each(|label| sound(source, label.span));
        assert!(diagnostic.help.is_some(), "`{}` does not say what to do", diagnostic.code);
        assert!(!diagnostic.message.ends_with('.'), "{}", diagnostic.message);
    }
    let mut count = parsed.file.global_args.len();
    let mut end = 0;
    parsed.file.global_args.iter().for_each(|arg| instruction(source, arg));
    for stage in &parsed.file.stages {
        count += 1 + stage.instructions.len();
        from(source, &stage.from);
        assert!(stage.span.start >= end, "stages overlap");
        end = stage.span.start;
        for found in &stage.instructions {
            assert!(found.span.start >= end, "instructions stand in order");
            end = found.span.end;
            instruction(source, found);
        }
        assert!(end <= stage.span.end);
    }
    if parsed.is_ok() {
        assert!(!parsed.file.stages.is_empty(), "a good file builds something");
        let nodes = Tree::read(data).map(|tree| tree.nodes.len());
        assert_eq!(nodes, Ok(count), "both parsers find the same instructions");
    }
}

/// Rendering ends, and no control character of the file reaches the terminal.
pub fn renders(data: &[u8]) {
    let parsed = parse(data);
    let renderer = Renderer::new("Dockerfile", &parsed.source).width(80);
    for diagnostic in parsed.diagnostics.iter().take(RENDERED) {
        let text = renderer.render(diagnostic);
        assert!(text.ends_with('\n'));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        // Labels stand behind their carets and may be wider; characters without width do not count.
        let excerpt = text.lines().skip(2).filter(|line| !line.contains("= help:"));
        let widest =
            excerpt.map(|line| line.chars().filter(|c| c.is_ascii() || *c == '\u{2026}').count()).max();
        assert!(!diagnostic.labels.is_empty() || widest.unwrap_or(0) <= 80, "{text}");
    }
}

fn sound(source: &str, span: Span) {
    assert!(span.start <= span.end && span.end <= source.len(), "{span:?} of {}", source.len());
    assert!(
        source.is_char_boundary(span.start) && source.is_char_boundary(span.end),
        "{span:?} cuts a character"
    );
}

fn word(source: &str, word: &Word) {
    sound(source, word.span);
    assert!(word.text.len() <= word.span.end - word.span.start, "{word:?} holds more than its span");
}

fn words<'w>(source: &str, all: impl IntoIterator<Item = &'w Word>) {
    all.into_iter().for_each(|one| word(source, one));
}

fn from(source: &str, from: &From) {
    sound(source, from.span);
    words(source, [&from.keyword, &from.image]);
    words(source, from.comments.iter().chain(&from.platform).chain(&from.as_keyword).chain(&from.alias));
}

fn instruction(source: &str, instruction: &Instruction) {
    sound(source, instruction.span);
    word(source, &instruction.keyword);
    words(source, &instruction.comments);
    match &instruction.kind {
        Kind::Run(found) => run(source, found),
        Kind::Copy(found) | Kind::Add(found) => copy(source, found),
        Kind::Env(pairs) | Kind::Label(pairs) => {
            for pair in pairs {
                words(source, [&pair.key, &pair.value]);
            }
        }
        Kind::Arg(args) => {
            for arg in args {
                words(source, [&arg.name].into_iter().chain(&arg.default));
            }
        }
        Kind::Workdir(found) | Kind::User(found) | Kind::StopSignal(found) | Kind::Maintainer(found) => {
            word(source, found);
        }
        Kind::Volume(found) | Kind::Expose(found) => words(source, found),
        Kind::Onbuild { instruction: inner, .. } => self::instruction(source, inner),
        Kind::Cmd(_) | Kind::Entrypoint(_) | Kind::Shell(_) | Kind::Healthcheck(_) => {}
    }
}

fn run(source: &str, run: &Run) {
    words(source, run.network.iter().chain(&run.security).chain(&run.devices));
    run.mounts.iter().for_each(|found| mount(source, found));
    run.heredocs.iter().for_each(|found| heredoc(source, found));
}

fn copy(source: &str, copy: &Copy) {
    words(source, copy.sources.iter().chain([&copy.dest]).chain(&copy.from).chain(&copy.chown));
    words(source, copy.chmod.iter().chain(&copy.exclude).chain(&copy.checksum));
    copy.heredocs.iter().for_each(|found| heredoc(source, found));
}

fn mount(source: &str, mount: &Mount) {
    sound(source, mount.span);
    for field in &mount.fields {
        words(source, [&field.key].into_iter().chain(&field.value));
    }
}

fn heredoc(source: &str, heredoc: &Heredoc) {
    sound(source, heredoc.span);
    sound(source, heredoc.body_span);
    assert!(heredoc.body.len() <= heredoc.body_span.end - heredoc.body_span.start || heredoc.body.is_empty());
}
