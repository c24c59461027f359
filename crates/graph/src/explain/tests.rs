use slipway_oci::Digest;

use super::explain;
use crate::facts::{ContentFact, ContentNeed, ImageFact, KnownFacts};
use crate::ir::Graph;
use crate::key::KeyPart;
use crate::lower::{Lowered, lower};
use crate::request::Request;

/// A file tree: path and content.
type Files<'f> = &'f [(&'f str, &'f str)];

/// Lowers a file over a context and bases at a version.
fn graph(text: &str, files: Files<'_>, base: &str, args: &[(&str, &str)]) -> Graph {
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    let mut request = Request::new("linux/amd64".parse().unwrap());
    request.build_args = args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut facts = KnownFacts::default();
    loop {
        match lower(&parsed.file, &parsed.source, &request, &facts).unwrap() {
            Lowered::Ready(graph) => return *graph,
            Lowered::Needs(needs) => {
                for need in needs.images {
                    let mut config = slipway_oci::ImageConfig::default();
                    config.rootfs.diff_ids = vec![Digest::of(format!("{} {base}", need.reference))];
                    facts.images.insert(need, ImageFact { digest: Digest::of(base), config });
                }
                for need in needs.contents {
                    let ContentNeed::Tree(selection) = &need else { continue };
                    let prefix = selection.pattern.trim_start_matches('/').trim_end_matches('*').to_owned();
                    let files: Vec<(String, Digest)> = files
                        .iter()
                        .filter(|(path, _)| path.starts_with(&prefix))
                        .map(|(path, content)| ((*path).to_owned(), Digest::of(content)))
                        .collect();
                    let digest = Digest::of(format!("{files:?}"));
                    facts.contents.insert(need, ContentFact { digest, files });
                }
            }
        }
    }
}

/// Explains each file step of the last stage.
fn why(old: &Graph, new: &Graph) -> Vec<String> {
    let steps = |graph: &Graph| {
        graph.stages.last().unwrap().steps.iter().filter(|s| s.op.is_some()).cloned().collect::<Vec<_>>()
    };
    steps(old).iter().zip(steps(new)).map(|(old, new)| explain(&old.parts, &new.parts).to_string()).collect()
}

const TEXT: &str = "ARG B=bookworm\nFROM debian:$B\nARG X=1\nWORKDIR /w\nCOPY src/ .\nRUN make $X\nRUN done";

#[test]
fn files_args_bases_and_commands() {
    let files = [("src/a.go", "1"), ("src/b.go", "1"), ("README", "1")];
    let first = graph(TEXT, &files, "1", &[]);
    assert_eq!(why(&first, &first), ["", "", "", ""]);

    let changed = graph(TEXT, &[("src/a.go", "2"), ("src/c.go", "1"), ("README", "2")], "1", &[]);
    assert_eq!(
        why(&first, &changed),
        [
            "",
            "file src/a.go changed, file src/c.go added, file src/b.go removed",
            "the step before it changed",
            "the step before it changed"
        ]
    );
    let arg = graph(TEXT, &files, "1", &[("X", "2")]);
    assert_eq!(why(&first, &arg), ["", "", "ARG X: 1 → 2", "ARG X: 1 → 2"]);
    let moved = graph(TEXT, &files, "2", &[]);
    assert_eq!(why(&first, &moved)[..2], ["base debian:bookworm moved", "the step before it changed"]);
    let other = graph(TEXT, &files, "1", &[("B", "trixie")]);
    assert_eq!(why(&first, &other)[0], "base debian:bookworm → debian:trixie");
    let command = graph(&TEXT.replace("RUN done", "RUN --network=none -- finish"), &files, "1", &[]);
    assert_eq!(why(&first, &command), ["", "", "", "command changed, network: Default → None"]);
}

#[test]
fn stages_and_images() {
    let text = "FROM debian AS build\nARG X=1\nRUN make\nFROM debian\nCOPY --from=build /a /b\nCOPY --from=tools:1 /c /d";
    let first = graph(text, &[], "1", &[]);
    let second = graph(text, &[], "1", &[("X", "2")]);
    assert_eq!(why(&first, &second), ["stage build changed", "the step before it changed"]);
    let moved = graph(text, &[], "2", &[]);
    assert_eq!(why(&first, &moved)[1], "image tools:1 moved");
}

#[test]
fn many_changes_are_counted() {
    let part = |n: usize, value: &str| KeyPart { name: format!("file f{n:02}"), value: value.to_owned() };
    let old: Vec<KeyPart> = (0..40).map(|n| part(n, "1")).collect();
    let new: Vec<KeyPart> = (0..40).map(|n| part(n, "2")).collect();
    let reasons = explain(&old, &new);
    assert_eq!(reasons.len(), 6);
    assert_eq!(reasons[5], "35 more files changed");
    let env = |value: &str| {
        (0..40).map(|n| KeyPart { name: format!("env E{n}"), value: value.into() }).collect::<Vec<_>>()
    };
    let reasons = explain(&env("1"), &env(&"x".repeat(500)));
    assert_eq!(reasons.len(), 8);
    assert_eq!(reasons[7], "33 more changes");
    assert!(reasons.iter().all(|reason| reason.chars().count() < 100), "{reasons:?}");
}

#[test]
fn big_contexts_are_told_by_folder() {
    let name = |n: usize| format!("src/p{}/f{n}.go", n % 7);
    let names: Vec<String> = (0..500).map(name).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let mut changed = files.clone();
    changed[8].1 = "2";
    let (first, second) = (graph(TEXT, &files, "1", &[]), graph(TEXT, &changed, "1", &[]));
    assert_eq!(why(&first, &second)[1], "files below src/p1/ changed");
    assert!(first.stages[0].steps.iter().all(|step| step.parts.len() < 300));
}
