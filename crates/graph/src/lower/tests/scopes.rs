//! ARG and ENV: who sees what.

use super::{AllKnown, graph, graph_of, histories, last, request, runs, value};
use crate::ir::Base;

#[test]
fn a_global_arg_is_for_from_lines_until_a_stage_declares_it() {
    let stage = last("ARG V=1\nFROM debian:$V\nRUN a\nARG V\nRUN b\nARG V=2\nRUN c");
    let seen: Vec<_> = runs(&stage).iter().map(|run| value(&run.env, "V")).collect();
    assert_eq!(seen, [None, Some("1"), Some("2")]);
}

#[test]
fn a_build_arg_wins_and_its_default_is_not_even_read() {
    let mut request = request();
    request.build_args.insert("V".into(), "9".into());
    let text = "ARG V=1\nFROM debian:$V\nARG V=${X:?never}\nRUN a";
    let graph = graph_of(text, &request, &AllKnown::default()).unwrap();
    assert_eq!(graph.images[0].reference, "docker.io/library/debian:9");
    assert_eq!(value(&runs(&graph.stages[0])[0].env, "V"), Some("9"));
}

#[test]
fn children_inherit_args_and_siblings_do_not() {
    let text = "FROM a AS one\nARG V=1\nENV E=$V\nFROM one AS two\nRUN x\nFROM b\nCOPY --from=two / /\nRUN y";
    let graph = graph(text);
    let two = runs(&graph.stages[1])[0];
    assert_eq!((value(&two.env, "V"), value(&two.env, "E")), (Some("1"), Some("1")));
    let three = runs(&graph.stages[2])[0];
    assert_eq!((value(&three.env, "V"), value(&three.env, "E")), (None, None));
}

#[test]
fn one_snapshot_for_each_instruction() {
    let stage = last("FROM scratch\nENV a=1 b=x\nENV a=2 b=$a c=$a\nENV d=$a");
    assert_eq!(stage.config.config.env[1..], ["a=2", "b=1", "c=1", "d=2"]);
    assert_eq!(histories(&stage)[1], "ENV a=2 b=1 c=1");
}

#[test]
fn args_are_not_in_the_image_and_are_in_the_history() {
    let stage = last("FROM debian\nARG A=1\nARG B\nENV C=$A\nRUN make all\nRUN [\"ls\", \"-l\"]");
    assert!(stage.config.config.env.iter().all(|entry| !entry.starts_with("A=")));
    assert_eq!(
        histories(&stage),
        [
            "ARG A=1",
            "ARG B",
            "ENV C=1",
            "RUN |2 A=1 B= /bin/sh -c make all # buildkit",
            "RUN |2 A=1 B= ls -l # buildkit"
        ]
    );
}

#[test]
fn platform_args_must_be_declared() {
    let mut request = request();
    request.platform = "linux/arm/v7".parse().unwrap();
    let text =
        "FROM --platform=$BUILDPLATFORM debian AS b\nRUN a\nARG TARGETARCH TARGETVARIANT TARGETSTAGE\nRUN b";
    let graph = graph_of(text, &request, &AllKnown::default()).unwrap();
    let stage = &graph.stages[0];
    let (first, second) = (runs(stage)[0], runs(stage)[1]);
    assert_eq!(value(&first.env, "TARGETARCH"), None);
    assert_eq!(value(&second.env, "TARGETARCH"), Some("arm"));
    assert_eq!(value(&second.env, "TARGETVARIANT"), Some("v7"));
    assert_eq!(value(&second.env, "TARGETSTAGE"), Some("b"));
    assert_eq!(stage.platform.to_string(), "linux/amd64");
}

#[test]
fn the_last_of_env_and_arg_wins_at_build_time() {
    let stage = last("FROM debian\nENV V=env\nARG V=arg\nRUN a\nENV V=again\nRUN b");
    let seen: Vec<_> = runs(&stage).iter().map(|run| value(&run.env, "V")).collect();
    assert_eq!(seen, [Some("arg"), Some("again")]);
    assert_eq!(stage.config.config.env.last().unwrap(), "V=again");
}

#[test]
fn proxies_are_hidden_until_declared() {
    let mut request = request();
    request.build_args.insert("http_proxy".into(), "http://p".into());
    let text = "FROM debian\nRUN a\nARG http_proxy\nRUN b";
    let graph = graph_of(text, &request, &AllKnown::default()).unwrap();
    let (first, second) = (runs(&graph.stages[0])[0].clone(), runs(&graph.stages[0])[1].clone());
    assert_eq!(value(&first.env, "http_proxy"), None);
    assert_eq!(value(&first.hidden_env, "HTTP_PROXY"), Some("http://p"));
    assert_eq!(value(&first.hidden_env, "http_proxy"), Some("http://p"));
    assert_eq!(value(&second.env, "http_proxy"), Some("http://p"));
    assert_eq!(value(&second.hidden_env, "http_proxy"), None);
    request.build_args.insert("http_proxy".into(), "http://q".into());
    let other = graph_of(text, &request, &AllKnown::default()).unwrap();
    assert_eq!(graph.stages[0].steps[0].key, other.stages[0].steps[0].key);
    assert_ne!(graph.stages[0].key, other.stages[0].key);
}

#[test]
fn a_base_can_depend_on_an_arg() {
    let text = "FROM debian AS deps-dev\nRUN dev\nFROM debian AS deps-prod\nRUN prod\nFROM deps-${BUILD_ENV:-prod} AS deps\nRUN x";
    let prod = graph(text);
    assert_eq!(prod.stages.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["deps-prod", "deps"]);
    assert_eq!(prod.stages[1].base, Base::Stage(prod.stages[0].id));
    let mut request = request();
    request.build_args.insert("BUILD_ENV".into(), "dev".into());
    // Not declared, and yet it can only be meant; the outline warns.
    let undeclared = graph_of(text, &request, &AllKnown::default()).unwrap();
    assert_eq!(undeclared.stages[0].name, "deps-dev");
    let declared = graph_of(&format!("ARG BUILD_ENV\n{text}"), &request, &AllKnown::default()).unwrap();
    assert_eq!(declared.stages[0].name, "deps-dev");
}
