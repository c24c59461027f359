//! Looks at a git source: when, what they start, and what they do not.

use slipway_protocol::report::{Failure, PollReport};

use super::world::{World, ended};
use crate::observe::Artifact;
use crate::pod_view::Role;

const SPEC: &str = "{source: {git: {url: 'https://git.example/a.git', ref: {branch: main}, interval: 1m}}}";

fn built() -> World {
    let mut world = World::new(SPEC);
    build(&mut world);
    world
}

fn build(world: &mut World) {
    world.step();
    world.say_plan_of(&[("final", None, &[])]);
    world.step();
    world.say_built();
    world.step();
    assert_eq!(world.status().phase, "Succeeded");
}

/// Waits until a look begins, and lets it say something.
fn look(world: &mut World, said: Result<&str, &str>) {
    world.pass(70);
    world.step();
    let report = match said {
        Ok(revision) => PollReport { revision: revision.into(), failure: None },
        Err(message) => PollReport {
            failure: Some(Failure { message: message.into(), ..Failure::default() }),
            ..PollReport::default()
        },
    };
    let pod = world.pod("-poll");
    (pod.poll, pod.over) = (ended(i32::from(said.is_err()), "", Ok(report)), true);
    world.step();
    assert!(!world.has_pod("-poll"), "a look leaves nothing");
}

/// The look that ends a build says how long its pods are kept; when the source is looked at follows from what it wrote.
#[test]
fn the_end_of_a_build_does_not_put_the_next_look_off() {
    let world = built();
    let wait = world.wake.unwrap().duration_since(world.now).as_secs();
    assert!((50..70).contains(&wait), "{wait} s");
    let mut world = World::new("{source: {flux: {kind: GitRepository, name: app}}}");
    let (digest, revision) = ("sha256:1".into(), "main@sha1:abc".into());
    world.facts.artifact = Some(Artifact { url: "http://flux/app.tar.gz".into(), digest, revision });
    build(&mut world);
    assert_eq!(world.wake.unwrap().duration_since(world.now).as_secs(), 10);
}

#[test]
fn nothing_new_starts_nothing_and_the_time_is_kept() {
    let mut world = built();
    world.pass(30);
    let plan = world.step();
    assert!(plan.objects.pods.is_empty() && plan.requeue.is_some(), "it is not time yet");
    look(&mut world, Ok("main@sha1:abc"));
    let status = world.status();
    assert_eq!((status.run, status.phase.as_str()), (1, "Succeeded"));
    let poll = status.poll.unwrap();
    assert_eq!((poll.revision.as_str(), poll.checked.unwrap().0), ("main@sha1:abc", world.now));
}

#[test]
fn a_new_revision_is_a_new_build_once() {
    let mut world = built();
    look(&mut world, Ok("main@sha1:def"));
    let status = world.status();
    assert_eq!((status.run, status.trigger.as_str()), (2, "new source revision"));
    assert!(world.has_pod("shop-2-build"));
    // While it builds, nobody looks.
    world.pass(300);
    world.step();
    assert!(!world.has_pod("-poll"));
    // The source cannot be fetched: the same revision does not start another build.
    let failed = Failure { reason: "SourceFailed".into(), ..Failure::default() };
    let report = slipway_protocol::report::PlanReport { failure: Some(failed), ..Default::default() };
    world.pod("shop-2-build").plan = ended(1, "Error", Ok(report));
    world.step();
    assert_eq!(world.status().phase, "Failed");
    look(&mut world, Ok("main@sha1:def"));
    assert_eq!(world.status().run, 2);
    look(&mut world, Ok("main@sha1:123"));
    assert_eq!(world.status().run, 3);
}

#[test]
fn a_failed_look_says_why_and_leaves_the_image_ready() {
    let mut world = built();
    look(&mut world, Err("the credentials are refused"));
    let status = world.status();
    assert_eq!(status.poll.as_ref().unwrap().message, "the credentials are refused");
    assert_eq!(world.condition("Ready").unwrap().0, "True");
    assert_eq!(world.events.iter().filter(|e| *e == "PollFailed").count(), 1);
    // It is asked less often now.
    world.pass(70);
    world.step();
    assert!(!world.has_pod("-poll"));
    world.pass(70);
    look(&mut world, Err("the credentials are refused"));
    assert_eq!(world.status().poll.unwrap().failures, 2);
    assert_eq!(world.events.iter().filter(|e| *e == "PollFailed").count(), 1, "once a reason");
}

#[test]
fn suspension_and_the_end_of_the_interval_end_looking() {
    let mut world = built();
    world.pass(70);
    world.step();
    assert!(world.has_pod("-poll"));
    world.build.spec.suspend = true;
    world.step();
    world.pass(600);
    world.step();
    assert!(!world.has_pod("-poll"));
    world.build.spec.suspend = false;
    world.step();
    assert!(world.has_pod("-poll"), "it is late already");
    let git = world.build.spec.source.as_mut().and_then(|s| s.git.as_mut()).unwrap();
    git.interval = None;
    world.step();
    assert!(!world.has_pod("-poll"));
    assert_eq!((world.status().poll, world.status().run), (None, 1), "the interval is no reason to build");
}

#[test]
fn a_look_without_an_answer_is_given_up() {
    let mut world = built();
    world.pass(70);
    world.step();
    world.pass(130);
    world.step();
    assert!(!world.has_pod("-poll"));
    assert!(world.status().poll.unwrap().message.contains("no answer"));
}

#[test]
fn the_pod_of_a_look_has_the_credentials_and_nothing_else() {
    let mut world = World::new(
        "{source: {git: {url: 'ssh://git.example/a.git', ref: {tag: v1}, interval: 1m, secretRef: {name: key}}}}",
    );
    world.step();
    world.say_plan_of(&[("final", None, &[])]);
    world.step();
    world.say_built();
    world.step();
    world.pass(70);
    let plan = world.step();
    let pod = plan.objects.pods.iter().find(|p| p.metadata.name.as_deref() == Some("shop-1-poll")).unwrap();
    insta::assert_yaml_snapshot!("poll_pod", pod);
    assert_eq!(crate::pod_view::PodView::of(pod).unwrap().role, Role::Poll);
}
