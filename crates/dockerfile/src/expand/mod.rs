//! Expansion of variables, quotes and escapes in a word, as the builder does it before an instruction acts.
//!
//! The language is BuildKit's: a part of what a POSIX shell knows, with `#`, `%` and `/` modifiers. Which instructions are expanded,
//! and with which environment, is the caller's business. Command substitution, arithmetic, `~` and brace expansion do not exist here.
//!
//! Where BuildKit's own code surprises, Slipway does this:
//! - a nested `${a:-${b}}` does not make [`Expander::words`] forget the text before it;
//! - the replacement of `${a//p/r}` is taken literally, as that of `${a/p/r}` is: `$1` in it has no meaning.

mod env;
mod glob;
mod scan;
mod split;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use env::Env;

/// How deep `${a:-${b:-…}}` may nest.
pub const MAX_DEPTH: usize = 64;
/// How many bytes a word may grow to. The kernel takes no variable over 128 KiB; labels and here-documents may be longer.
pub const MAX_LENGTH: usize = 1 << 20;

/// Expands words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expander {
    escape: char,
    literal_quotes: bool,
    max_length: usize,
}

/// An expanded word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The result.
    pub text: String,
    /// The variables that were read, in order, repeated where they were read again.
    pub uses: Vec<Use>,
}

/// An expanded text that was then split into words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpandedWords {
    /// The words; none is empty.
    pub words: Vec<String>,
    /// The variables that were read, as in [`Expanded::uses`].
    pub uses: Vec<Use>,
}

/// One reading of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its name; a special parameter such as `@` or a number is one too.
    pub name: String,
    /// Where it stands in the unexpanded word, in bytes, from `$` to the last byte.
    pub at: Range<usize>,
    /// True if the environment has it.
    pub set: bool,
    /// True if the word says what to take where it is unset (`-`, `+`, `?`).
    pub handled: bool,
}

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    /// Where in the word, in bytes.
    pub offset: usize,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What is wrong with a word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ErrorKind {
    #[error("a single quote is not closed")]
    SingleQuote,
    #[error("a double quote is not closed")]
    DoubleQuote,
    #[error("`${{` is not closed by `}}`")]
    Brace,
    #[error("`${{…/` needs a second `/` before the replacement")]
    Slash,
    #[error("`${{` must be followed by a variable's name")]
    Name,
    #[error("`{0}` is not a modifier; there are `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`")]
    Modifier(String),
    #[error("`\\{0}` has no meaning in a pattern; there are `\\*` `\\?` `\\\\` `\\}}` `\\/`")]
    PatternEscape(String),
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    #[error("`${{…}}` is nested more than {MAX_DEPTH} deep")]
    Depth,
    #[error("the word grows to more than {0} bytes")]
    Length(usize),
    #[error("the pattern takes too long on a value of {0} bytes")]
    Effort(usize),
}

impl Expander {
    /// Makes an expander; the escape character is `\` or what `# escape=` says.
    pub fn new(escape: char) -> Self {
        Self { escape, literal_quotes: false, max_length: MAX_LENGTH }
    }

    /// Makes the expander of here-document bodies: quotes stay, and `\` escapes whatever `# escape=` says.
    pub fn for_heredoc() -> Self {
        Self { escape: '\\', literal_quotes: true, max_length: 16 * MAX_LENGTH }
    }

    /// Expands a word to one word: spaces stay as they are.
    pub fn word(&self, word: &str, env: &(impl Env + ?Sized)) -> Result<Expanded, Error> {
        let mut text = String::with_capacity(word.len());
        let uses = scan::Scan::new(*self, word, env).run(&mut text)?;
        Ok(Expanded { text, uses })
    }

    /// Expands a text and then splits it at spaces that are neither quoted nor escaped, those of variables' values included.
    pub fn words(&self, text: &str, env: &(impl Env + ?Sized)) -> Result<ExpandedWords, Error> {
        let mut splitter = split::Splitter::default();
        let uses = scan::Scan::new(*self, text, env).run(&mut splitter)?;
        Ok(ExpandedWords { words: splitter.finish(), uses })
    }
}

impl Expanded {
    /// Returns the names of variables that were read and not set, each once.
    pub fn unset(&self) -> Vec<&str> {
        let mut names: Vec<&str> = vec![];
        for name in self.uses.iter().filter(|u| !u.set).map(|u| u.name.as_str()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Expands a word, for callers that need no more than the result.
pub fn process_word(word: &str, escape: char, env: &(impl Env + ?Sized)) -> Result<String, Error> {
    Expander::new(escape).word(word, env).map(|expanded| expanded.text)
}

/// Expands a text and splits it, for callers that need no more than the words.
pub fn process_words(text: &str, escape: char, env: &(impl Env + ?Sized)) -> Result<Vec<String>, Error> {
    Expander::new(escape).words(text, env).map(|expanded| expanded.words)
}
