use slipway_dockerfile::diagnostic::Diagnostic;
use std::fmt::Write as _;

use super::{Origin, Outline, Via, outline};
use crate::request::{NamedContext, Request};

fn request() -> Request {
    Request::new("linux/amd64".parse().unwrap())
}

fn with(text: &str, request: &Request) -> Result<Outline, Vec<Diagnostic>> {
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    outline(&parsed.file, &parsed.source, request)
}

fn of(text: &str) -> Outline {
    with(text, &request()).unwrap()
}

/// Returns each problem as `code: message | help @ the text it points to`.
fn problems(text: &str, request: &Request) -> Vec<String> {
    let show = |p: &Diagnostic| {
        let help = p.help.as_deref().unwrap_or("-");
        format!("{}: {} | {help} @ {}", p.code, p.message, p.span.of(text))
    };
    with(text, request).unwrap_err().iter().map(show).collect()
}

const DIAMOND: &str = concat!(
    "FROM node AS base\n",
    "FROM base AS left\nRUN a\nRUN b\n",
    "FROM base AS right\nCOPY x y\n",
    "FROM alpine AS unused\nRUN never\n",
    "FROM scratch\nCOPY --from=left /l /m /\nRUN --mount=from=right,source=/r,target=/r c\n",
);

#[test]
fn prunes_orders_and_finds_the_longest_chain() {
    let outline = of(DIAMOND);
    assert_eq!(outline.order, [0, 1, 2, 4]);
    assert_eq!(outline.levels, [vec![0], vec![1, 2], vec![4]]);
    assert_eq!(outline.critical, [0, 1, 4]);
    assert_eq!(outline.label(4), "4");
    assert_eq!(outline.targets[0].name, "4");
    let flows: Vec<String> = outline.stages[4]
        .flows
        .iter()
        .map(|flow| format!("{:?} {:?} {} line {}", flow.origin, flow.via, flow.paths.join(" "), flow.line))
        .collect();
    assert_eq!(flows, ["Scratch From  line 9", "Stage(1) Copy /l /m line 10", "Stage(2) Mount /r line 11"]);
}

#[test]
fn several_targets_by_name_in_any_case_or_number() {
    let mut request = request();
    request.targets = vec!["RIGHT".into(), "3".into()];
    let outline = with(DIAMOND, &request).unwrap();
    assert_eq!(outline.order, [0, 2, 3]);
    assert_eq!(outline.targets.iter().map(|t| t.stage).collect::<Vec<_>>(), [2, 3]);
    request.targets = vec!["rihgt".into(), "prod".into(), "9".into()];
    let messages = problems(DIAMOND, &request);
    assert_eq!(
        messages[0],
        "unknown-target: there is no stage `rihgt` to build | did you mean `right`? @ FROM scratch"
    );
    assert!(messages[1].contains("the stages are `base`, `left`, `right`, `unused`"), "{messages:?}");
    assert_eq!(messages.len(), 3);
}

#[test]
fn circles_and_references_downwards_are_errors_at_the_name() {
    for (text, expected) in [
        (
            "FROM a AS one\nCOPY --from=two x y\nFROM b AS two\nCOPY --from=one x y",
            "circular-stages: stages wait for each other: `one` needs `two`, which needs `one` | move what both need into a stage of its own, above them @ two",
        ),
        (
            "FROM a AS one\nCOPY --from=two x y\nFROM b AS two\nFROM c\nCOPY --from=one x y",
            "forward-reference: stage `one` takes files of `two`, which is defined below it | move stage `two` (line 3) above stage `one` (line 1) @ two",
        ),
        (
            "FROM a AS one\nCOPY --from=0 x y",
            "circular-stages: stage `one` takes files of itself | copy from an earlier stage, or use `RUN cp` inside the stage @ 0",
        ),
        (
            "FROM a\nCOPY --from=7 x y",
            "unknown-stage: there is no stage number 7 | the file has 1 stages, counted from 0; better, name the stage with AS @ 7",
        ),
        (
            "FROM a AS one\nFROM b\nRUN --mount=from=0,target=/x y",
            "unknown-stage: `from=0` in a mount takes a stage's name, not its number | name the stage with AS @ 0",
        ),
        (
            "FROM a AS build\nFROM Build",
            "bad-reference: `Build` is neither a stage above nor an image reference: the repository must be in lower case | stage names are lower case in FROM: write `build` @ Build",
        ),
        (
            "ARG X\nFROM $X",
            "empty-base: `$X` is empty, so there is nothing to start from | give the argument a default before the first FROM, or pass it with --build-arg @ $X",
        ),
        (
            "FROM --platform=$NOPE a",
            "bad-platform: `--platform=$NOPE` is empty | the arguments that FROM sees are those above the first FROM, BUILDPLATFORM and TARGETPLATFORM @ $NOPE",
        ),
        (
            "ARG X=${Y:?say-y}\nFROM a",
            "required-variable: Y: say-y | pass it with --build-arg Y=…, or give it a default @ ${Y:?say-y}",
        ),
    ] {
        assert_eq!(problems(text, &request()), [expected], "{text}");
    }
}

#[test]
fn mistakes_in_stages_that_nobody_needs_do_not_stop_a_build() {
    let outline = of("FROM a AS one\nCOPY --from=two x y\nFROM b AS two\nCOPY --from=one x y\nFROM c");
    assert_eq!(outline.order, [2]);
}

#[test]
fn all_problems_come_together() {
    let text = "FROM a\nCOPY --from=9 x y\nFROM UPPER\nFROM $NOPE\nCOPY --from=8 x y";
    assert_eq!(problems(text, &request()).len(), 4);
}

#[test]
fn names_mean_what_stands_above_and_copies_take_the_last_of_a_name() {
    let outline = of("FROM a AS x\nFROM x AS x\nFROM x\nCOPY --from=x / /");
    assert_eq!(outline.stages[1].base, Origin::Stage(0));
    assert_eq!(outline.stages[2].base, Origin::Stage(1));
    assert_eq!(outline.stages[2].flows[1].origin, Origin::Stage(1));
}

#[test]
fn near_misses_of_stage_names_are_mentioned() {
    let outline = of("FROM a AS builder\nFROM b\nCOPY --from=bulider x y\nCOPY --from=nginx x y");
    assert_eq!(outline.warnings.len(), 1);
    assert_eq!(outline.warnings[0].help.as_deref(), Some("did you mean the stage `builder`?"));
}

#[test]
fn bases_named_contexts_and_platforms() {
    let mut request = request();
    request.contexts.insert("alpine".into(), NamedContext::Tree);
    request.contexts.insert("two::linux/amd64".into(), NamedContext::Image("x:1".into()));
    let text = "FROM docker.io/library/alpine:latest AS one\nFROM alpine:3 AS two\nRUN x\nFROM --platform=arm64 two\nFROM --platform=arm64 b AS c\nFROM --platform=amd64 c";
    request.targets = vec!["3".into(), "2".into()];
    let outline = with(text, &request).unwrap();
    assert_eq!(outline.stages[0].base, Origin::Context("alpine".into()));
    assert_eq!(outline.stages[1].base, Origin::Image("docker.io/library/x:1".into()));
    assert!(outline.stages[1].replaced && outline.stages[1].steps.is_empty());
    // A stage on a stage runs on what that one runs on.
    assert_eq!(outline.stages[2].platform.to_string(), "linux/amd64");
    assert_eq!(outline.stages[4].platform.to_string(), "linux/arm64");
    assert_eq!(outline.stages[1].flows[0].via, Via::From);
}

#[test]
fn ten_thousand_stages_in_a_chain() {
    let mut text = "FROM a AS s0\n".to_owned();
    for n in 1..10_000 {
        let _ = write!(text, "FROM s{} AS s{n}\nRUN x\n", n - 1);
    }
    let outline = of(&text);
    assert_eq!(outline.order.len(), 10_000);
    assert_eq!(outline.levels.len(), 10_000);
    assert_eq!(outline.critical.len(), 10_000);
}

#[test]
fn a_circle_of_many_stages_is_found_without_recursion() {
    let mut text = String::new();
    for n in 0..5_000 {
        let _ = write!(text, "FROM a AS s{n}\nCOPY --from=s{} x y\n", (n + 1) % 5_000);
    }
    let found = problems(&text, &request());
    assert!(found[0].starts_with("circular-stages"), "{}", &found[0][..100]);
    assert!(found[0].len() < 2_000, "{}", found[0].len());
}

#[test]
fn a_build_arg_reaches_from_without_a_declaration_but_with_a_warning() {
    let mut request = request();
    request.build_args.insert("V".into(), "1".into());
    let text = "FROM debian:${V:-2} AS one\nFROM debian:x$VV AS two\nFROM scratch\nCOPY --from=one / /\n";
    let found = with(text, &request).unwrap();
    assert_eq!(found.stages[0].base, Origin::Image("docker.io/library/debian:1".into()));
    let codes: Vec<(&str, &str)> = found.warnings.iter().map(|w| (w.code, w.span.of(text))).collect();
    assert_eq!(codes, [("undeclared-arg-in-from", "debian:${V:-2}")]);
    let declared = with(&format!("ARG V\n{text}"), &request).unwrap();
    assert!(declared.warnings.is_empty());
}
