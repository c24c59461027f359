//! Instructions that change the configuration.

use slipway_oci::{Digest, ImageConfig};

use super::{AllKnown, graph_of, histories, last, problems, request, runs};
use crate::facts::{ImageFact, ImageNeed, KnownFacts};
use crate::ir::{Base, Op};
use crate::lower::{Lowered, lower};

#[test]
fn scratch_has_a_path_and_a_root() {
    let stage = last("FROM scratch");
    assert_eq!(stage.config.config.env, [format!("PATH={}", crate::request::DEFAULT_PATH)]);
    assert_eq!(stage.config.config.working_dir, "/");
    assert_eq!((stage.config.os.as_str(), stage.config.architecture.as_str()), ("linux", "amd64"));
}

#[test]
fn commands_and_entrypoints() {
    let stage = last("FROM a\nCMD [\"x\"]\nENTRYPOINT [\"y\", \"-z\"]");
    assert_eq!(stage.config.config.cmd, Some(vec!["x".into()]));
    let stage = last("FROM a AS b\nCMD [\"x\"]\nFROM b\nENTRYPOINT y $HOME");
    assert_eq!(stage.config.config.cmd, None);
    assert_eq!(histories(&stage), ["ENTRYPOINT [\"/bin/sh\" \"-c\" \"y $HOME\"]"]);
    let stage = last("FROM a\nENTRYPOINT [\"y\"]\nENTRYPOINT []");
    assert_eq!(stage.config.config.entrypoint, None);
    let stage = last("FROM a\nSHELL [\"/bin/bash\", \"-ec\"]\nCMD a && b\nRUN c");
    assert_eq!(stage.config.config.cmd, Some(vec!["/bin/bash".into(), "-ec".into(), "a && b".into()]));
    assert_eq!(runs(&stage)[0].args, ["/bin/bash", "-ec", "c"]);
    assert_eq!(histories(&stage)[0], "SHELL [/bin/bash -ec]");
    assert!(stage.config.config.args_escaped);
}

#[test]
fn working_directories_join_and_are_made() {
    let stage = last("FROM scratch\nWORKDIR a\nUSER u:g\nWORKDIR ../b/$X\nWORKDIR /c/\nWORKDIR /\nRUN x");
    let made: Vec<(&str, &str)> = stage
        .steps
        .iter()
        .filter_map(|step| match &step.op {
            Some(Op::Workdir(op)) => Some((op.path.as_str(), op.user.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(made, [("/a", ""), ("/b", "u:g"), ("/c", "u:g")]);
    let empty: Vec<bool> = stage.steps.iter().map(|step| step.history.empty_layer).collect();
    assert_eq!(empty, [false, true, false, false, true, false]);
    assert_eq!(histories(&stage)[0], "WORKDIR /a");
    assert_eq!(runs(&stage)[0].cwd, "/");
}

#[test]
fn ports_are_split_sorted_and_unrolled() {
    let stage = last("FROM a\nENV P=\"81 70/udp\"\nEXPOSE 9 $P 3-4/TCP");
    assert_eq!(histories(&stage)[1], "EXPOSE [81/tcp 70/udp 3/tcp 4/tcp 9/tcp]");
    let ports: Vec<&String> = stage.config.config.exposed_ports.keys().collect();
    assert_eq!(ports, ["3/tcp", "4/tcp", "70/udp", "81/tcp", "9/tcp"]);
    assert_eq!(
        problems("FROM a\nENV P=x\nEXPOSE $P"),
        ["`x` is not a port: `x` is not a number from 0 to 65535"]
    );
}

#[test]
fn health_checks_labels_volumes_and_the_rest() {
    let stage = last(concat!(
        "FROM a\nHEALTHCHECK --interval=90s --retries=3 CMD curl -f http://x || exit 1\n",
        "LABEL a=1 \"b c\"='d e'\nLABEL a=2\nVOLUME [\"/data\", \"/x y\"]\nSTOPSIGNAL SIGINT\nMAINTAINER me <me@x>\nUSER 10:20",
    ));
    assert_eq!(
        histories(&stage),
        [
            "HEALTHCHECK {Test:[CMD-SHELL curl -f http://x || exit 1] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}",
            "LABEL a=1 b c=d e",
            "LABEL a=2",
            "VOLUME [/data /x y]",
            "STOPSIGNAL SIGINT",
            "MAINTAINER me <me@x>",
            "USER 10:20",
        ]
    );
    let labels: Vec<(&str, &str)> =
        stage.config.config.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(labels, [("a", "2"), ("b c", "d e")]);
    assert_eq!(stage.config.config.healthcheck.as_ref().unwrap().interval, Some(90_000_000_000));
    assert_eq!(stage.config.author.as_deref(), Some("me <me@x>"));
    assert_eq!(stage.config.config.stop_signal, "SIGINT");
    assert_eq!(stage.config.config.user, "10:20");
}

#[test]
fn configuration_steps_keep_the_key() {
    let stage = last("FROM a\nRUN x\nLABEL a=1\nENV b=2\nEXPOSE 80");
    assert!(stage.steps.iter().all(|step| step.key == stage.key));
    let other = last("FROM a\nRUN x");
    assert_eq!(stage.key, other.key);
}

#[test]
fn labels_of_the_request_go_to_targets_alone() {
    let mut request = request();
    request.labels.insert("who".into(), "me".into());
    request.targets = vec!["two".into(), "0".into()];
    let text = "FROM a AS one\nLABEL x=1\nFROM one AS two\nLABEL who=you\nFROM two";
    let graph = graph_of(text, &request, &AllKnown::default()).unwrap();
    assert_eq!(
        graph.outputs.iter().map(|o| (o.target.as_str(), o.stage.0)).collect::<Vec<_>>(),
        [("two", 1), ("0", 0)]
    );
    assert_eq!(graph.stages[1].config.config.labels["who"], "me");
    assert_eq!(graph.stages[0].config.config.labels["who"], "me");
    request.targets = vec!["two".into()];
    let graph = graph_of(text, &request, &AllKnown::default()).unwrap();
    assert!(!graph.stages[0].config.config.labels.contains_key("who"));
}

#[test]
fn triggers_run_first_and_once() {
    let mut facts = AllKnown::default();
    facts.config.config.on_build = vec!["COPY --from=tools /x /x".into(), "RUN make".into()];
    let text = "FROM scratch AS tools\nFROM img AS one\nRUN own\nONBUILD RUN child\nFROM one AS two\nRUN last\nFROM two";
    // Every image has the triggers, so `tools` must be none.
    let graph = graph_of(text, &request(), &facts).unwrap();
    let titles =
        |stage: usize| graph.stages[stage].steps.iter().map(|s| s.title.as_str()).collect::<Vec<_>>();
    assert_eq!(graph.stages[0].name, "tools");
    assert_eq!(titles(1), ["COPY --from=tools /x /x", "RUN make", "RUN own"]);
    assert_eq!(graph.stages[1].config.config.on_build, ["RUN child"]);
    assert_eq!(titles(2), ["RUN child", "RUN last"]);
    assert!(graph.stages[2].config.config.on_build.is_empty());
    assert_eq!(titles(3), [""; 0]);
    assert_eq!(graph.stages[1].steps[0].line, 2);
}

#[test]
fn a_bad_trigger_is_reported_at_its_stage() {
    let mut facts = AllKnown::default();
    facts.config.config.on_build = vec!["NOPE x".into()];
    let problems = graph_of("FROM img", &request(), &facts).unwrap_err();
    assert!(problems[0].contains("trigger `NOPE x`"), "{problems:?}");
}

#[test]
fn an_image_without_layers_is_scratch_with_a_configuration() {
    let parsed = slipway_dockerfile::parse(b"FROM a\nRUN x");
    let mut facts = KnownFacts::default();
    let platform = request().platform;
    let mut config = ImageConfig::default();
    config.config.user = "me".into();
    let need = ImageNeed { reference: "docker.io/library/a:latest".into(), platform };
    facts.images.insert(need, ImageFact { digest: Digest::of("a"), config });
    let Ok(Lowered::Ready(graph)) = lower(&parsed.file, &parsed.source, &request(), &facts) else { panic!() };
    assert_eq!(graph.stages[0].base, Base::Scratch);
    assert_eq!(graph.stages[0].config.config.user, "me");
    assert_eq!(graph.stages[0].key, last("FROM scratch\nUSER me\nRUN x").key);
}
