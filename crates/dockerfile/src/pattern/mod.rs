//! Patterns of paths: [`PathPattern`] for the sources of COPY and ADD, [`IgnoreFile`] for `.dockerignore` and `--exclude`.
//!
//! Both only look at names. Walking a tree, following links and telling files from directories is the caller's business. Matching takes at most
//! the pattern's length times the path's, whatever the pattern.

mod class;
mod clean;
mod ignore;
mod path;
mod rule;

pub use clean::clean;
pub use ignore::{IgnoreError, IgnoreErrorKind, IgnoreFile, Visit};
pub use path::PathPattern;

/// A pattern whose brackets or escapes make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PatternError {
    #[error("`[` is not closed by `]`")]
    OpenBracket,
    #[error("`[]` holds no character; to match `]` write `[\\]]`")]
    EmptyBracket,
    #[error("a range in `[…]` needs a character on both sides of `-`; to match `-` write `\\-`")]
    Range,
    #[error("the pattern ends with a `\\` that escapes nothing")]
    TrailingEscape,
}
