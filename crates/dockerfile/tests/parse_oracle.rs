//! BuildKit's own parser reads the same torn files: trees, here-documents, lines, comments and verdicts must be equal.
//!
//! The parser is a Go program, so this runs where it was built:
//!
//! ```sh
//! (cd crates/dockerfile/tests/oracle && go build -o /tmp/oracle .)
//! BUILDKIT_ORACLE=/tmp/oracle cargo test -p slipway-dockerfile --test parse_oracle
//! ```
//!
//! `FUZZ_SECONDS` and `FUZZ_SEED` change how long and where from.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are not seen as tests

mod mutation;

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use mutation::Mutator;
use serde::Deserialize;
use slipway_dockerfile::{
    ast::{Instruction, Kind, Word},
    diagnostic::Severity,
    parse,
    tree::Tree,
};

/// What BuildKit says about a file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Verdict {
    parse_err: String,
    dump: String,
    err: String,
    heredocs: Option<Vec<Option<Vec<TheirHeredoc>>>>,
    lines: Option<Vec<(usize, usize)>>,
    comments: Option<Vec<Option<Vec<String>>>>,
    blank: usize,
    later: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TheirHeredoc {
    name: String,
    content: String,
}

struct Oracle {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Option<Self> {
        let Some(program) = env::var_os("BUILDKIT_ORACLE") else {
            println!("skipped: BUILDKIT_ORACLE does not name the program of tests/oracle");
            return None;
        };
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, input, output })
    }

    fn ask(&mut self, data: &[u8]) -> Verdict {
        writeln!(self.input, "{}", STANDARD.encode(data)).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn stop(mut self) {
        drop(self.input);
        self.child.wait().unwrap();
    }
}

/// Errors for things that BuildKit looks at only when it comes to the step; see docs/dockerfile.md.
const LATER: [&str; 11] = [
    "mount-key-of-other-type",
    "mount-secret",
    "mount-sharing",
    "mount-target",
    "mount-type",
    "mount-value",
    "unknown-mount-key",
    "invalid-mode",
    "unknown-signal",
    "line-too-long",
    "invalid-utf8",
];

/// Returns what differs, if anything.
fn difference(data: &[u8], theirs: &Verdict) -> Option<String> {
    let text = std::str::from_utf8(data).ok()?;
    let ours = match Tree::read(data) {
        Ok(tree) => tree,
        Err(_) if !theirs.parse_err.is_empty() => return None,
        Err(error) => return Some(format!("only we refuse the lines: {error:?}")),
    };
    if !theirs.parse_err.is_empty() {
        return Some(format!("only they refuse the lines: {}", theirs.parse_err));
    }
    // Go quotes some characters beyond ASCII otherwise, and reads flags by bytes.
    let plain = text.is_ascii() && !text.contains("\\u");
    if plain && ours.to_string().trim() != theirs.dump.trim() {
        return Some(format!("trees:\n{ours}theirs:\n{}", theirs.dump));
    }
    let lines: Vec<_> = ours.nodes.iter().map(|node| (node.first_line, node.last_line)).collect();
    if Some(&lines) != theirs.lines.as_ref() {
        return Some(format!("lines: {lines:?} {:?}", theirs.lines));
    }
    for (node, heredocs) in ours.nodes.iter().zip(theirs.heredocs.iter().flatten()) {
        let heredocs = heredocs.iter().flatten().map(|found| (found.name.clone(), found.content.clone()));
        if node.heredocs != heredocs.collect::<Vec<_>>() {
            return Some(format!("here-documents: {:?}", node.heredocs));
        }
    }
    let parsed = parse(data);
    if (parsed.blank_continuations.is_empty()) != (theirs.blank == 0) {
        return Some(format!("blank continuations: {:?} {}", parsed.blank_continuations, theirs.blank));
    }
    let onbuild = ours.nodes.iter().any(|node| node.name.eq_ignore_ascii_case("onbuild"));
    if !parsed.is_ok() {
        let later = |code: &str| LATER.contains(&code) || onbuild;
        let errors = || parsed.diagnostics.iter().filter(|found| found.severity == Severity::Error);
        let only_later = errors().all(|found| later(found.code));
        let mount = errors().any(|found| found.code.contains("mount") && found.code != "mount-target");
        let mounts_agree = !mount || !theirs.later.is_empty() || text.contains('$');
        let agrees = !theirs.err.is_empty() || (only_later && (mounts_agree || onbuild));
        return (!agrees).then(|| format!("only we refuse it: {:?}", parsed.diagnostics));
    }
    if !theirs.later.is_empty() && !text.contains('$') {
        return Some(format!("only they refuse the mounts: {}", theirs.later));
    }
    if !theirs.err.is_empty() {
        return Some(format!("only they refuse it: {}", theirs.err));
    }
    comments(&parsed.file, theirs)
}

/// Compares the comments above instructions.
fn comments(file: &slipway_dockerfile::ast::Dockerfile, theirs: &Verdict) -> Option<String> {
    let texts = |words: &[Word]| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
    let of = |instruction: &Instruction| texts(&instruction.comments);
    let mut ours: Vec<Vec<String>> = file.global_args.iter().map(of).collect();
    for stage in &file.stages {
        ours.push(texts(&stage.from.comments));
        ours.extend(stage.instructions.iter().map(of));
    }
    for (ours, theirs) in ours.iter().zip(theirs.comments.iter().flatten()) {
        // BuildKit takes the first byte off an indented comment, which is not the `#`.
        let bare = |text: &String| {
            text.trim_start_matches(|c: char| c == '#' || c.is_whitespace()).trim().to_owned()
        };
        let all = |texts: &mut dyn Iterator<Item = &String>| -> Vec<String> {
            texts.map(bare).filter(|text| !text.is_empty()).collect()
        };
        let (ours, theirs) = (all(&mut ours.iter()), all(&mut theirs.iter().flatten()));
        if !ours.ends_with(&theirs) && !theirs.ends_with(&ours) {
            return Some(format!("comments: {ours:?} {theirs:?}"));
        }
    }
    None
}

#[test]
fn buildkit_reads_torn_files_alike() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut mutator = Mutator::new();
    let begin = Instant::now();
    let (mut runs, mut accepted) = (0, 0);
    while begin.elapsed() < mutation::seconds() {
        let data = mutator.next();
        let verdict = oracle.ask(&data);
        accepted += usize::from(verdict.parse_err.is_empty() && verdict.err.is_empty());
        if let Some(difference) = difference(&data, &verdict) {
            panic!("run {runs}: {difference}\n{}\n{}", String::from_utf8_lossy(&data), data.escape_ascii());
        }
        runs += 1;
    }
    oracle.stop();
    println!("{runs} files, {accepted} of them valid");
    assert!(accepted * 20 > runs, "only {accepted} of {runs} were valid");
}

#[test]
fn buildkit_reads_our_own_cases_alike() {
    let Some(mut oracle) = Oracle::start() else { return };
    for data in mutation::seeds() {
        let verdict = oracle.ask(&data);
        let found = difference(&data, &verdict);
        assert_eq!(found, None, "{}", String::from_utf8_lossy(&data));
        let onbuild = parse(&data).file.stages.into_iter().flat_map(|stage| stage.instructions);
        assert!(onbuild.filter(|i| matches!(i.kind, Kind::Onbuild { .. })).all(|i| i.text.len() >= 7));
    }
    oracle.stop();
}
