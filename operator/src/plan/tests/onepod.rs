//! `spec.cache.type: None`: everything in one pod.

use slipway_protocol::report::{Failure, StagePodReport, StageReport};

use super::world::{World, ended};
use crate::objects::isolation::Level;
use crate::plan::reasons;
use crate::pod_view::Progress;

const SPEC: &str = "{dockerfile: {inline: FROM scratch}, cache: {type: None, size: 3Gi},
    images: [{name: r.example/a, pushSecret: {name: reg}}], secrets: [{id: npmrc, secretRef: {name: npm, key: .npmrc}}]}";

#[test]
fn one_pod_no_claim_and_the_stages_see_no_credentials() {
    let mut world = World::new(SPEC);
    let plan = world.step();
    assert!(plan.objects.claim.is_none());
    insta::assert_yaml_snapshot!("one_pod", plan.objects.pods[0]);
    let spec = plan.objects.pods[0].spec.clone().unwrap();
    assert_eq!(spec.share_process_namespace, None);
    let mounts = |at: usize| {
        let mounts = spec.containers[at].volume_mounts.clone().unwrap();
        mounts.into_iter().map(|m| m.mount_path).collect::<Vec<_>>()
    };
    assert!(mounts(0).iter().any(|path| path.starts_with("/slipway/credentials/")));
    for other in [1, 2] {
        assert!(!mounts(other).iter().any(|path| path.starts_with("/slipway/credentials")));
    }
    world.say_plan();
    assert!(world.step().objects.pods.is_empty(), "no other pod");
    world.say_built();
    world.pass(10);
    world.step();
    assert_eq!(world.status().phase, "Succeeded");
}

#[test]
fn a_failing_stage_is_told_and_its_pod_stays() {
    let mut world = World::new(SPEC);
    world.step();
    world.say_plan_of(&[("all", Some(0), &[])]);
    world.step();
    let failure = Failure { reason: "RunFailed".into(), message: "exit code 1".into(), ..Failure::default() };
    let stage = StageReport { name: "all".into(), failure: Some(failure), ..StageReport::default() };
    let now = world.now;
    let pod = world.pod("-build");
    pod.stage = ended(1, "Error", Ok(StagePodReport { stages: vec![stage], ..StagePodReport::default() }));
    pod.stage_ended = Some(now);
    world.step();
    assert_eq!(world.status().finished_at, None, "the build has a moment to end");
    world.pass(10);
    world.step();
    let status = world.status();
    assert_eq!((status.phase.as_str(), status.failure.unwrap().reason.as_str()), ("Failed", "RunFailed"));
}

#[test]
fn the_memory_of_the_build_is_a_setting() {
    let mut world = World::new(SPEC);
    world.step();
    world.say_plan_of(&[("all", Some(0), &[])]);
    let pod = world.pod("-build");
    pod.conduct = ended(137, "OOMKilled", Err(String::new()));
    pod.memory_limited = vec!["build".into()];
    pod.over = true;
    let plan = world.step();
    let failure = world.status().failure.unwrap();
    assert_eq!(failure.reason, "OutOfMemory");
    assert!(failure.message.contains("buildPods.resources"), "{}", failure.message);
    assert!(plan.delete_pods.is_empty(), "the stages end by themselves, and the log stays");
}

#[test]
fn stages_that_end_before_the_build_are_another_try() {
    let mut world = World::new(SPEC);
    world.step();
    world.say_plan_of(&[("all", Some(0), &[])]);
    let now = world.now;
    let pod = world.pod("-build");
    pod.stage = ended(3, "Error", Ok(StagePodReport::default()));
    pod.stage_ended = Some(now);
    world.step();
    assert_eq!(world.status().attempt, 1, "the build may end too");
    world.pass(21);
    world.step();
    assert_eq!(world.status().attempt, 2);
}

#[test]
fn restricted_leaves_the_stages_container_out() {
    let mut world = World::new(SPEC);
    world.facts.level = Level::Restricted;
    let plan = world.step();
    assert_eq!(plan.objects.pods[0].spec.as_ref().unwrap().containers.len(), 2);
    insta::assert_yaml_snapshot!("restricted_pod", plan.objects.pods[0]);
    world.say_plan_of(&[("all", Some(0), &[])]);
    world.step();
    assert_eq!(world.status().failure.unwrap().reason, reasons::ISOLATION);
}

#[test]
fn a_node_without_user_namespaces_is_tried_without() {
    let mut world = World::new(SPEC);
    world.step();
    assert!(world.pod("-build").user_namespace);
    world.pod("-build").plan = Progress::Waiting;
    world.pass(50);
    world.step();
    world.step();
    assert!(!world.pod("-build").user_namespace);
    assert_eq!(world.status().attempt, 1);
}
