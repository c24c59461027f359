//! One suite over every way to run commands that this machine offers. Without the usual harness: the program that runs
//! commands has to be able to be their `init`.
//!
//! `cargo test -p slipway-sandbox --test sandbox -- [way] [part of a case's name]`

// Clippy knows tests by `#[test]`, which a suite without the usual harness does not have.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::exit)]

mod bed;
mod cases;
mod special;
mod ways;

fn main() {
    slipway_sandbox::init_if_asked();
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    std::process::exit(ways::main(&args));
}
