use slipway_crds::status::ImageBuildStatus;
use slipway_protocol::report::{BuildReport, Failure};

use super::world::{World, ended};
use crate::objects::isolation::Level;
use crate::pod_view::Progress;

fn running() -> World {
    let mut world = World::simple();
    world.step();
    world.say_plan();
    world.step();
    world
}

fn failure(world: &World) -> (String, String) {
    let ImageBuildStatus { failure, phase, .. } = world.status();
    assert_eq!(phase, "Failed");
    assert!(world.condition("Reconciling").is_none());
    assert_eq!(world.condition("Stalled").unwrap().0, "True");
    assert_eq!(world.condition("Ready").unwrap().0, "False");
    let failure = failure.unwrap();
    (failure.reason, failure.message)
}

#[test]
fn a_failing_instruction_is_told_with_its_place_and_not_tried_again() {
    let mut world = running();
    let said = Failure {
        reason: "RunFailed".into(),
        message: "`npm test` ended with exit code 1".into(),
        stage: "compile".into(),
        line: 7,
        instruction: "RUN npm test".into(),
        exit_code: Some(1),
        tail: "2 tests failed".into(),
        ..Failure::default()
    };
    world.say_stage("-compile", "compile", Some(said));
    let plan = world.step();
    assert_eq!(failure(&world).0, "RunFailed");
    let failure = plan.status.failure.unwrap();
    assert_eq!(
        (failure.line, failure.exit_code, failure.tail.as_str()),
        (Some(7), Some(1), "2 tests failed")
    );
    assert_eq!(failure.pod, "shop-1-compile");
    let states: Vec<_> = plan.status.stages.iter().map(|s| s.state.as_str()).collect();
    assert_eq!(states, ["Cancelled", "Failed", "Cancelled"]);
    assert!(!world.has_pod("-deps") && !world.has_pod("-build"), "what still runs is stopped");
    assert!(world.has_pod("-compile"), "the pod with the log stays");
    assert_eq!(world.condition("Built").unwrap(), ("False".into(), "RunFailed".into()));
}

#[test]
fn an_evicted_pod_is_tried_again_as_often_as_the_spec_says() {
    let mut world = running();
    for attempt in 2..=3 {
        world.pod(if attempt == 2 { "-deps" } else { "-deps-2" }).disrupted = Some("Evicted".into());
        let plan = world.step();
        assert_eq!(plan.status.attempt, attempt);
        assert_eq!(world.condition("Ready").unwrap(), ("False".into(), "ProgressingWithRetry".into()));
        let plan = world.step();
        assert!(plan.objects.pods.is_empty(), "a pause comes first");
        world.pass(10);
        world.step();
        world.say_plan();
        world.step();
    }
    world.pod("-deps-3").disrupted = Some("Evicted".into());
    world.step();
    let (reason, message) = failure(&world);
    assert_eq!(reason, "PodLost");
    assert!(message.contains("tried 3 times"), "{message}");
}

#[test]
fn a_deleted_stage_pod_is_made_again() {
    let mut world = running();
    world.facts.pods.retain(|p| !p.name.ends_with("-deps"));
    world.step();
    assert!(world.has_pod("shop-1-deps"));
    assert_eq!(world.status().attempt, 1);
}

#[test]
fn out_of_memory_is_named_and_not_tried_again() {
    let mut world = running();
    world.pod("-deps").stage = ended(137, "OOMKilled", Err("the container ended without a report".into()));
    world.pod("-deps").memory_limited = vec!["stage".into()];
    world.step();
    let (reason, message) = failure(&world);
    assert_eq!(reason, "OutOfMemory");
    assert!(message.contains("resources.limits.memory"), "{message}");
}

#[test]
fn a_node_without_memory_is_another_try() {
    let mut world = running();
    world.pod("-deps").stage = ended(137, "OOMKilled", Err("the container ended without a report".into()));
    // Another container's limit is none of this one's.
    world.pod("-deps").memory_limited = vec!["build".into()];
    world.step();
    assert_eq!(world.status().attempt, 2, "the container has no limit that could be raised");
    let (_, reason) = world.condition("Ready").unwrap();
    assert_eq!(reason, "ProgressingWithRetry");
}

#[test]
fn memory_limits_are_seen() {
    let limited = "{dockerfile: {inline: FROM scratch}, pod: {resources: {limits: {memory: 1Gi}}}}";
    for (spec, expected) in [(limited, true), ("{dockerfile: {inline: FROM scratch}}", false)] {
        let mut world = World::new(spec);
        world.step();
        world.say_plan();
        world.step();
        assert_eq!(world.pod("-deps").memory_limited == ["stage"], expected, "{spec}");
    }
}

#[test]
fn a_container_without_last_words_is_tried_again() {
    let mut world = running();
    world.pod("-build").conduct =
        ended::<BuildReport>(137, "Error", Err("the container ended without a report".into()));
    world.pod("-build").over = true;
    world.step();
    assert_eq!(world.status().attempt, 2);
    // What is left of the first one is removed at once and not when the second begins.
    assert!(world.has_pod("-build") && world.wake == Some(world.now));
    world.step();
    assert!(!world.has_pod("-build") && world.wake > Some(world.now));
}

#[test]
fn a_push_that_fails_says_so() {
    let mut world = running();
    let said = Failure {
        reason: "PushFailed".into(),
        message: "401 from registry.example".into(),
        ..Failure::default()
    };
    world.say_failed(said);
    world.step();
    assert_eq!(failure(&world).0, "PushFailed");
    assert_eq!(world.condition("Pushed").unwrap().0, "False");
}

#[test]
fn time_runs_out_but_waiting_does_not_count() {
    let mut world = World::new("{dockerfile: {inline: FROM scratch}, timeout: 10m}");
    world.facts.slot = crate::queue::Slot::Wait(1, "full".into());
    world.step();
    world.pass(3600);
    world.facts.slot = crate::queue::Slot::Go;
    world.step();
    world.give_a_node("-build");
    world.pass(599);
    world.step();
    assert!(world.has_pod("-build"));
    world.pass(2);
    world.step();
    assert_eq!(failure(&world).0, "Timeout");
    assert!(!world.has_pod("-build"));
}

#[test]
fn a_try_without_a_node_takes_no_time() {
    let mut world = World::new("{dockerfile: {inline: FROM scratch}, timeout: 10m, retries: 5}");
    world.step();
    // Each try waits an hour for a node, works for four minutes, and is lost; the pauses between them do not count either.
    for part in ["-build", "-build-2"] {
        world.pod(part).unschedulable = Some("no node has room".into());
        for _ in 0..60 {
            world.pass(60);
            world.step();
        }
        assert_eq!(world.status().placed_at, None);
        world.give_a_node(part);
        world.step();
        world.pass(240);
        world.step();
        world.pod(part).disrupted = Some("Evicted".into());
        world.step();
        world.pass(600);
        world.step();
    }
    assert_eq!((world.status().attempt, world.status().spent), (3, 480.0));
    // Two minutes are left, with a node: an operator that takes over now counts them too.
    world.pod("-build-3").unschedulable = Some("no node has room".into());
    world.pass(3600);
    world.step();
    world.give_a_node("-build-3");
    world.pass(119);
    world.step();
    assert!(world.has_pod("-build-3"));
    world.pass(2);
    world.step();
    assert_eq!(failure(&world).0, "Timeout");
}

#[test]
fn a_claim_that_goes_before_a_node_has_taken_the_pod_is_made_again() {
    let mut world = World::simple();
    world.step();
    world.facts.claim_exists = false;
    world.pod("-build").unschedulable =
        Some("persistentvolumeclaim \"slipway-cache\" is being deleted".into());
    assert!(world.step().objects.claim.is_some());
}

#[test]
fn a_build_pod_that_is_made_again_waits_again() {
    let mut world = World::new("{dockerfile: {inline: FROM scratch}, timeout: 10m}");
    world.step();
    world.give_a_node("-build");
    world.step();
    world.pass(300);
    world.facts.pods.clear();
    world.step();
    world.pod("-build").unschedulable = Some("no node has room".into());
    world.step();
    assert!((world.status().spent - 300.0).abs() < 0.1);
    world.pass(3600);
    world.step();
    assert!(world.has_pod("-build"));
}

#[test]
fn restricted_admits_no_run_and_the_message_says_what_would() {
    let mut world = World::simple();
    world.facts.level = Level::Restricted;
    world.step();
    world.say_plan();
    world.step();
    let (reason, message) = failure(&world);
    assert_eq!(reason, "IsolationUnavailable");
    assert!(message.contains("baseline"), "{message}");
}

#[test]
fn a_wrong_spec_names_its_field_and_starts_nothing() {
    let mut world = World::new("{dockerfile: {inline: FROM scratch}, images: [{name: shop}]}");
    let plan = world.step();
    assert!(plan.objects.pods.is_empty());
    let (reason, message) = failure(&world);
    assert_eq!(reason, "InvalidSpec");
    assert!(message.starts_with("spec.images[0].name:"), "{message}");
}

#[test]
fn a_missing_secret_is_waited_for() {
    let mut world = World::simple();
    world.facts.problems = vec!["spec.secrets[].secretRef: there is no Secret `npm`".into()];
    let plan = world.step();
    assert!(plan.objects.pods.is_empty() && plan.requeue.is_some());
    assert_eq!(world.condition("Ready").unwrap(), ("Unknown".into(), "MissingReference".into()));
    world.facts.problems.clear();
    assert_eq!(world.step().objects.pods.len(), 1);
}

#[test]
fn a_node_without_user_namespaces_is_tried_without() {
    let mut world = running();
    assert!(world.pod("-deps").user_namespace);
    world.pod("-compile").stage = Progress::Running;
    world.pass(50);
    world.step();
    world.step();
    assert!(!world.pod("-deps").user_namespace);
    assert_eq!(world.status().attempt, 1);
}

#[test]
fn an_image_that_cannot_be_pulled_ends_the_build_in_time() {
    let mut world = running();
    world.pod("-deps").stage = Progress::Stuck("ImagePullBackOff".into(), "no such image".into());
    world.step();
    assert_eq!(world.status().phase, "Running");
    world.pass(130);
    world.step();
    assert_eq!(failure(&world).0, "PodStuck");
}

#[test]
fn a_build_pod_that_is_gone_is_another_try() {
    let mut world = running();
    world.facts.pods.retain(|p| !p.name.ends_with("-build"));
    world.step();
    assert_eq!(world.status().attempt, 2);
    assert!(world.facts.pods.is_empty(), "its stage pods would take no orders from another");
    world.pass(2);
    world.step();
    assert!(world.has_pod("-build-2"));
    // Without stage pods nothing is lost: the same try goes on.
    world.facts.pods.clear();
    world.step();
    assert_eq!(world.status().attempt, 2);
    assert!(world.has_pod("-build-2"));
}

#[test]
fn a_stage_pod_that_was_stopped_for_no_reason_is_another_try() {
    let mut world = running();
    let now = world.now;
    let pod = world.pod("-deps");
    pod.stage = ended(3, "Error", Err(String::new()));
    (pod.over, pod.stage_ended) = (true, Some(now));
    world.step();
    assert_eq!(world.status().attempt, 1, "the failure that it follows may come yet");
    world.pass(21);
    world.step();
    assert_eq!(world.status().attempt, 2);
}
