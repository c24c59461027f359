//! The Dockerfile language: parse, expand, match patterns, check.
//!
//! Pure: no files, no clock, no sockets. Nothing here runs anything; the graph of a build is made in `slipway-graph`.

pub mod ast;
pub mod check;
pub mod chmod;
mod csv;
pub mod diagnostic;
mod duration;
pub mod expand;
mod flags;
mod heredoc;
mod json;
mod keyword;
mod lines;
pub mod mount;
mod parse;
pub mod pattern;
pub mod render;
pub mod signal;
mod source;
pub mod span;
mod suggest;
mod text;
pub mod tree;
mod words;

pub use crate::parse::{Parsed, parse};
pub use crate::source::MAX_LINE;
