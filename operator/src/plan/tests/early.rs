//! A build pod says itself that it has built, before the kubelets of its pods have seen them end.

use k8s_openapi::api::core::v1::Container;

use super::world::{World, ended};
use crate::objects::identity;
use crate::pod_view::Progress;
use crate::settings::Settings;

fn running() -> World {
    let mut world = World::simple();
    world.step();
    world.say_plan();
    world.step();
    for part in ["-deps", "-compile"] {
        world.give_a_node(part);
        world.pod(part).stage = Progress::Running;
    }
    world.pass(3);
    world
}

#[test]
fn nobody_waits_for_kubelets() {
    let mut world = running();
    world.say_built_early(&[(0, "deps"), (1, "compile")]);
    let plan = world.step();
    let status = world.status();
    assert_eq!((status.phase.as_str(), status.progress.as_str()), ("Succeeded", "3/3"));
    let deps = &status.stages[0];
    assert_eq!(
        (deps.state.as_str(), deps.seconds, deps.pod.as_str()),
        ("Succeeded", Some(2.0), "shop-1-deps")
    );
    assert_eq!(status.isolation.unwrap().way, "Overlay (nested)");
    assert!(
        plan.delete_pods.is_empty(),
        "they end by themselves and keep their logs: {:?}",
        plan.delete_pods
    );
    // The kubelets follow, and nothing changes.
    let before = world.status();
    world.pass(1);
    world.say_stage("-deps", "deps", None);
    world.say_stage("-compile", "compile", None);
    world.pod("-build").over = true;
    world.step();
    assert_eq!(world.status(), before);
}

#[test]
fn who_is_not_spoken_for_is_waited_for_and_then_removed() {
    let mut world = running();
    world.say_built_early(&[(0, "deps")]);
    let plan = world.step();
    assert_eq!(world.status().finished_at, None);
    assert!(plan.requeue.is_some());
    // The kubelet of the build pod follows; that of the other says nothing.
    world.pass(1);
    let now = world.now;
    world.pod("-build").ended = Some(now);
    world.step();
    assert_eq!(world.status().finished_at, None);
    world.pass(6);
    let plan = world.step();
    assert_eq!(world.status().phase, "Succeeded");
    assert_eq!(plan.delete_pods, ["shop-1-compile"]);
}

#[test]
fn a_stage_pod_without_a_node_does_not_start_for_nothing() {
    let mut world = running();
    world.pod("-compile").scheduled = None;
    world.say_built_early(&[(0, "deps"), (1, "compile")]);
    let plan = world.step();
    assert_eq!(world.status().phase, "Succeeded");
    assert_eq!(plan.delete_pods, ["shop-1-compile"]);
}

#[test]
fn what_is_pushed_is_not_lost_with_its_pods() {
    let mut world = running();
    world.say_built_early(&[(0, "deps"), (1, "compile")]);
    world.pod("-build").deleting = true;
    let pod = world.pod("-deps");
    pod.disrupted = Some("Evicted".into());
    pod.stage = ended(137, "Error", Err(String::new()));
    pod.over = true;
    world.step();
    let status = world.status();
    assert_eq!((status.phase.as_str(), status.progress.as_str(), status.attempt), ("Succeeded", "3/3", 1));
    assert_eq!((status.stages[0].state.as_str(), status.stages[0].seconds), ("Succeeded", Some(2.0)));
}

#[test]
fn a_plan_that_is_heard_early_starts_the_stages() {
    let mut world = World::simple();
    world.step();
    world.say_plan();
    assert_eq!(world.step().objects.pods.len(), 2);
    assert_eq!(world.status().phase, "Running");
}

fn address(container: &Container) -> Option<String> {
    let env = container.env.iter().flatten().find(|one| one.name == "SLIPWAY_REPORTS");
    env.and_then(|one| one.value.clone())
}

/// These containers know neither who they are nor whom to tell it.
fn nobody_else(containers: &[Container]) {
    for container in containers {
        assert_eq!(address(container), None, "{}", container.name);
        let mounts = container.volume_mounts.iter().flatten();
        assert!(mounts.into_iter().all(|mount| mount.name != "identity"), "{}", container.name);
    }
}

#[test]
fn only_the_build_pod_can_say_who_it_is() {
    let mut world = World::simple();
    world.settings = Settings { reports: Some("http://192.0.2.7:8081".into()), ..Settings::default() };
    let build = world.step().objects.pods.remove(0).spec.unwrap();
    world.say_plan();
    let stage = world.step().objects.pods.remove(0).spec.unwrap();
    let container = &build.containers[0];
    assert_eq!(address(container).as_deref(), Some("http://192.0.2.7:8081/v1/reports"));
    let mount = container.volume_mounts.iter().flatten().find(|one| one.mount_path == "/slipway/identity");
    assert_eq!(mount.unwrap().read_only, Some(true));
    nobody_else(&build.containers[1..]);
    let (volume, _) = identity::volume();
    assert!(build.volumes.as_ref().unwrap().contains(&volume));
    let token = volume.projected.unwrap().sources.unwrap().remove(0).service_account_token.unwrap();
    assert_eq!(token.audience.as_deref(), Some("slipway.dev/operator"));
    // Stage pods run user code: they have neither the token nor the address.
    assert!(stage.volumes.unwrap().iter().all(|volume| volume.projected.is_none()));
    nobody_else(&stage.containers);
    // Nor has the container that runs it in the build pod.
    let mut world = World::new("{dockerfile: {inline: FROM scratch}, cache: {type: None}}");
    world.settings = Settings { reports: Some("http://192.0.2.7:8081".into()), ..Settings::default() };
    let all = world.step().objects.pods.remove(0).spec.unwrap().containers;
    assert_eq!(all.len(), 3);
    assert!(address(&all[0]).is_some());
    nobody_else(&all[1..]);
}

/// Annotations that a build asks for are not taken for what its pod said.
#[test]
fn a_spec_says_nothing_for_its_pods() {
    let mut world = World::new(
        r#"{dockerfile: {inline: FROM scratch}, pod: {annotations: {team: shop, slipway.dev/report.plan: "{}"}}}"#,
    );
    let build = world.step().objects.pods.remove(0);
    let annotations = build.metadata.annotations.unwrap();
    assert_eq!(annotations["team"], "shop");
    assert!(annotations.keys().all(|name| !name.starts_with("slipway.dev/")), "{annotations:?}");
}

/// Nobody would make its stage pods.
#[test]
fn a_build_of_which_nobody_hears_is_another_try() {
    let mut world = World::simple();
    world.step();
    let now = world.now;
    let pod = world.pod("-build");
    pod.plan = Progress::Running;
    pod.silent = Some((now, "it ended with exit code 137 (OOMKilled)".into()));
    let plan = world.step();
    assert_eq!((world.status().attempt, plan.requeue.is_some()), (1, true), "its own word may still come");
    world.pass(119);
    world.step();
    assert_eq!(world.status().attempt, 1);
    world.pass(2);
    let plan = world.step();
    assert_eq!((world.status().attempt, plan.delete_pods), (2, vec!["shop-1-build".to_owned()]));
    let message = &world.status().conditions.iter().find(|c| c.type_ == "Ready").unwrap().message.clone();
    assert!(
        message.contains("report container of shop-1-build") && message.contains("OOMKilled"),
        "{message}"
    );
}
