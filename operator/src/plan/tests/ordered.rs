//! Little room: stage pods go in order, and every build ends.

use super::world::{World, ended};
use crate::plan::{Inputs, crowded, next_look};
use crate::pod_view::Role;
use slipway_crds::validate::{Defaults, validate};

const CHAIN: &[(&str, Option<u32>, &[u32])] = &[
    ("a", Some(0), &[]),
    ("copies", None, &[0]),
    ("b", Some(1), &[1]),
    ("c", Some(2), &[]),
    ("d", Some(3), &[2, 3]),
    ("final", None, &[4]),
];

fn planned(room: usize) -> World {
    let mut world = World::simple();
    world.room = room;
    world.step();
    world.say_plan_of(CHAIN);
    world.step();
    world
}

fn open(world: &World) -> Vec<String> {
    let pods = world.facts.pods.iter();
    pods.filter(|p| matches!(p.role, Role::Stage(_)) && !p.over).map(|p| p.name.clone()).collect()
}

#[test]
fn pods_that_wait_for_others_give_their_room_up() {
    let mut world = planned(1);
    assert_eq!(open(&world).len(), 4, "all start together");
    assert!(world.pod("-d").unschedulable.is_none(), "the one that waits for all others has the room");
    world.pass(5);
    let plan = world.step();
    assert!(plan.status.in_order.contains("no node has room"), "{}", plan.status.in_order);
    assert!(world.events.contains(&"NoRoom".to_owned()));
    world.step();
    assert_eq!(open(&world), ["shop-1-a", "shop-1-c"], "only what can go is there");
    assert!(world.condition("Ready").is_some_and(|(status, _)| status == "Unknown"));
}

/// A busy node shows the end of a pod for a while before the pod is gone.
#[test]
fn a_pod_that_gave_its_room_up_is_no_failure() {
    let mut world = planned(1);
    let mut gone = world.pod("-d").clone();
    world.pass(5);
    world.step();
    gone.deleting = true;
    gone.stage = ended(137, "Error", Err("the container ended without a report".into()));
    gone.over = true;
    world.facts.pods.push(gone);
    world.step();
    assert_eq!(world.status().attempt, 1);
    assert_eq!(open(&world), ["shop-1-a", "shop-1-c"]);
}

#[test]
fn room_for_all_changes_nothing() {
    let mut world = planned(4);
    world.pass(20);
    let plan = world.step();
    assert!(plan.status.in_order.is_empty() && plan.delete_pods.is_empty());
}

#[test]
fn room_for_one_is_enough() {
    for room in 1..4 {
        let mut world = planned(room);
        let mut done: Vec<u32> = vec![];
        for _ in 0..200 {
            world.pass(3);
            world.place();
            world.step();
            // What has room and all it needs ends; what has room and waits, waits on.
            let needs: [&[u32]; 4] = [&[], &[0], &[], &[1, 2]];
            let next = world.facts.pods.iter().find_map(|p| match p.role {
                Role::Stage(n)
                    if !p.over
                        && p.unschedulable.is_none()
                        && needs[n as usize].iter().all(|need| done.contains(need)) =>
                {
                    Some((n, p.name.clone()))
                }
                _ => None,
            });
            if let Some((number, name)) = next {
                world.say_stage(&name, name.trim_start_matches("shop-1-"), None);
                done.push(number);
            }
            if done.len() == 4 {
                break;
            }
        }
        assert_eq!(done.len(), 4, "room for {room}: {done:?}");
        world.say_built();
        world.pass(6);
        world.step();
        assert_eq!(world.status().phase, "Succeeded");
    }
}

#[test]
fn a_quota_makes_pods_go_in_order_and_holds_a_build_pod_back() {
    let why = "exceeded quota: pods=2";
    let mut world = World::simple();
    let checked = validate(&world.build.spec, &Defaults::default());
    let valid = checked.as_ref().map_err(Vec::as_slice);
    let inputs = |world: &World| {
        crowded(
            &Inputs {
                build: &world.build,
                valid,
                facts: &world.facts,
                settings: &world.settings,
                now: world.now,
            },
            why,
        )
    };
    let waits = inputs(&world);
    assert_eq!((waits.status.started_at, waits.objects.pods.len()), (None, 1), "the time does not count");
    assert!(waits.status.conditions.iter().any(|c| c.type_ == "Reconciling" && c.message.contains("quota")));
    world.step();
    world.say_plan_of(CHAIN);
    let ordered = inputs(&world);
    assert_eq!(ordered.status.in_order, why);
    let names: Vec<_> = ordered.objects.pods.iter().filter_map(|p| p.metadata.name.clone()).collect();
    assert_eq!(names, ["shop-1-a", "shop-1-c"]);
    assert!(ordered.requeue.is_some() && ordered.status.finished_at.is_none());
    let inputs =
        Inputs { build: &world.build, valid, facts: &world.facts, settings: &world.settings, now: world.now };
    assert_eq!(next_look(&inputs, &ordered), ordered.requeue, "what had no room a moment ago has none now");
}

#[test]
fn time_without_a_node_does_not_count() {
    let mut world = World::new("{dockerfile: {inline: FROM scratch}, timeout: 10m}");
    world.step();
    world.pod("-build").unschedulable = Some("0/1 nodes are available".into());
    world.pass(3600);
    world.step();
    assert_eq!(world.status().finished_at, None);
    let now = world.now;
    let pod = world.pod("-build");
    (pod.unschedulable, pod.scheduled) = (None, Some(now));
    world.pass(599);
    world.step();
    assert_eq!(world.status().finished_at, None);
    world.pass(2);
    world.step();
    assert_eq!(world.status().failure.unwrap().reason, "Timeout");
}
