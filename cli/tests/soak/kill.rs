//! `kill -9` at random moments in many builds over one store, several at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use slipway_registry::testing::FakeRegistry;

use crate::bed::{Bed, text};
use crate::recipes::{self, KINDS};
use crate::{Dice, alone, left, registry, setting};

/// Variants of each kind: few, so that builds find what dead ones left.
const VARIANTS: u64 = 4;
/// Builds at once.
const TOGETHER: u64 = 4;

struct Case<'a> {
    bed: &'a Bed,
    fake: &'a FakeRegistry,
    contexts: BTreeMap<(u64, u64), PathBuf>,
}

impl Case<'_> {
    fn build(&self, store: &Path, (kind, variant): (u64, u64), digest: &Path) -> Command {
        let mut command = self.bed.build(store, &self.contexts[&(kind, variant)]);
        command.args(["--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--iidfile"]).arg(digest);
        if variant % 2 == 0 {
            let name = format!("{}/killed/kind{kind}:{variant}", self.fake.host());
            command.args(["-o", &format!("type=registry,name={name},rewrite-timestamp=true")]);
        } else {
            let dest = digest.with_extension("tar").display().to_string();
            command.args(["-o", &format!("type=oci,rewrite-timestamp=true,dest={dest}")]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Builds undisturbed, and returns the digest.
    fn digest(&self, store: &Path, which: (u64, u64)) -> String {
        let path = self.bed.path(&format!("digest-{}-{}", which.0, which.1));
        let output =
            self.build(store, which, &path).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{which:?}: {}", text(&output));
        std::fs::read_to_string(path).unwrap()
    }
}

/// Kills a build: its process alone, or with its whole group.
fn kill(child: &mut Child, group: bool) {
    let pid = Pid::from_child(child);
    // It may have ended just now: then there is nothing to kill, and `wait` has not been called, so the id is still its own.
    let _ = if group { kill_process_group(pid, Signal::KILL) } else { kill_process(pid, Signal::KILL) };
    child.wait().unwrap();
}

#[test]
fn builds_that_are_killed_leave_nothing_behind() {
    let _alone = alone();
    let Some(bed) = Bed::new("kill") else { return };
    let builds = setting("SLIPWAY_SOAK_BUILDS", 24);
    let mut dice = Dice::new(1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = runtime.block_on(FakeRegistry::start()).unwrap();
    let base = registry::base(&fake, "base", 1);
    let contexts = (0..KINDS).flat_map(|kind| (0..VARIANTS).map(move |variant| (kind, variant)));
    let contexts = contexts
        .map(|(kind, variant)| {
            let dockerfile = recipes::dockerfile(kind, variant, &base, &left::mark(&bed));
            ((kind, variant), bed.context(&format!("context-{kind}-{variant}"), &dockerfile))
        })
        .collect();
    let case = Case { bed: &bed, fake: &fake, contexts };

    // What each should be, each from nothing; and how long a build takes here and now.
    let begun = Instant::now();
    let mut expected = BTreeMap::new();
    for which in case.contexts.keys().filter(|(kind, variant)| builds > 100 || *variant == kind % VARIANTS) {
        let clean = bed.path(&format!("clean-{}-{}", which.0, which.1));
        expected.insert(*which, case.digest(&clean, *which));
        left::nothing_runs(&bed, &clean);
        std::fs::remove_dir_all(clean).unwrap();
    }
    let usual = begun.elapsed().as_millis() as u64 / expected.len() as u64;

    let store = bed.path("store");
    let (mut begun, mut killed) = (0, 0);
    // Within this time builds are killed: it follows how long they take, which depends on what they find in the cache.
    let mut window = usual;
    while killed < builds && begun < builds * 8 {
        let mut running = Vec::new();
        for slot in 0..TOGETHER {
            let which = (dice.roll(KINDS), dice.roll(VARIANTS));
            let child = case.build(&store, which, &bed.path(&format!("killed-{slot}"))).spawn().unwrap();
            running.push((dice.roll(window), child, dice.roll(2) == 0));
            begun += 1;
        }
        if dice.roll(3) == 0 {
            // So that there is something to build again; and it is killed like the others.
            let mut prune = bed.program(&store, "cache");
            let child = prune.arg("prune").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            running.push((dice.roll(window), child, true));
        }
        running.sort_by_key(|(moment, ..)| *moment);
        let start = Instant::now();
        for (moment, mut child, group) in running {
            std::thread::sleep(
                (start + Duration::from_millis(moment)).saturating_duration_since(Instant::now()),
            );
            let runs = child.try_wait().unwrap().is_none();
            killed += u64::from(runs);
            window = if runs { window * 9 / 8 + 1 } else { window * 3 / 4 }.clamp(20, 20_000);
            kill(&mut child, group);
        }
        left::nothing_runs(&bed, &store);
    }
    println!("{killed} of {begun} builds and collections were killed, the last within {window} ms");
    assert!(killed >= builds, "only {killed} of {begun} were still running");
    left::is_clean(&bed, &store);
    for (which, digest) in &expected {
        assert_eq!(case.digest(&store, *which), *digest, "{which:?} over the battered store");
    }
    // And once more, all of it from the cache.
    for (which, digest) in &expected {
        assert_eq!(case.digest(&store, *which), *digest, "{which:?} from the cache");
    }
    left::nothing_runs(&bed, &store);
    left::is_clean(&bed, &store);
}
