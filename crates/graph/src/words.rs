//! Expansion of words that stand in a file: the errors become diagnostics at their place.

use slipway_dockerfile::ast::Word;
use slipway_dockerfile::diagnostic::Diagnostic;
use slipway_dockerfile::expand::{Env, ErrorKind, Expander};
use slipway_dockerfile::span::Span;

/// Expands the words of one file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    expander: Expander,
    /// Where to report problems, if not at the word: words of a base image's triggers stand in no file.
    at: Option<Span>,
}

impl Words {
    pub(crate) fn new(escape: char) -> Self {
        Self { expander: Expander::new(escape), at: None }
    }

    /// Returns an expander that reports everything at one place.
    pub(crate) fn reporting_at(span: Span) -> Self {
        Self { expander: Expander::new('\\'), at: Some(span) }
    }

    /// Returns where to report a problem with a word.
    pub(crate) fn place(&self, span: Span) -> Span {
        self.at.unwrap_or(span)
    }

    /// Expands a word to one word.
    pub(crate) fn one(&self, word: &Word, env: &(impl Env + ?Sized)) -> Result<String, Diagnostic> {
        if is_plain(&word.text) {
            return Ok(word.text.clone());
        }
        self.expander.word(&word.text, env).map(|done| done.text).map_err(|error| self.problem(word, &error))
    }

    /// Expands an optional word.
    pub(crate) fn maybe(
        &self,
        word: Option<&Word>,
        env: &(impl Env + ?Sized),
    ) -> Result<Option<String>, Diagnostic> {
        word.map(|word| self.one(word, env)).transpose()
    }

    /// Expands a word to as many words as its value has.
    pub(crate) fn many(&self, word: &Word, env: &(impl Env + ?Sized)) -> Result<Vec<String>, Diagnostic> {
        self.expander
            .words(&word.text, env)
            .map(|done| done.words)
            .map_err(|error| self.problem(word, &error))
    }

    /// Expands the body of a here-document.
    pub(crate) fn body(
        &self,
        text: &str,
        span: Span,
        env: &(impl Env + ?Sized),
    ) -> Result<String, Diagnostic> {
        let expanded = Expander::for_heredoc().word(text, env);
        let word = || Word { text: text.to_owned(), span };
        expanded.map(|done| done.text).map_err(|error| self.problem(&word(), &error))
    }

    fn problem(&self, word: &Word, error: &slipway_dockerfile::expand::Error) -> Diagnostic {
        let mut span = self.place(word.span);
        // Where the text is as in the source, the place inside it is known too.
        if self.at.is_none() && span.end - span.start == word.text.len() && error.offset < word.text.len() {
            span.start += error.offset;
        }
        let help = match error.kind {
            ErrorKind::Required { ref name, .. } => {
                format!("pass it with --build-arg {name}=…, or give it a default")
            }
            ErrorKind::SingleQuote | ErrorKind::DoubleQuote => {
                "close it, or escape it with a backslash".to_owned()
            }
            _ => "a literal `$` is written `\\$`".to_owned(),
        };
        Diagnostic::error("bad-expansion", span, error.to_string()).help(help)
    }
}

/// Tells whether expansion cannot change a text: most words, at the cost of one look.
fn is_plain(text: &str) -> bool {
    !text.bytes().any(|b| matches!(b, b'$' | b'\'' | b'"' | b'\\' | b'`'))
}
