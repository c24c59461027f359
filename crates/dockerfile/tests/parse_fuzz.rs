//! The fuzz properties on stable: files of all kinds, torn apart by a seeded generator for a few seconds, and the hostile
//! cases that are known by name.
//!
//! `FUZZ_SECONDS` and `FUZZ_SEED` change how long and where from; a failure prints its input.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // helpers of tests are not seen as tests

#[path = "../fuzz/properties.rs"]
mod properties;

mod mutation;

use std::{
    fmt::Write as _,
    panic,
    time::{Duration, Instant},
};

use mutation::Mutator;
use slipway_dockerfile::parse;

#[test]
fn mutated_files_never_break_the_parser() {
    let mut mutator = Mutator::new();
    let begin = Instant::now();
    let mut runs = 0;
    while begin.elapsed() < mutation::seconds() {
        let data = mutator.next();
        let result = panic::catch_unwind(|| {
            properties::parses(&data);
            properties::renders(&data);
        });
        if let Err(cause) = result {
            eprintln!("run {runs}, input:\n{}", data.escape_ascii());
            panic::resume_unwind(cause);
        }
        runs += 1;
    }
    assert!(runs > 100, "only {runs} runs");
}

/// Parses a hostile file within a generous bound: what is quadratic takes minutes, not seconds.
fn bounded(data: &[u8]) {
    let begin = Instant::now();
    properties::parses(data);
    properties::renders(data);
    assert!(begin.elapsed() < Duration::from_secs(10), "took {:?}", begin.elapsed());
}

#[test]
fn hostile_ten_thousand_stages() {
    let mut file = String::new();
    for stage in 0..10_000 {
        let _ = writeln!(file, "FROM alpine AS s{stage}\nCOPY --from=s{} /a /b", stage.max(1) - 1);
    }
    assert_eq!(parse(file.as_bytes()).file.stages.len(), 10_000);
    bounded(file.as_bytes());
}

#[test]
fn hostile_long_lines() {
    let longest = format!("FROM scratch\nENV A={}\n", "x".repeat(65_535 - 6));
    assert!(parse(longest.as_bytes()).is_ok());
    let longer = format!("FROM scratch\nENV A={}\nRUN after\n", "x".repeat(65_536 - 6));
    let parsed = parse(longer.as_bytes());
    assert_eq!(parsed.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), ["line-too-long"]);
    assert_eq!(parsed.file.stages[0].instructions.len(), 2, "the next line is still read");
    bounded(longer.as_bytes());
    // Joined lines may be longer than that.
    let joined = format!("FROM scratch\nRUN echo {}\n", "word \\\n".repeat(100_000));
    assert!(parse(joined.as_bytes()).is_ok());
    bounded(joined.as_bytes());
}

#[test]
fn hostile_one_character_over_and_over() {
    for piece in [
        "\\",
        "`",
        "'",
        "\"",
        "$",
        "${",
        "${a:-",
        "$${",
        "<",
        "<<",
        "<<A ",
        "3<<A",
        "[",
        "[[",
        "[\"",
        "{",
        "--",
        "--a=\"",
        "=",
        "a=",
        "\n",
        "\r",
        "\\\n",
        "#",
        "# ",
        "\0",
        "\t",
        " ",
        "\u{feff}",
        "\u{85}",
        "\u{a0}",
        "\u{1F680}",
        "--mount=",
        ",",
        "\",\"",
        "()",
    ] {
        for prefix in [
            "",
            "FROM a\n",
            "FROM a\nRUN ",
            "FROM a\nCOPY ",
            "FROM a\nENV a=",
            "FROM a\nCMD [",
            "# escape=`\nRUN ",
        ] {
            bounded(format!("{prefix}{}", piece.repeat(60_000 / piece.len())).as_bytes());
        }
    }
}

#[test]
fn hostile_many_of_everything() {
    for line in [
        "RUN <<A\n",
        "RUN <<A <<B <<C\n",
        "COPY <<A /b\n",
        "ONBUILD RUN <<A\n",
        "ONBUILD ONBUILD RUN x\n",
        "RNU x\n",
        "FROM\n",
        "ENV a\n",
        "RUN --mount=type=x,y=z,a true\n",
        "# a comment\n",
        "RUN a \\\n\n",
        "HEALTHCHECK --interval=1 CMD x\n",
        "RUN [\"a\", [[[[[[\n",
        "FROM a AS 1\n",
        "#\n\n",
        "RUN '\n",
        "CMD [\"\\u\n",
    ] {
        bounded(format!("FROM a\n{}", line.repeat(20_000)).as_bytes());
    }
    bounded(format!("FROM a\nRUN {}\n", "--mount=type=cache,target=/a ".repeat(5_000)).as_bytes());
    bounded(format!("FROM a\nCOPY {}/b\nE\n", "<<E ".repeat(1_000)).as_bytes());
    bounded("ONBUILD ".repeat(100_000).as_bytes());
    bounded(format!("FROM a\nCMD {}", "[".repeat(65_000)).as_bytes());
    bounded(format!("FROM a\nRUN echo {}", "${a:-".repeat(12_000)).as_bytes());
}

#[test]
fn unusual_bytes() {
    for (name, data, ok) in [
        ("byte order mark", &b"\xEF\xBB\xBFFROM scratch\n"[..], true),
        ("CRLF", b"FROM scratch\r\nRUN a \\\r\n  b\r\nCMD [\"x\"]\r\n", true),
        ("CRLF here-document", b"FROM scratch\r\nRUN <<EOF\r\necho\r\nEOF\r\nRUN x\r\n", true),
        ("NUL", b"FROM scratch\nRUN a\0b\n", true),
        ("invalid UTF-8", b"FROM scratch\nENV A=\xFF\xFE\n", true),
        ("no line break at the end", b"FROM scratch", true),
        ("nothing", b"", false),
        ("white space", b" \n\t\r\n\x0b\n", false),
        ("only a mark", b"\xEF\xBB\xBF", false),
        ("UTF-16", b"\xFF\xFEF\0R\0O\0M\0 \0a\0\n\0", false),
        ("a bare carriage return", b"FROM scratch\rRUN x\n", false),
    ] {
        let parsed = parse(data);
        assert_eq!(parsed.is_ok(), ok, "{name}: {:?}", parsed.diagnostics);
        bounded(data);
    }
    let parsed = parse(b"FROM scratch\r\nRUN <<EOF\r\necho\r\nEOF\r\n");
    let slipway_dockerfile::ast::Kind::Run(run) = &parsed.file.stages[0].instructions[0].kind else {
        panic!("no RUN")
    };
    assert_eq!(run.heredocs[0].body, "echo\r\n", "the body keeps its line breaks");
}

/// Found by the loop above: a problem behind the last column of a line that just fits put its caret past the terminal's edge.
#[test]
fn found_caret_behind_the_last_column() {
    for length in 60..90 {
        properties::renders(format!("FROM a\nENTRYPOINT [\"{}", "x".repeat(length)).as_bytes());
    }
}
