//! `slipway check` as a program: exit codes, files, standard input, formats.

#![allow(clippy::unwrap_used)] // helpers of tests are not seen as tests

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// A directory of a test's own.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check").join(name);
    let _ = fs::remove_dir_all(&folder);
    for (file, text) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn check(folder: &Path, args: &[&str]) -> Output {
    program(folder, args).output().unwrap()
}

fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command
        .arg("check")
        .args(args)
        .current_dir(folder)
        .env_remove("COLUMNS")
        .env("FROM_ENV", "debian:latest");
    command
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

const CLEAN: &str = "FROM alpine:3.20\nUSER 1000\n";
const WARNS: &str = "FROM alpine\nUSER 1000\n";
const FAILS: &str = "FROM alpine:3.20\nUSER 1000\nRNU x\n";

#[test]
fn exit_codes() {
    let folder = folder(
        "codes",
        &[("clean", CLEAN), ("warns", WARNS), ("fails", FAILS), ("info", "FROM a:1\nRUN b\nRUN c\nUSER 1\n")],
    );
    let table: [(&[&str], i32); 14] = [
        (&["-f", "clean"], 0),
        (&["-f", "warns"], 1),
        (&["-f", "fails"], 1),
        (&["-f", "info"], 0),
        (&["-f", "info", "--fail-on", "info"], 1),
        (&["-f", "warns", "--fail-on", "error"], 0),
        (&["-f", "fails", "--fail-on", "error"], 1),
        (&["-f", "fails", "--fail-on", "never"], 0),
        (&["-f", "warns", "--skip", "BaseImageTag"], 0),
        (&["-f", "clean", "--enable", "BaseImageDigest"], 1),
        (&["-f", "missing"], 2),
        (&["-f", "clean", "nowhere"], 2),
        (&["--skip", "Nope"], 2),
        (&["--nonsense"], 2),
    ];
    for (args, wanted) in table {
        let output = check(&folder, args);
        assert_eq!(code(&output), Some(wanted), "{args:?}\n{}{}", out(&output), err(&output));
        if wanted == 2 {
            assert!(
                out(&output).is_empty() && err(&output).starts_with("error: "),
                "{args:?}: {}",
                err(&output)
            );
        }
    }
}

#[test]
fn text_goes_to_standard_output_and_the_count_to_standard_error() {
    let folder = folder("text", &[("Dockerfile", WARNS)]);
    let output = check(&folder, &[]);
    let wanted = "warning[BaseImageTag]: `alpine` names no version, so it is whatever `latest` is on the day\n  --> Dockerfile:1:6\n   |\n 1 | FROM alpine\n   |      ^^^^^^\n   |\n   = help: add a tag, such as `alpine:<version>`\n";
    assert_eq!(out(&output), wanted);
    assert_eq!(err(&output), "Dockerfile: 1 warning; `slipway check --explain BaseImageTag` tells more\n");
    let coloured = check(&folder, &["--color", "always"]);
    assert!(out(&coloured).contains("\u{1b}["));
}

#[test]
fn ignore_files_are_found() {
    let dockerfile = "FROM a:1\nCOPY . /x\nCOPY secret /x\nUSER 1\n";
    let codes = |folder: &Path, args: &[&str]| {
        let output = check(folder, &[args, &["--format", "json"]].concat());
        let report: Value = serde_json::from_str(out(&output)).unwrap();
        let findings = report["findings"].as_array().unwrap().iter();
        findings.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let none = folder("ignore-none", &[("Dockerfile", dockerfile)]);
    assert_eq!(codes(&none, &[]), ["MissingIgnoreFile"]);
    let plain = folder("ignore-plain", &[("Dockerfile", dockerfile), (".dockerignore", "secret\n")]);
    assert_eq!(codes(&plain, &[]), ["CopyIgnoredFile"]);
    let own = folder(
        "ignore-own",
        &[
            ("b/My.Dockerfile", dockerfile),
            ("b/My.Dockerfile.dockerignore", "x\n"),
            ("c/.dockerignore", "secret\n"),
        ],
    );
    assert_eq!(codes(&own, &["-f", "b/My.Dockerfile", "c"]), [""; 0]);
    let lower = folder("ignore-lower", &[("dockerfile", "FROM a:1\nUSER 1\n")]);
    assert_eq!(codes(&lower, &[]), [""; 0]);
    let broken = folder("ignore-broken", &[("Dockerfile", dockerfile), (".dockerignore", "a\n!\n")]);
    let output = check(&broken, &[]);
    assert_eq!(code(&output), Some(2));
    assert!(
        err(&output).contains(".dockerignore: line 2: `!` must be followed by a pattern"),
        "{}",
        err(&output)
    );
}

#[test]
fn standard_input_has_no_context() {
    let folder = folder("stdin", &[("x", "")]);
    for args in [&["-", "--format", "json"][..], &["-f", "-", "--format", "json", "."]] {
        let mut child = program(&folder, args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"FROM a:1\nCOPY . /x\nUSER 1\n").unwrap();
        let output = child.wait_with_output().unwrap();
        let report: Value = serde_json::from_str(out(&output)).unwrap();
        let missing = report["counts"]["warning"].as_u64().unwrap();
        assert_eq!(missing, u64::from(args[0] == "-f"), "{args:?}: {report}");
    }
}

#[test]
fn targets_and_arguments() {
    let folder = folder(
        "args",
        &[("Dockerfile", "ARG BASE=alpine:3\nFROM $BASE AS a\nUSER 1\nFROM b AS c\nUSER 1\n")],
    );
    let output = check(&folder, &["--target", "a"]);
    assert_eq!((code(&output), out(&output)), (Some(0), ""));
    let output = check(&folder, &["--target", "a", "--build-arg", "BASE=debian"]);
    assert!(out(&output).contains("`$BASE` (here `debian`)"), "{}", out(&output));
    let output = check(&folder, &["--target", "a", "--build-arg", "FROM_ENV", "--build-arg", "BASE"]);
    assert_eq!(code(&output), Some(0));
    let output = check(&folder, &["--target", "aa"]);
    assert!(
        out(&output).contains("there is no stage `aa`") && out(&output).contains("did you mean `a`?"),
        "{}",
        out(&output)
    );
}

#[test]
fn json_is_as_documented() {
    let folder = folder("json", &[("Dockerfile", "FROM a:1 AS b\nFROM a:1 AS b\nUSER ü$(x)\nFORM\n")]);
    let report: Value = serde_json::from_str(out(&check(&folder, &["--format", "json"]))).unwrap();
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/checks.md")).unwrap();
    let documented = |field: &str| {
        assert!(docs.contains(&format!("| `{field}` |")), "docs/checks.md does not tell of {field}");
    };
    for field in report.as_object().unwrap().keys().filter(|field| *field != "findings") {
        documented(field);
    }
    let first = &report["findings"].as_array().unwrap()[1];
    for field in first.as_object().unwrap().keys() {
        documented(&format!("findings[].{field}{}", if field == "labels" { "[]" } else { "" }));
    }
    assert_eq!(report["version"], 1);
    assert_eq!(report["file"], "Dockerfile");
    let duplicate = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["code"] == "DuplicateStageName")
        .unwrap();
    assert_eq!(duplicate["at"]["start"], serde_json::json!({"line": 2, "column": 13, "offset": 26}));
    assert_eq!(duplicate["at"]["end"], serde_json::json!({"line": 2, "column": 14, "offset": 27}));
    assert_eq!(duplicate["labels"][0]["at"]["start"]["line"], 1);
    assert_eq!(duplicate["page"], "docs/checks/DuplicateStageName.md");
    assert!(report["counts"]["error"].as_u64().unwrap() > 0);
}

#[test]
fn sarif_has_what_scanners_need() {
    let folder = folder("sarif", &[("my files/Dockerfile", "FROM a AS b\nFROM a AS b\nFORM\n")]);
    let output = check(&folder, &["--format", "sarif", "my files"]);
    let sarif: Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(results.len() >= 4);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(!rules[index]["shortDescription"]["text"].as_str().unwrap().is_empty());
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "my%20files/Dockerfile");
        assert!(
            place["region"]["startLine"].as_u64().unwrap() > 0
                && place["region"]["endColumn"].as_u64().unwrap() > 0
        );
    }
}

#[test]
fn annotations_are_escaped() {
    let folder = folder("github", &[("a,b", "FROM alpine\nUSER 1\nCMD node 100%\n")]);
    let output = check(&folder, &["--format", "github", "-f", "a,b"]);
    let lines: Vec<&str> = out(&output).lines().collect();
    let start = "::warning file=a%2Cb,line=1,endLine=1,col=6,endColumn=12,title=BaseImageTag::`alpine` names no version";
    assert!(lines[0].starts_with(start), "{}", lines[0]);
    assert!(lines[1].contains("%0Awrite `CMD [\"node\", \"100%25\"]`"), "{}", lines[1]);
    assert_eq!(lines.len(), 2);
}

#[test]
fn rules_are_listed_and_explained() {
    let folder = folder("rules", &[("x", "")]);
    let list = check(&folder, &["--rules"]);
    assert!(out(&list).lines().count() > 30);
    for name in out(&list).lines().filter_map(|line| line.split_whitespace().next()) {
        let page = check(&folder, &["--explain", name]);
        assert!(out(&page).starts_with(&format!("# {name}\n")), "{name}");
    }
    assert_eq!(code(&check(&folder, &["--explain", "Nope"])), Some(2));
}
