//! BuildKit's own lexer expands the same random words, and Moby's own matcher decides on the same random paths.
//!
//! Both are Go programs, so this runs where they were built:
//!
//! ```sh
//! (cd crates/dockerfile/tests/words_oracle && go build -o /tmp/words-oracle .)
//! WORDS_ORACLE=/tmp/words-oracle cargo test -p slipway-dockerfile --test expand_oracle
//! ```
//!
//! `FUZZ_SEED` changes where from. What may differ is listed in `docs/expansion.md`, and the generators keep away from it.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are not seen as tests

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::Deserialize;
use slipway_dockerfile::{expand::Expander, pattern::IgnoreFile};

const ENV: [(&str, &str); 6] =
    [("a", "value"), ("b", ""), ("c", "x y  z"), ("d", "a/b/c.tar.gz"), ("e", "*"), ("f", "aXbXc")];

/// How many words and how many paths are compared.
const TIMES: usize = 40_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    failed: bool,
    text: String,
    unset: Option<Vec<String>>,
    heredoc: Option<String>,
    look: bool,
    walk: bool,
}

struct Oracle {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Option<Self> {
        let Some(program) = env::var_os("WORDS_ORACLE") else {
            println!("skipped: WORDS_ORACLE does not name the program of tests/words_oracle");
            return None;
        };
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, input, output })
    }

    fn ask(&mut self, question: &serde_json::Value) -> Answer {
        writeln!(self.input, "{question}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn stop(mut self) {
        drop(self.input);
        self.child.wait().unwrap();
    }
}

/// A small generator (xorshift), so that a seed gives the same run everywhere.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1).max(1))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn pick<'a>(&mut self, options: &[&'a str]) -> &'a str {
        options[self.below(options.len())]
    }
}

const PIECES: [&str; 34] = [
    "a", "b", "x", "X", ".", "/", "*", "?", " ", "é", "-", "\\*", "\\/", "\\}", "\\$", "\\\\", "\\", "$a",
    "$c", "$u", "$1", "$@", "$", "${", "}", "'x y'", "'", "\"", "<", "<<", "\n", "\t", "${a}", "${u",
];
const MODIFIERS: [&str; 11] = ["", ":-", "-", ":+", "+", ":?", "?", "#", "##", "%", "%%"];
const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "u"];
/// For replacements with two slashes: no dollar sign, whose meaning there differs.
const PLAIN: [&str; 9] = ["", "x", "-", "/", "\\}", ".", "é", "'q'", "*"];

fn word(random: &mut Random, depth: usize) -> String {
    let mut out = String::new();
    for _ in 0..random.below(6) {
        if depth == 0 || random.below(3) > 0 {
            out.push_str(random.pick(&PIECES));
            continue;
        }
        let name = random.pick(&NAMES);
        let inner = word(random, depth - 1);
        let part = match random.below(15) {
            12 => format!("${{{name}/{}/{}}}", inner.replace('/', "\\/"), word(random, depth - 1)),
            13 => format!(
                "${{{name}//{}/{}}}",
                random.pick(&PLAIN[1..]).replace('/', "\\/"),
                random.pick(&PLAIN)
            ),
            14 => format!("\"{inner}\""),
            modifier => format!("${{{name}{}{inner}}}", MODIFIERS.get(modifier).unwrap_or(&"")),
        };
        out.push_str(&part);
    }
    out
}

#[test]
fn words_expand_as_buildkit_expands_them() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = Random::new();
    let env: Vec<String> = ENV.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut expanded = 0;
    for _ in 0..TIMES {
        let word = word(&mut random, 3);
        let theirs = oracle.ask(&serde_json::json!({"Word": word, "Env": env}));
        let ours = Expander::new('\\').word(&word, &ENV);
        assert_eq!(ours.is_err(), theirs.failed, "{word:?}: {ours:?}, {theirs:?}");
        if let Ok(ours) = ours {
            let mut unset = ours.unset();
            unset.sort_unstable();
            assert_eq!(unset, theirs.unset.unwrap_or_default(), "{word:?}");
            // A dollar sign in what `//` puts in is the one thing that differs; words can nest into it.
            if !(word.contains("//") && ours.text.contains('$')) {
                assert_eq!(ours.text, theirs.text, "{word:?}");
            }
            expanded += 1;
        }
        let heredoc = Expander::for_heredoc().word(&word, &ENV).map(|expanded| expanded.text).ok();
        if !word.contains("//") {
            assert_eq!(heredoc, theirs.heredoc, "{word:?}");
        }
    }
    println!("{expanded} words expand the same");
    assert!(expanded > TIMES / 8, "only {expanded}");
    oracle.stop();
}

#[test]
fn paths_match_as_moby_matches_them() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = Random::new();
    let pieces =
        ["a", "b", "c", "*", "*", "**", "**/", "/", "/", "?", "[ab]", "[^a]", "\\*", "\\-", ".", "-", "x.go"];
    let starts = ["", "", "", "!", "! ", "/", " ", "#"];
    let names = ["a", "b", "c", "x.go", ".a", "*", "-", "ab"];
    let mut ignored = 0;
    for _ in 0..TIMES {
        let mut file = String::new();
        for _ in 0..=random.below(4) {
            file.push_str(random.pick(&starts));
            for _ in 0..=random.below(5) {
                file.push_str(random.pick(&pieces));
            }
            file.push('\n');
        }
        let path = (0..=random.below(4)).map(|_| random.pick(&names)).collect::<Vec<_>>().join("/");
        let theirs = oracle.ask(&serde_json::json!({"Ignore": file, "Path": path}));
        let Ok(ours) = IgnoreFile::parse(&file) else {
            assert!(theirs.failed, "only we refuse {file:?}");
            continue;
        };
        assert!(!theirs.failed, "only they refuse {file:?}");
        assert_eq!(ours.matches_or_parent(&path), theirs.look, "{file:?} on {path}");
        assert_eq!(ours.matches(&path), theirs.walk, "{file:?} on {path}, on a walk");
        ignored += usize::from(theirs.walk);
    }
    println!("{ignored} of {TIMES} paths are left out by both");
    assert!(ignored > TIMES / 20, "only {ignored}");
    oracle.stop();
}
