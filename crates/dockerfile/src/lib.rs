//! The Dockerfile language: parse, expand, match patterns, check.
//!
//! Pure: no files, no clock, no sockets. Nothing here runs anything; the graph of a build is made in `slipway-graph`.

pub mod ast;
pub mod diagnostic;
pub mod expand;
pub mod span;
