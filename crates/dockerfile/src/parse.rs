//! From bytes to the syntax tree, with every problem of the file.
//!
//! Nothing is expanded and nothing is looked up. What BuildKit's frontend accepts is accepted, what it rejects is an error;
//! the few deliberate differences are listed in `docs/dockerfile.md`.

mod args;
mod command;
mod copy;
mod from;
mod health;
mod onbuild;
mod pairs;
mod run;

use crate::{
    ast::{Dockerfile, Instruction, Kind, Stage, Word},
    diagnostic::{Diagnostic, Severity},
    flags::{Flags, Known},
    heredoc,
    keyword::{self, Keyword},
    lines::Lines,
    source,
    span::Span,
    suggest::{nearest, shown},
    text::View,
    words::{Head, split_line},
};

/// A file that was read, whatever state it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// What could be understood.
    pub file: Dockerfile,
    /// The decoded text that all spans refer to, without byte order mark.
    pub source: String,
    /// What is wrong, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// Blank lines inside continuations: allowed, but BuildKit warns of them.
    pub blank_continuations: Vec<Span>,
}

impl Parsed {
    /// Tells whether the file has no errors; warnings do not count.
    pub fn is_ok(&self) -> bool {
        self.diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error)
    }
}

/// Reads a Dockerfile.
///
/// Never fails: what cannot be read is left out of the tree and reported, and reading goes on behind it.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut diagnostics = vec![];
    let source = source::decode(bytes, &mut diagnostics);
    let (file, blank_continuations) = Parser::new(&source, &mut diagnostics).file();
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
    Parsed { file, source, diagnostics, blank_continuations }
}

/// The state while a file is read.
struct Parser<'s, 'd> {
    lines: Lines<'s>,
    file: Dockerfile,
    diagnostics: &'d mut Vec<Diagnostic>,
    instructions: usize,
    orphan_reported: bool,
}

impl<'s, 'd> Parser<'s, 'd> {
    fn new(source: &'s str, diagnostics: &'d mut Vec<Diagnostic>) -> Self {
        Self {
            lines: Lines::new(source),
            file: Dockerfile::default(),
            diagnostics,
            instructions: 0,
            orphan_reported: false,
        }
    }

    fn file(mut self) -> (Dockerfile, Vec<Span>) {
        while let Some(mut line) = self.lines.next_line() {
            self.instructions += 1;
            let comments = std::mem::take(&mut line.comments);
            let bodies = Bodies::default();
            self.line(line.view(), comments, bodies);
            self.lines.recycle(line);
        }
        self.file.escape = self.lines.escape;
        self.file.directives = std::mem::take(&mut self.lines.directives);
        if self.instructions == 0 {
            self.diagnostics.push(
                Diagnostic::error("empty-file", Span::default(), "the file has no instructions")
                    .help("start with `FROM <image>`"),
            );
        } else if self.file.stages.is_empty() && !self.orphan_reported {
            let span = self.file.global_args.first().map_or(Span::default(), |arg| arg.span);
            self.diagnostics.push(
                Diagnostic::error("no-from", span, "the file has no FROM, so there is nothing to build")
                    .help("add `FROM <image>`, or `FROM scratch` for an empty base"),
            );
        }
        self.diagnostics.append(&mut self.lines.diagnostics);
        (self.file, self.lines.blank_continuations)
    }

    /// Reads one logical line and puts it in its place.
    fn line(&mut self, original: View<'_>, comments: Vec<Word>, mut bodies: Bodies<'s>) {
        let line = original.trim();
        let head = split_line(line, self.lines.escape);
        let Some(keyword) = self.keyword(&head) else { return };
        self.read_bodies(keyword, &head, line, &mut bodies);
        let mut cx = Cx { escape: self.lines.escape, diagnostics: self.diagnostics, bodies: &bodies };
        if keyword == Keyword::From {
            let from = from::read(&mut cx, &head, line, comments);
            let name = from.alias.as_ref().map(|alias| alias.text.to_lowercase());
            let index = self.file.stages.len();
            let span = from.span;
            self.file.stages.push(Stage { index, name, from, instructions: vec![], span });
            return;
        }
        let kind = cx.kind(keyword, &head, original);
        let span = Span::new(line.span().start, bodies.end.max(line.span().end));
        let instruction = |kind| Instruction {
            kind,
            keyword: head.keyword.word(),
            comments,
            text: line.text().to_owned(),
            span,
        };
        if let Some(stage) = self.file.stages.last_mut() {
            stage.span.end = span.end;
            if let Some(kind) = kind {
                stage.instructions.push(instruction(kind));
            }
        } else if keyword == Keyword::Arg {
            self.file.global_args.extend(kind.map(instruction));
        } else if !self.orphan_reported {
            self.orphan_reported = true;
            let message = format!("{} stands before the first FROM", keyword.name());
            self.diagnostics.push(
                Diagnostic::error("before-from", line.span(), message)
                    .help("start with `FROM <image>`; only ARG may stand above it"),
            );
        }
    }

    fn keyword(&mut self, head: &Head<'_>) -> Option<Keyword> {
        let name = head.keyword.text();
        let found = Keyword::find(name);
        if found.is_none() {
            let span = head.keyword.span();
            self.diagnostics.push(unknown_instruction(name, span));
        }
        found
    }

    /// Takes the bodies of a line's here-documents from the lines that follow.
    fn read_bodies(&mut self, keyword: Keyword, head: &Head<'_>, line: View<'_>, bodies: &mut Bodies<'s>) {
        // Most lines have not even one of these.
        if !line.text().contains('<') || !line.text().contains("<<") || !self.has_heredocs(keyword, head) {
            return;
        }
        for (range, redirect) in heredoc::find(line.text()) {
            let span = line.part(range.start, range.end).span();
            if let Some(body) = self.lines.heredoc_body(&redirect.name, redirect.strip_tabs) {
                bodies.end = body.end;
                bodies.found.push(Body { redirect, raw: body.text, span, content: body.span });
                continue;
            }
            let message = format!("nothing ends the here-document `{}`", shown(&redirect.name));
            let help = format!(
                "add a line that holds only `{}`; quote a `<<` that is to open none",
                shown(&redirect.name)
            );
            self.diagnostics.push(Diagnostic::error("heredoc-unterminated", span, message).help(help));
            self.lines.skip_until(keyword::starts_instruction);
            return;
        }
    }

    fn has_heredocs(&self, keyword: Keyword, head: &Head<'_>) -> bool {
        if keyword == Keyword::Onbuild {
            let inner = split_line(head.rest, self.lines.escape);
            return Keyword::find(inner.keyword.text())
                .is_some_and(|inner_keyword| inner_keyword.takes_heredocs() && !is_json(inner.rest));
        }
        keyword.takes_heredocs() && !is_json(head.rest)
    }
}

fn is_json(rest: View<'_>) -> bool {
    crate::json::strings(rest.text()).is_ok()
}

fn unknown_instruction(name: &str, span: Span) -> Diagnostic {
    if name.is_empty() {
        return Diagnostic::error("unknown-instruction", span, "this continuation has no instruction")
            .help("remove the line");
    }
    let diagnostic =
        Diagnostic::error("unknown-instruction", span, format!("there is no instruction `{}`", shown(name)));
    if name.starts_with("//") {
        return diagnostic.help("comments start with `#`");
    }
    match nearest(name, Keyword::names()) {
        Some(near) if name.chars().all(|c| !c.is_uppercase()) => {
            diagnostic.help(format!("did you mean `{}`?", near.to_lowercase()))
        }
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help("if it belongs to the line above, end that line with the escape character"),
    }
}

/// A here-document that was read.
#[derive(Debug)]
struct Body<'s> {
    redirect: heredoc::Redirect,
    raw: &'s str,
    span: Span,
    content: Span,
}

/// The here-documents of one line.
#[derive(Debug, Default)]
struct Bodies<'s> {
    found: Vec<Body<'s>>,
    /// Where the last terminator ends.
    end: usize,
}

/// What the readers of instructions need.
struct Cx<'c> {
    escape: char,
    diagnostics: &'c mut Vec<Diagnostic>,
    bodies: &'c Bodies<'c>,
}

impl Cx<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn flags<'a>(&mut self, keyword: Keyword, head: &'a Head<'a>, known: Known) -> Flags<'a> {
        Flags::read(keyword, &head.flags, known, self.diagnostics)
    }

    /// Says that flags have no effect, where BuildKit does not even look at them.
    fn ignore_flags(&mut self, keyword: Keyword, head: &Head<'_>) {
        if let (Some(first), Some(last)) = (head.flags.first(), head.flags.last()) {
            let span = first.raw.span().to(last.raw.span());
            let name = if keyword == Keyword::Healthcheck { "HEALTHCHECK NONE" } else { keyword.name() };
            let message = format!("{name} takes no flags; this is ignored");
            self.report(Diagnostic::warning("ignored-flag", span, message).help("remove it"));
        }
    }

    /// Reads everything but `FROM`.
    fn kind(&mut self, keyword: Keyword, head: &Head<'_>, original: View<'_>) -> Option<Kind> {
        match keyword {
            Keyword::Run => run::read(self, head),
            Keyword::Cmd => Some(Kind::Cmd(command::read(self, keyword, head)?)),
            Keyword::Entrypoint => Some(Kind::Entrypoint(command::read(self, keyword, head)?)),
            Keyword::Shell => command::shell(self, head),
            Keyword::Copy => Some(Kind::Copy(copy::copy(self, head)?)),
            Keyword::Add => Some(Kind::Add(copy::add(self, head)?)),
            Keyword::Env => Some(Kind::Env(pairs::read(self, keyword, head)?)),
            Keyword::Label => Some(Kind::Label(pairs::read(self, keyword, head)?)),
            Keyword::Arg => pairs::arg(self, head),
            Keyword::Workdir => Some(Kind::Workdir(args::whole(self, keyword, head)?)),
            Keyword::User => Some(Kind::User(args::whole(self, keyword, head)?)),
            Keyword::Maintainer => Some(Kind::Maintainer(args::whole(self, keyword, head)?)),
            Keyword::StopSignal => args::stop_signal(self, head),
            Keyword::Volume => args::volume(self, head),
            Keyword::Expose => args::expose(self, head),
            Keyword::Healthcheck => health::read(self, head),
            Keyword::Onbuild => onbuild::read(self, head, original),
            Keyword::From => None,
        }
    }
}
