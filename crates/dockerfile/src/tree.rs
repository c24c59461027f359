//! The generic tree below the typed one: every instruction as a name, flags and words, nothing validated.
//!
//! This is the form in which BuildKit's parser tests write down what a file means, so it exists to be compared with them;
//! the build itself uses [`crate::ast`].

mod quote;

use std::fmt::{self, Write as _};

use self::quote::quoted;
use crate::{
    diagnostic::{Diagnostic, Severity},
    heredoc,
    json::{self, Failure},
    keyword::Keyword,
    lines::Lines,
    source,
    span::{LineIndex, Span},
    text::View,
    words::{Head, key_value, legacy_pair, split_line, split_quoted, split_words},
};

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The instructions in order.
    pub nodes: Vec<Node>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The keyword as written.
    pub name: String,
    /// The flags without quotes.
    pub flags: Vec<String>,
    /// The words, or the instruction that it wraps.
    pub arguments: Arguments,
    /// The here-documents: name and body as it stands in the file.
    pub heredocs: Vec<(String, String)>,
    /// The first line, from 1.
    pub first_line: usize,
    /// The last line.
    pub last_line: usize,
}

/// What follows the flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Plain words; of a pair, its name, its value and its sign.
    Words(Vec<String>),
    /// The instruction of an `ONBUILD`.
    Instruction(Box<Node>),
}

impl Tree {
    /// Reads a file; the first thing that BuildKit's parser refuses is the error.
    ///
    /// # Errors
    /// What the parser proper refuses: bad directives, JSON arrays of anything but strings, an `ENV` or `LABEL` that is
    /// neither form, an open here-document, a line that is too long, a file without instructions. Unknown instructions and
    /// wrong flags are found later, by [`crate::parse`].
    pub fn read(bytes: &[u8]) -> Result<Self, Diagnostic> {
        let mut ignored = vec![];
        let source = source::decode(bytes, &mut ignored);
        let index = LineIndex::new(&source);
        let mut lines = Lines::new(&source);
        let mut tree = Self::default();
        while let Some(line) = lines.next_line() {
            let view = line.view();
            let mut node = node(view, lines.escape, 0)?;
            if takes_heredocs(view, lines.escape) {
                for (range, redirect) in heredoc::find(view.text()) {
                    let Some(body) = lines.heredoc_body(&redirect.name, redirect.strip_tabs) else {
                        let span = view.part(range.start, range.end).span();
                        return Err(Diagnostic::error("heredoc-unterminated", span, "unterminated heredoc"));
                    };
                    node.heredocs.push((redirect.name, body.text.to_owned()));
                }
            }
            node.first_line = index.line(line.base);
            node.last_line = index.line(lines.position().saturating_sub(1));
            tree.nodes.push(node);
        }
        if let Some(error) = lines.diagnostics.into_iter().find(|found| found.severity == Severity::Error) {
            return Err(error);
        }
        if tree.nodes.is_empty() {
            return Err(Diagnostic::error("empty-file", Span::default(), "file with no instructions"));
        }
        Ok(tree)
    }
}

impl fmt::Display for Tree {
    /// Writes one `(name "word" …)` per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            writeln!(f, "({node})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.name.to_lowercase();
        if !self.flags.is_empty() {
            let flags: Vec<String> = self.flags.iter().map(|flag| quoted(flag)).collect();
            write!(text, " [{}]", flags.join(" "))?;
        }
        match &self.arguments {
            Arguments::Instruction(node) => write!(text, " ({node})")?,
            Arguments::Words(words) => {
                for word in words {
                    text.push(' ');
                    text.push_str(&quoted(word));
                }
            }
        }
        // Without a name there is a space to take away.
        f.write_str(text.trim())
    }
}

fn takes_heredocs(line: View<'_>, escape: char) -> bool {
    let mut head = split_line(line, escape);
    if Keyword::find(head.keyword.text()) == Some(Keyword::Onbuild) {
        head = split_line(head.rest, escape);
    }
    let takes = Keyword::find(head.keyword.text()).is_some_and(Keyword::takes_heredocs);
    takes && json::strings(head.rest.text()).is_err()
}

/// A chain of `ONBUILD ONBUILD …` is followed this far: none is valid, and each link would cost a stack frame.
const DEEPEST: usize = 64;

fn node(line: View<'_>, escape: char, depth: usize) -> Result<Node, Diagnostic> {
    let head = split_line(line, escape);
    let keyword = Keyword::find(head.keyword.text());
    let wraps = keyword == Some(Keyword::Onbuild) && !head.rest.is_empty() && depth < DEEPEST;
    let arguments = if wraps {
        Arguments::Instruction(Box::new(node(head.rest, escape, depth + 1)?))
    } else {
        Arguments::Words(words(keyword, &head, escape)?)
    };
    Ok(Node {
        name: head.keyword.text().to_owned(),
        flags: head.flags.iter().map(|flag| flag.text.to_string()).collect(),
        arguments,
        heredocs: vec![],
        first_line: 0,
        last_line: 0,
    })
}

fn words(keyword: Option<Keyword>, head: &Head<'_>, escape: char) -> Result<Vec<String>, Diagnostic> {
    let rest = head.rest;
    Ok(match keyword {
        // BuildKit keeps the name of an unknown instruction, and one empty word.
        None => vec![String::new()],
        Some(Keyword::Add | Keyword::Copy | Keyword::Volume) => {
            strings(rest)?.unwrap_or_else(|| texts(&split_words(rest)))
        }
        Some(Keyword::From | Keyword::Expose) => texts(&split_words(rest)),
        Some(Keyword::Cmd | Keyword::Entrypoint | Keyword::Run | Keyword::Shell) => maybe_json(rest)?,
        Some(Keyword::Env | Keyword::Label) => pairs(rest, escape)?,
        Some(Keyword::Arg) => texts(&split_quoted(rest, escape)),
        Some(Keyword::Healthcheck) => {
            let text = rest.text();
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            let mut words = if end == 0 { vec![] } else { vec![text[..end].to_owned()] };
            words.extend(maybe_json(rest.after(end).trim())?);
            words
        }
        Some(_) if rest.is_empty() => vec![],
        Some(_) => vec![rest.text().to_owned()],
    })
}

fn texts(views: &[View<'_>]) -> Vec<String> {
    views.iter().map(|view| view.text().to_owned()).collect()
}

fn maybe_json(rest: View<'_>) -> Result<Vec<String>, Diagnostic> {
    if rest.is_empty() {
        return Ok(vec![]);
    }
    Ok(strings(rest)?.unwrap_or_else(|| vec![rest.text().to_owned()]))
}

fn strings(rest: View<'_>) -> Result<Option<Vec<String>>, Diagnostic> {
    match json::strings(rest.text()) {
        Ok(elements) => Ok(Some(elements.into_iter().map(|element| element.text).collect())),
        Err(Failure::NotAString(start, end)) => {
            let span = rest.part(start, end).span();
            Err(Diagnostic::error("json-not-strings", span, "a JSON array can hold only strings here"))
        }
        Err(Failure::NotAnArray | Failure::Malformed(_)) => Ok(None),
    }
}

fn pairs(rest: View<'_>, escape: char) -> Result<Vec<String>, Diagnostic> {
    let words = split_quoted(rest, escape);
    let Some(first) = words.first() else { return Ok(vec![]) };
    if !first.text().contains('=') {
        let Some((key, value)) = legacy_pair(rest) else {
            return Err(Diagnostic::error("missing-argument", first.span(), "a value is missing"));
        };
        return Ok(vec![key.text().to_owned(), value.text().to_owned(), String::new()]);
    }
    let mut pairs = Vec::with_capacity(words.len() * 3);
    for word in words {
        let Some((key, value)) = key_value(word) else {
            return Err(Diagnostic::error("missing-equals", word.span(), "`=` is missing"));
        };
        pairs.extend([key.text().to_owned(), value.text().to_owned(), "=".to_owned()]);
    }
    Ok(pairs)
}
