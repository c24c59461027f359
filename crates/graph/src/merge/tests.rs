use slipway_oci::Platform;

use crate::facts::KnownFacts;
use crate::ir::{Base, Graph, Input, Op, StageId};
use crate::lower::{Lowered, lower_all};
use crate::request::Request;

fn platforms(texts: &[&str]) -> Vec<Platform> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn joined(text: &str, targets: &[&str], on: &[&str]) -> Graph {
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    let mut request = Request::new("linux/amd64".parse().unwrap());
    request.targets = targets.iter().map(|target| (*target).to_owned()).collect();
    match lower_all(&parsed.file, &parsed.source, &request, &platforms(on), &KnownFacts::default()) {
        Ok(Lowered::Ready(graph)) => *graph,
        other => panic!("{other:?}"),
    }
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.stages.iter().map(|stage| stage.name.as_str()).collect()
}

const BOTH: [&str; 2] = ["linux/amd64", "linux/arm64"];

const CROSS: &str = "FROM --platform=$BUILDPLATFORM scratch AS build\nWORKDIR /src\nRUN fetch\nARG TARGETARCH\nRUN make $TARGETARCH\n\
                     FROM scratch\nCOPY --from=build /out /out\n";

#[test]
fn what_comes_before_the_target_is_read_is_done_once() {
    let graph = joined(CROSS, &[], &BOTH);
    let expected = ["build", "build@linux/amd64", "build@linux/arm64", "1@linux/amd64", "1@linux/arm64"];
    assert_eq!(names(&graph), expected);
    let steps = |id: usize| graph.stages[id].steps.iter().filter(|step| step.op.is_some()).count();
    assert_eq!((steps(0), steps(1), steps(2)), (2, 1, 1));
    assert_eq!(graph.stages[1].base, Base::Stage(StageId(0)));
    assert_eq!(graph.stages[2].base, Base::Stage(StageId(0)));
    assert_ne!(graph.stages[1].key, graph.stages[2].key);
    let read = |id: usize| match &graph.stages[id].steps[0].op {
        Some(Op::Copy(copy)) => match &copy.items[0] {
            crate::ir::CopyItem::Path { input: Input::Stage(stage), .. } => stage.0,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!((read(3), read(4)), (1, 2));
    let outputs: Vec<_> = graph.outputs.iter().map(|o| (o.stage.0, o.platform.to_string())).collect();
    assert_eq!(outputs, [(3, "linux/amd64".to_owned()), (4, "linux/arm64".to_owned())]);
    assert_eq!(graph.targets().len(), 1);
}

#[test]
fn a_stage_of_the_build_platform_is_there_once_and_copies_of_it_have_one_key() {
    let text = "FROM --platform=$BUILDPLATFORM scratch AS assets\nRUN make\nFROM scratch AS web\nCOPY --from=assets /a /a\n";
    let graph = joined(text, &[], &BOTH);
    assert_eq!(names(&graph), ["assets", "web@linux/amd64", "web@linux/arm64"]);
    // What runs on the target is named by platform, but copying the same files into nothing is the same step.
    assert_eq!(graph.stages[1].steps[0].key, graph.stages[2].steps[0].key);
}

#[test]
fn commands_of_different_platforms_have_different_keys_and_share_nothing() {
    let graph = joined("FROM scratch AS a\nRUN x\n", &[], &BOTH);
    assert_eq!(names(&graph), ["a@linux/amd64", "a@linux/arm64"]);
    assert_ne!(graph.stages[0].key, graph.stages[1].key);
}

#[test]
fn targets_come_one_after_another_each_with_all_platforms() {
    let graph = joined(CROSS, &["build", "1"], &["linux/amd64", "linux/arm64", "linux/arm/v7"]);
    let outputs: Vec<_> = graph.targets().map(|group| (group[0].target.as_str(), group.len())).collect();
    assert_eq!(outputs, [("build", 3), ("1", 3)]);
    assert_eq!(graph.platforms_line(), "linux/amd64, linux/arm64, linux/arm/v7");
}

#[test]
fn platforms_with_the_same_form_of_a_stage_share_it() {
    let text = "FROM --platform=$BUILDPLATFORM scratch AS a\nARG TARGETOS\nRUN x\nARG TARGETVARIANT\nRUN y $TARGETVARIANT\n";
    let graph = joined(text, &[], &["linux/amd64", "linux/arm64", "linux/arm/v7"]);
    assert_eq!(names(&graph), ["a", "a@linux/amd64+linux/arm64", "a@linux/arm/v7"]);
}

#[test]
fn one_platform_changes_nothing() {
    let graph = joined(CROSS, &[], &["linux/arm64"]);
    assert_eq!(names(&graph), ["build", "1"]);
    assert_eq!(graph.outputs[0].platform.to_string(), "linux/arm64");
}

#[test]
fn a_mistake_is_told_once() {
    let text = "FROM scratch\nCOPY --from=9 a b\n";
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    let request = Request::new("linux/amd64".parse().unwrap());
    let problems =
        lower_all(&parsed.file, &parsed.source, &request, &platforms(&BOTH), &KnownFacts::default());
    assert_eq!(problems.unwrap_err().len(), 1);
}
