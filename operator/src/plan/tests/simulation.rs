//! A seeded walk: reconciles come at any time, any number of times, and pods say things in any order or vanish. Whatever
//! happens, each build ends, the status is consistent, and a finished build is left alone.

use k8s_openapi::jiff::SignedDuration;
use slipway_protocol::report::{BuildReport, Failure};

use super::world::{World, ended};
use crate::pod_view::{PodView, Progress, Role};

/// Clocks have nanoseconds, and the status does not keep them.
const FRACTION: SignedDuration = SignedDuration::from_nanos(250_000_001);

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One thing happens in the world.
fn happen(world: &mut World, dice: &mut Dice) {
    let (attempt, run) = (world.status().attempt, world.status().run);
    let names: Vec<(String, Role)> = world
        .facts
        .pods
        .iter()
        .filter(|p| p.run == run && p.attempt == attempt && !p.over && p.unschedulable.is_none())
        .map(|p| (p.name.clone(), p.role))
        .collect();
    if names.is_empty() {
        return;
    }
    let (name, role) = names[usize::try_from(dice.roll(names.len() as u64)).unwrap()].clone();
    let planned = world
        .facts
        .pods
        .iter()
        .any(|p| p.role == Role::Build && p.attempt == attempt && matches!(p.plan, Progress::Ended(_)));
    match (role, dice.roll(20)) {
        (_, 0) => world.facts.pods.retain(|p| p.name != name),
        (_, 1) => world.pod(&name).disrupted = Some("Evicted".into()),
        (Role::Stage(_), 2) => {
            let said =
                Failure { reason: "RunFailed".into(), message: "exit code 1".into(), ..Failure::default() };
            let stage = if name.contains("deps") { "deps" } else { "compile" };
            world.say_stage(&name, stage, Some(said));
        }
        (Role::Build, 3) if planned => {
            let pod = world.pod(&name);
            pod.conduct = ended::<BuildReport>(137, "Error", Err(String::new()));
            pod.over = true;
        }
        (Role::Build, 4..) if !planned => world.say_plan(),
        (Role::Stage(_), 4..12) => world.pod(&name).stage = Progress::Running,
        (Role::Stage(_), _) => {
            world.say_stage(&name, if name.contains("deps") { "deps" } else { "compile" }, None);
        }
        (Role::Poll, _) => {}
        (Role::Build, 4..8) if world.facts.pods.iter().filter(|p| p.attempt == attempt).count() == 3 => {
            let unheard = |part: &str| {
                world.facts.pods.iter().any(|p| p.attempt == attempt && p.name.contains(part) && !p.over)
            };
            let all = [(0, "deps"), (1, "compile")];
            let words: Vec<_> = all.into_iter().filter(|(_, part)| unheard(part)).collect();
            world.say_built_early(&words);
        }
        (Role::Build, _) => {
            let open = world
                .facts
                .pods
                .iter()
                .filter(|p| p.attempt == attempt && matches!(p.role, Role::Stage(_)) && !p.over)
                .count();
            if world.facts.pods.iter().filter(|p| p.attempt == attempt).count() == 3 && open == 0 {
                world.say_built();
            }
        }
    }
}

#[test]
fn every_build_ends_and_stays_ended() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut world = World::simple();
        world.now += FRACTION;
        // Room for one stage pod at a time, for both, or for all tries together.
        world.room = 1 + usize::try_from(dice.roll(3)).unwrap();
        let mut steps = 0;
        while world.status().finished_at.is_none() {
            for _ in 0..dice.roll(3) {
                happen(&mut world, &mut dice);
            }
            world.place();
            world.pass(i64::try_from(dice.roll(4)).unwrap());
            for _ in 0..=dice.roll(2) {
                world.step();
            }
            consistent(&world, seed);
            steps += 1;
            assert!(steps < 5000, "seed {seed}: the build does not end: {:?}", world.status());
        }
        let end = world.status();
        // The kubelets say what the build pod has said of them.
        let words = world.facts.pods.iter().find_map(PodView::built).map(|report| report.pods.clone());
        for pod in &mut world.facts.pods {
            pod.over |= match pod.role {
                Role::Stage(number) => words.as_ref().is_some_and(|words| words.contains_key(&number)),
                _ => pod.built().is_some(),
            };
        }
        for _ in 0..3 {
            world.pass(1);
            world.step();
        }
        assert_eq!(world.status(), end, "seed {seed}");
        assert!(
            world.facts.pods.iter().all(|p| p.over || p.disrupted.is_some()),
            "seed {seed}: a pod runs on"
        );
    }
}

/// The operator's own writes wake nobody: what else there is to do must be known when they are made.
#[test]
fn every_build_ends_where_only_pods_and_the_clock_wake_it() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut world = World::new("{dockerfile: {inline: FROM scratch}, history: {ttl: 10m}}");
        world.now += FRACTION;
        world.room = 1 + usize::try_from(dice.roll(3)).unwrap();
        let pods = |world: &World| format!("{:?}", world.facts.pods);
        // The watch tells of each change, also of those that are undone before anybody looks.
        let mut told = true;
        let mut steps = 0;
        while world.status().finished_at.is_none() {
            let before = pods(&world);
            if told || world.wake.is_some_and(|at| at <= world.now) {
                world.step();
                consistent(&world, seed);
                told = false;
            } else {
                world.pass(1);
            }
            told |= pods(&world) != before;
            let before = pods(&world);
            if dice.roll(4) == 0 {
                happen(&mut world, &mut dice);
            }
            world.place();
            told |= pods(&world) != before;
            steps += 1;
            assert!(steps < 2000, "seed {seed}: nobody wakes the build: {:?}", world.status());
        }
        // What it leaves is removed in time.
        let end = world.now;
        while let Some(at) = world.wake {
            world.now = world.now.max(at);
            world.step();
        }
        let kept = world.now.duration_since(end).as_secs_f64();
        assert!((599.0..605.0).contains(&kept), "seed {seed}: kept for {kept} s");
        let left = (&world.facts.pods, &world.facts.requests);
        assert!(left.0.is_empty() && left.1.is_empty(), "seed {seed}: {left:#?}");
    }
}

/// What must hold of every status at any time.
fn consistent(world: &World, seed: u64) {
    let status = world.status();
    let is = |type_: &str| world.condition(type_).is_some_and(|(status, _)| status == "True");
    let exactly = [is("Ready"), is("Reconciling"), is("Stalled")].into_iter().filter(|x| *x).count();
    assert_eq!(exactly, 1, "seed {seed}: {:#?}", status.conditions);
    assert_eq!(status.finished_at.is_some(), !is("Reconciling"), "seed {seed}");
    assert_eq!(status.failure.is_some(), is("Stalled"), "seed {seed}");
    assert!(status.attempt <= 3, "seed {seed}");
    assert!(status.conditions.iter().all(|c| c.observed_generation == Some(1)), "seed {seed}");
}
