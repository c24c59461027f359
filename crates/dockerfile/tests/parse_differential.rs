//! An independent parser reads the same files: `parse-dockerfile` and ours must accept the same ones and find the same
//! instructions with the same arguments, unless a reason in [`REASONS`] explains the difference.
//!
//! Each reason has an example, which must still differ: a reason that no longer holds has to go.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not seen as tests

mod differential;

use differential::{Outline, ours, theirs};
use proptest::{prelude::*, sample::select};
use slipway_dockerfile::parse;

/// Why a file may be read differently: what differs, how to see it, an example.
struct Reason {
    name: &'static str,
    holds: fn(&Case) -> bool,
    example: &'static str,
}

/// A file that was read by both.
struct Case<'t> {
    text: &'t str,
    /// Our instructions, or the codes of our errors.
    ours: Result<Vec<Outline>, Vec<&'static str>>,
    /// Their instructions, or their message.
    theirs: Result<Vec<Outline>, String>,
}

impl<'t> Case<'t> {
    fn read(text: &'t str) -> Self {
        Self { text, ours: ours(text), theirs: theirs(text) }
    }

    fn agrees(&self) -> bool {
        match (&self.ours, &self.theirs) {
            (Ok(ours), Ok(theirs)) => ours == theirs,
            (Err(_), Err(_)) => true,
            _ => false,
        }
    }

    fn we_reject_for(&self, codes: &[&str]) -> bool {
        self.theirs.is_ok()
            && self.ours.as_ref().is_err_and(|ours| ours.iter().any(|code| codes.contains(code)))
    }

    fn they_reject_for(&self, words: &str) -> bool {
        self.theirs.as_ref().is_err_and(|message| message.contains(words))
    }

    fn lines(&self, test: impl Fn(&str) -> bool) -> bool {
        self.text.lines().any(test)
    }
}

/// BuildKit is the judge: what it does stands in the comments.
const REASONS: &[Reason] = &[
    // BuildKit checks the names and values of flags; they take any flag.
    Reason {
        name: "flags are checked",
        holds: |case| {
            case.we_reject_for(&[
                "unknown-flag",
                "duplicate-flag",
                "flag-value",
                "unknown-mode",
                "invalid-mode",
            ])
        },
        example: "FROM a\nCOPY --chwon=me a b\n",
    },
    // BuildKit types mounts, devices, durations and signals.
    Reason {
        name: "values of flags are checked",
        holds: |case| {
            case.ours.as_ref().is_err_and(|codes| {
                codes.iter().any(|code| {
                    code.starts_with("mount-")
                        || [
                            "unknown-mount-key",
                            "invalid-fields",
                            "invalid-device",
                            "invalid-duration",
                            "invalid-retries",
                        ]
                        .contains(code)
                })
            })
        },
        example: "FROM a\nRUN --mount=type=cahce true\n",
    },
    Reason {
        name: "arguments are checked",
        holds: |case| {
            case.we_reject_for(&[
                "missing-equals",
                "blank-name",
                "unknown-signal",
                "invalid-stage-name",
                "onbuild-trigger",
                "empty-volume",
                "heredoc-destination",
                "missing-argument",
                "unknown-health-type",
                "from-arguments",
            ])
        },
        example: "FROM a\nENV A=1 B\n",
    },
    // BuildKit: "arrays must be comprised of strings only".
    Reason {
        name: "valid JSON of the wrong kind is an error, not plain text",
        holds: |case| case.we_reject_for(&["json-not-strings"]),
        example: "FROM a\nCMD [1]\n",
    },
    // BuildKit warns only (DuplicateStageName): the later stage wins.
    Reason {
        name: "two stages of one name are allowed",
        holds: |case| case.they_reject_for("duplicate stage name"),
        example: "FROM a AS x\nFROM b AS x\n",
    },
    // BuildKit accepts an empty ENTRYPOINT and an empty array for RUN.
    Reason {
        name: "an empty command is allowed",
        holds: |case| case.ours.is_ok() && case.they_reject_for("at least one argument"),
        example: "FROM a\nENTRYPOINT []\n",
    },
    // BuildKit finds here-documents anywhere in a RUN, ADD or COPY, and several of them; they look at the first word only.
    Reason {
        name: "here-documents can stand anywhere in the line",
        holds: |case| case.text.matches('<').count() > 1,
        example: "FROM a\nRUN cat <<A <<B\n1\nA\n2\nB\n",
    },
    // BuildKit takes the quotes and escapes off flags, and `--` ends them.
    Reason {
        name: "flags are unquoted and can end with `--`",
        holds: |case| {
            case.text.contains("--") && case.text.contains(['"', '\'', '\\', '`'])
                || case.text.contains("-- ")
                || case.lines(|line| line.ends_with("--"))
        },
        example: "FROM a\nCOPY --from=\"x\" a b\n",
    },
    // BuildKit: an escaped escape character at the end of a line continues nothing.
    Reason {
        name: "`\\\\` at the end of a line is no continuation",
        holds: |case| case.lines(|line| line.trim_end().ends_with("\\\\") || line.trim_end().ends_with("``")),
        example: "FROM a\nRUN a\\\\\nRUN b\n",
    },
    // BuildKit reports a directive that stands twice; they ignore all of them then. BuildKit's directives may be indented.
    Reason {
        name: "directives are read alike only in plain files",
        holds: |case| case.text.trim_start_matches('\u{feff}').trim_start().starts_with('#'),
        example: "# escape=`\n# escape=`\nFROM a\n",
    },
    // BuildKit joins the lines first and then finds an instruction without a name.
    Reason {
        name: "a continuation of nothing is an unknown instruction",
        holds: |case| {
            case.we_reject_for(&["unknown-instruction"])
                && case.lines(|line| matches!(line.trim(), "\\" | "`"))
        },
        example: "FROM a\n \\\n\n",
    },
    // BuildKit takes a continuation away even if the file ends behind it.
    Reason {
        name: "a continuation at the end of the file goes",
        holds: |case| case.text.trim_end_matches([' ', '\t']).ends_with(['\\', '`']),
        example: "FROM a\nWORKDIR b\\",
    },
    // BuildKit trims what Unicode calls white space at both ends of an instruction; they know only ASCII.
    Reason {
        name: "white space beyond ASCII, and control characters",
        holds: |case| {
            case.text.chars().any(|c| !c.is_ascii() || (c.is_ascii_control() && c != '\n' && c != '\t'))
        },
        example: "FROM a\nRUN b\u{a0}\n",
    },
];

/// Reads a file with both and panics at a difference that nothing explains.
fn compare(text: &str) -> Result<(), String> {
    let case = Case::read(text);
    if case.agrees() || REASONS.iter().any(|reason| (reason.holds)(&case)) {
        return Ok(());
    }
    Err(format!("{text}\nours:   {:?}\ntheirs: {:?}", case.ours, case.theirs))
}

#[test]
fn every_reason_has_an_example_that_differs() {
    for reason in REASONS {
        let case = Case::read(reason.example);
        assert!(!case.agrees(), "{}: both read it alike: {:?}", reason.name, case.ours);
        assert!((reason.holds)(&case), "{}: {:?} {:?}", reason.name, case.ours, case.theirs);
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z./][a-z0-9_./-]{0,8}",
        select(vec![
            "$A", "${B:-c}", "a=b", "\"x y\"", "'q'", "&&", "|", "a,b", "*.go", "[", "]", "#", "[\"a\"]",
            "a\\ b", "\\$x"
        ])
        .prop_map(str::to_owned),
    ]
}

/// White space between words, sometimes a continuation with comments and blank lines in it.
fn gap() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => Just(" ".to_owned()),
        1 => select(vec!["  ", "\t", " \t "]).prop_map(str::to_owned),
        1 => select(vec![" \\\n  ", "\\\n", " \\  \n\t", " \\\n# note\n ", " \\\n  # note \\\n ", " \\\n\n  "]).prop_map(str::to_owned),
    ]
}

fn words(count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = String> {
    proptest::collection::vec((gap(), word()), count)
        .prop_map(|parts| parts.into_iter().map(|(gap, word)| gap + &word).collect())
}

fn json() -> impl Strategy<Value = String> {
    let string = select(vec!["a", "b c", "\\\"", "\\u0041", "\\\\", "/x", "", "\u{e9}"])
        .prop_map(|text| format!("\"{text}\""));
    (proptest::collection::vec(string, 0..4), select(vec![",", ", ", " ,\t", ", \\\n  "]))
        .prop_map(|(strings, comma)| format!("[{}]", strings.join(comma)))
}

fn instruction() -> impl Strategy<Value = String> {
    let named = |names: Vec<&'static str>| select(names);
    prop_oneof![
        4 => (named(vec!["RUN", "CMD", "ENTRYPOINT", "run", "Cmd"]), words(1..6)).prop_map(|(name, rest)| name.to_owned() + &rest),
        2 => (named(vec!["RUN", "CMD", "ENTRYPOINT", "SHELL", "VOLUME", "COPY", "ADD"]), gap(), json())
            .prop_map(|(name, gap, json)| name.to_owned() + &gap + &json),
        3 => (named(vec!["COPY", "ADD", "copy"]), words(2..5)).prop_map(|(name, rest)| name.to_owned() + &rest),
        1 => (named(vec!["COPY --from=x", "COPY --link --chown=1:1", "ADD --checksum=sha256:0"]), words(2..4))
            .prop_map(|(name, rest)| name.to_owned() + &rest),
        2 => (named(vec!["ENV", "LABEL", "ARG"]), gap(), "[A-Z]{1,3}", word())
            .prop_map(|(name, gap, key, value)| format!("{name}{gap}{key}={value}")),
        1 => (named(vec!["ENV", "LABEL"]), words(2..4)).prop_map(|(name, rest)| name.to_owned() + &rest),
        2 => (named(vec!["WORKDIR", "USER", "MAINTAINER", "EXPOSE", "VOLUME"]), words(1..3)).prop_map(|(name, rest)| name.to_owned() + &rest),
        1 => Just("STOPSIGNAL SIGTERM".to_owned()),
        1 => (named(vec!["ONBUILD RUN", "ONBUILD COPY", "onbuild env"]), words(2..4)).prop_map(|(name, rest)| name.to_owned() + &rest),
        1 => words(1..3).prop_map(|rest| "RUN --mount=type=cache,target=/c --network=none".to_owned() + &rest),
        1 => words(1..3).prop_map(|rest| format!("RUN <<EOF{}\nfirst\n\tsecond\nEOF", rest.replace("\\\n", " ").replace('\n', " "))),
        1 => (word(), select(vec!["", " AS b", " as Name.1-x"])).prop_map(|(image, name)| format!("FROM {image}{name}")),
        1 => Just("# a comment \\".to_owned()),
        1 => Just(String::new()),
    ]
}

fn file() -> impl Strategy<Value = String> {
    (
        select(vec!["", "ARG X=1\n", "\n", "# note\n"]),
        select(vec!["\n", "\r\n"]),
        proptest::collection::vec(instruction(), 0..8),
    )
        .prop_map(|(top, end, instructions)| {
            let text = format!("{top}FROM scratch AS start\n{}\n", instructions.join("\n"));
            if end == "\n" { text } else { text.replace('\n', "\r\n") }
        })
}

/// A file with pieces cut out and others put in.
fn torn() -> impl Strategy<Value = String> {
    let token = select(vec![
        "\n", "\\\n", "\\", "\"", "'", "[", "]", "\"]", "FROM a\n", "RUN ", "ONBUILD ", " AS ", "--", "=",
        "#", " ", "$", "EOF\n",
    ]);
    let edit = (any::<prop::sample::Index>(), 0..12_usize, token);
    (file(), proptest::collection::vec(edit, 1..4)).prop_map(|(mut text, edits)| {
        for (index, remove, token) in edits {
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let from = index.index(boundaries.len());
            let to = (from + remove).min(boundaries.len() - 1);
            text.replace_range(boundaries[from]..boundaries[to], token);
        }
        text
    })
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(1500)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn generated_files_are_read_alike(text in file()) {
        prop_assert_eq!(compare(&text), Ok(()));
    }

    #[test]
    fn torn_files_are_read_alike(text in torn()) {
        prop_assert_eq!(compare(&text), Ok(()));
    }
}

/// Guards against a comparison that is empty because everything is rejected or explained away.
#[test]
fn most_generated_files_agree() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let (mut accepted, mut agree) = (0, 0);
    for _ in 0..500 {
        let text = file().new_tree(&mut runner).unwrap().current();
        let case = Case::read(&text);
        accepted += usize::from(parse(text.as_bytes()).is_ok());
        agree += usize::from(case.agrees());
    }
    assert!(accepted > 150, "only {accepted} of 500 are valid");
    assert!(agree > 300, "only {agree} of 500 agree");
}
