//! Expansion of words that stand in a file: the errors become diagnostics at their place.

use std::cell::Cell;
use std::rc::Rc;

use slipway_dockerfile::ast::Word;
use slipway_dockerfile::diagnostic::Diagnostic;
use slipway_dockerfile::expand::{Env, ErrorKind, Expander};
use slipway_dockerfile::span::Span;

/// How many bytes all expansions of a build may make, together with the copies of environments that steps keep. A small
/// file can ask for a thousand times its size, and a plan must not take the memory of a whole node.
const BUDGET: usize = 256 << 20;

/// The code of the problem that ends everything, since nothing after it could be expanded either.
pub(crate) const TOO_LARGE: &str = "too-large";

/// Expands the words of one file.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    expander: Expander,
    /// What is left of the budget, shared by all that came from one [`Words::new`].
    left: Rc<Cell<usize>>,
    /// Where to report problems, if not at the word: words of a base image's triggers stand in no file.
    at: Option<Span>,
}

impl Words {
    pub(crate) fn new(escape: char) -> Self {
        Self { expander: Expander::new(escape), left: Rc::new(Cell::new(BUDGET)), at: None }
    }

    /// Returns an expander that reports everything at one place.
    pub(crate) fn reporting_at(&self, span: Span) -> Self {
        Self { expander: Expander::new('\\'), left: Rc::clone(&self.left), at: Some(span) }
    }

    /// Takes bytes from the budget.
    pub(crate) fn spend(&self, bytes: usize, span: Span) -> Result<(), Diagnostic> {
        if let Some(left) = self.left.get().checked_sub(bytes) {
            self.left.set(left);
            return Ok(());
        }
        let message =
            format!("up to here the variables of this build grow to more than {} MiB", BUDGET >> 20);
        Err(Diagnostic::error(TOO_LARGE, self.place(span), message)
            .help("shorten the values, or use fewer of them in fewer instructions"))
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
        let done = self.expander.word(&word.text, env).map_err(|error| self.problem(word, &error))?;
        self.spend(done.text.len(), word.span)?;
        Ok(done.text)
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
        let done = self.expander.words(&word.text, env).map_err(|error| self.problem(word, &error))?;
        self.spend(done.words.iter().map(String::len).sum(), word.span)?;
        Ok(done.words)
    }

    /// Expands the body of a here-document.
    pub(crate) fn body(
        &self,
        text: &str,
        span: Span,
        env: &(impl Env + ?Sized),
    ) -> Result<String, Diagnostic> {
        let word = || Word { text: text.to_owned(), span };
        let done = Expander::for_heredoc().word(text, env).map_err(|error| self.problem(&word(), &error))?;
        self.spend(done.text.len(), span)?;
        Ok(done.text)
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
        let text = error.to_string();
        match error.kind {
            ErrorKind::Required { .. } => Diagnostic::error("required-variable", span, text),
            _ => Diagnostic::error("bad-expansion", span, text),
        }
        .help(help)
    }
}

/// Tells whether expansion cannot change a text: most words, at the cost of one look.
fn is_plain(text: &str) -> bool {
    !text.bytes().any(|b| matches!(b, b'$' | b'\'' | b'"' | b'\\' | b'`'))
}
