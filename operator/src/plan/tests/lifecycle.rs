use k8s_openapi::jiff::SignedDuration;
use slipway_crds::REBUILD_ANNOTATION;

use super::world::World;
use crate::objects::labels;
use crate::observe::Artifact;
use crate::queue::Slot;

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.into(), reason.into())
}

fn built() -> World {
    let mut world = World::simple();
    world.step();
    world.pass(1);
    world.say_plan();
    world.step();
    world.pass(3);
    world.say_stage("-deps", "deps", None);
    world.say_stage("-compile", "compile", None);
    world.say_built();
    world.step();
    world
}

#[test]
fn the_first_touch_says_that_nothing_is_ready_yet() {
    let mut world = World::simple();
    let plan = world.step();
    assert_eq!(plan.status.observed_generation, Some(1));
    assert_eq!(world.condition("Ready").unwrap(), pair("Unknown", "Progressing"));
    assert_eq!(world.condition("Reconciling").unwrap(), pair("True", "Progressing"));
    assert!(plan.objects.claim.is_some() && plan.objects.request.is_some());
    assert_eq!(plan.objects.pods.len(), 1);
}

#[test]
fn stage_pods_start_together_once_there_is_a_plan() {
    let mut world = World::simple();
    world.step();
    assert!(!world.has_pod("-deps"));
    world.say_plan();
    let plan = world.step();
    assert_eq!(plan.objects.pods.len(), 2);
    assert!(world.has_pod("shop-1-deps") && world.has_pod("shop-1-compile") && !world.has_pod("final"));
    assert_eq!(world.condition("Planned").unwrap(), pair("True", "Succeeded"));
    assert_eq!(world.status().phase, "Running");
    assert!(world.step().objects.pods.is_empty(), "nothing is made twice");
}

#[test]
fn only_the_build_pod_holds_credentials_and_no_pod_holds_a_token() {
    let mut world = World::new(
        "{dockerfile: {inline: FROM scratch}, images: [{name: r.example/a, pushSecret: {name: reg}}]}",
    );
    let build = world.step().objects.pods.remove(0);
    world.say_plan();
    let stages = world.step().objects.pods;
    let secrets = |pod: &k8s_openapi::api::core::v1::Pod| {
        pod.spec.as_ref().unwrap().volumes.as_ref().unwrap().iter().filter(|v| v.secret.is_some()).count()
    };
    assert_eq!(secrets(&build), 1);
    for pod in stages.iter().chain([&build]) {
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert_eq!(pod.metadata.owner_references.as_ref().unwrap()[0].uid, "u1");
        assert_eq!(pod.metadata.labels.as_ref().unwrap()[labels::BUILD], "shop");
    }
    for pod in &stages {
        assert_eq!(secrets(pod), 0);
        let mounts = pod.spec.as_ref().unwrap().containers[0].volume_mounts.clone().unwrap();
        let store = mounts.iter().find(|m| m.mount_path == slipway_protocol::paths::STORE).unwrap();
        assert_eq!(store.read_only, Some(true));
    }
}

#[test]
fn a_build_of_less_than_a_second_takes_less_than_a_second() {
    let mut world = World::simple();
    world.now += SignedDuration::from_millis(900);
    world.step();
    world.say_plan_of(&[("final", None, &[])]);
    world.now += SignedDuration::from_millis(400);
    world.step();
    world.say_built();
    world.now += SignedDuration::from_millis(350);
    world.step();
    let status = world.status();
    assert_eq!((status.timing.unwrap().total, status.duration.as_str()), (0.75, "0.8s"));
    assert_eq!(status.history[0].seconds.to_string(), "0.75");
}

#[test]
fn images_make_it_ready() {
    let world = built();
    let status = world.status();
    assert_eq!(status.phase, "Succeeded");
    assert_eq!(world.condition("Ready").unwrap(), pair("True", "Succeeded"));
    assert_eq!(world.condition("Reconciling"), None);
    assert_eq!(
        (status.progress.as_str(), status.size.as_str(), status.digest.as_str()),
        ("3/3", "1.9Mi", "sha256:d1")
    );
    assert_eq!(status.images[0].reduction, "95.0%");
    assert_eq!(status.stages[0].seconds, Some(3.0));
    assert_eq!(status.history.len(), 1);
    let expected = [
        "BuildQueued",
        "BuildStarted",
        "BuildPlanned",
        "BuildSucceeded",
        "StageSucceeded",
        "StageSucceeded",
        "StageSucceeded",
    ];
    assert_eq!(world.events, expected);
}

#[test]
fn nothing_changes_when_nothing_changed() {
    let mut world = built();
    let before = world.status();
    world.pass(5);
    let plan = world.step();
    assert_eq!(plan.status, before);
    assert!(plan.objects.pods.is_empty() && plan.delete_pods.is_empty() && plan.events.is_empty());
}

#[test]
fn what_starts_a_build_and_what_does_not() {
    let mut world = built();
    world.build.spec.suspend = true;
    world.build.metadata.generation = Some(2);
    assert_eq!(world.step().status.run, 1, "suspending starts nothing");
    world.build.spec.suspend = false;
    world.build.metadata.generation = Some(3);
    assert_eq!(world.step().status.run, 1, "resuming with nothing new starts nothing");
    assert_eq!(world.condition("Ready").unwrap(), pair("True", "Succeeded"));
    world.build.metadata.annotations.get_or_insert_default().insert(REBUILD_ANNOTATION.into(), "1".into());
    let status = world.step().status;
    assert_eq!((status.run, status.trigger.as_str()), (2, "annotation slipway.dev/rebuild"));
    world.facts.artifact = Some(Artifact { digest: "sha256:2".into(), ..Artifact::default() });
    let status = world.step().status;
    assert_eq!((status.run, status.trigger.as_str()), (3, "new source revision"));
    world.build.spec.args.push(slipway_crds::build::BuildArg { name: "X".into(), ..Default::default() });
    world.build.metadata.generation = Some(4);
    let status = world.step().status;
    assert_eq!((status.run, status.trigger.as_str()), (4, "spec changed"));
}

#[test]
fn an_operator_that_reads_the_same_spec_in_another_way_builds_nothing() {
    let mut world = built();
    let other_version = |world: &mut World| {
        let digest = &mut world.build.status.as_mut().unwrap().trigger_digest;
        *digest = format!("0123456789abcdef-{}", digest.split_once('-').unwrap().1);
    };
    other_version(&mut world);
    assert_eq!(world.step().status.run, 1, "the generation is the same");
    world.build.spec.retries += 1;
    world.build.metadata.generation = Some(2);
    assert_eq!(world.step().status.run, 2, "somebody changed the spec");

    let mut world = built();
    world.build.spec.retries += 1;
    world.build.spec.suspend = true;
    world.build.metadata.generation = Some(2);
    assert_eq!(world.step().status.phase, "Suspended");
    other_version(&mut world);
    assert_eq!(world.step().status.phase, "Suspended", "what is owed stays owed");
    world.build.spec.suspend = false;
    world.build.metadata.generation = Some(3);
    assert_eq!(world.step().status.run, 2);
}

#[test]
fn a_changed_spec_gives_up_the_running_build() {
    let mut world = World::simple();
    world.step();
    world.say_plan();
    world.step();
    world.build.spec.retries = 1;
    world.build.metadata.generation = Some(2);
    let plan = world.step();
    assert_eq!(plan.delete_pods.len(), 3);
    assert_eq!(plan.status.run, 2);
    assert_eq!(world.facts.pods.len(), 1);
}

#[test]
fn a_suspended_build_waits_and_says_so() {
    let mut world = World::new("{suspend: true, dockerfile: {inline: FROM scratch}}");
    let plan = world.step();
    assert_eq!((plan.status.phase.as_str(), plan.status.run), ("Suspended", 0));
    assert_eq!(world.condition("Ready").unwrap(), pair("Unknown", "Suspended"));
    assert!(plan.objects.pods.is_empty());
    world.build.spec.suspend = false;
    assert_eq!(world.step().objects.pods.len(), 1);
}

#[test]
fn the_queue_holds_a_build_back_and_shows_its_place() {
    let mut world = World::simple();
    world.facts.slot = Slot::Wait(3, "2 builds are running in this namespace, as many as may".into());
    let plan = world.step();
    assert!(plan.objects.pods.is_empty());
    assert_eq!((plan.status.phase.as_str(), plan.status.queue_position), ("Queued", Some(3)));
    assert_eq!(world.condition("Ready").unwrap(), pair("Unknown", "Queued"));
    world.pass(60);
    world.facts.slot = Slot::Go;
    let plan = world.step();
    assert_eq!((plan.status.queue_position, plan.objects.pods.len()), (None, 1));
    // A build that runs keeps its slot whatever the queue says later.
    world.facts.slot = Slot::Wait(1, "full".into());
    assert_eq!(world.step().status.queue_position, None);
}

#[test]
fn finished_pods_go_after_their_time() {
    let mut world = built();
    world.pass(3599);
    assert!(world.step().delete_pods.is_empty());
    world.pass(2);
    let plan = world.step();
    assert_eq!((plan.delete_pods.len(), plan.delete_requests.len()), (3, 1));
    assert_eq!(world.step().requeue, None, "a finished build costs nothing");
}

#[test]
fn pods_as_they_are_made() {
    let mut world = World::new(
        "{dockerfile: {inline: FROM scratch}, secrets: [{id: npmrc, secretRef: {name: npm, key: .npmrc}}],
          stages: [{name: deps, resources: {requests: {cpu: '4'}}, nodeSelector: {disk: fast}}], pod: {priorityClassName: low}}",
    );
    let first = world.step();
    world.say_plan();
    let mut second = world.step();
    insta::assert_yaml_snapshot!("build_pod", first.objects.pods[0]);
    insta::assert_yaml_snapshot!("stage_pod", second.objects.pods.remove(0));
}

#[test]
fn a_build_without_stage_pods_needs_nobody_else() {
    let mut world = World::simple();
    world.step();
    world.say_plan_of(&[("final", None, &[])]);
    world.say_built_early(&[]);
    let plan = world.step();
    assert_eq!(world.status().phase, "Succeeded");
    assert!(plan.delete_pods.is_empty(), "the log stays");
    assert_eq!(world.status().digest, "sha256:d1");

    let mut world = World::simple();
    world.step();
    world.say_plan_of(&[("final", None, &[])]);
    world.say_failed(slipway_protocol::report::Failure { reason: "PushFailed".into(), ..Default::default() });
    world.step();
    assert_eq!(world.status().failure.unwrap().reason, "PushFailed");
    assert_eq!(world.status().stages.len(), 1);
}
