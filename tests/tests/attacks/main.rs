//! Attacks on the program as a whole, each with a canary outside of all that a build may touch. `docs/design/attacks.md` has
//! the table of all attacks that we know of, with the tests against them, here and in the crates.
#![allow(clippy::print_stderr)] // what was left out is said

mod archives;
mod bed;
mod git;
mod runs;
mod secrets;
mod table;
mod tar;
