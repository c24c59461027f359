//! Many builds, disturbed at random moments: each must end as it would have ended alone, and leave nothing behind.
//!
//! The dice are seeded, so a run can be had again: the same faults in the same order, though not to the same millisecond.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    bases,
    cluster::{self, Access, State},
    host::{command::Run, parts},
    install,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many builds.
    #[arg(long, default_value_t = 50)]
    builds: usize,
    /// How many of them at once.
    #[arg(long, default_value_t = 4)]
    at_once: usize,
    /// The seed of the dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Takes the operator that is installed already.
    #[arg(long)]
    installed: bool,
    /// Leaves components of the cluster alone.
    #[arg(long)]
    pods_only: bool,
}

/// Dockerfiles of which each takes a few seconds: a chain, a fan, one that only copies at its end.
const SHAPES: [&str; 3] = [
    "FROM busybox AS one\nRUN sleep 1; echo one > /one\nRUN sleep 1; echo two > /two\nFROM one AS two\nRUN sleep 1; cat /one /two > /three\n",
    "FROM busybox AS a\nRUN sleep 2; echo a > /a\nFROM busybox AS b\nRUN sleep 1; echo b > /b\nFROM busybox\nCOPY --from=a /a /\nRUN sleep 1; cat /a > /c\nCOPY --from=b /b /\n",
    "FROM debian:bookworm-slim AS work\nRUN sleep 1; seq 100000 > /numbers\nFROM scratch\nCOPY --from=work /numbers /\n",
];

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Operator,
    StagePod,
    BuildPod,
    Kubelet,
    Registry,
}

/// Disturbs builds.
pub(crate) fn run(access: &Access, options: &Options) -> Result<()> {
    bases::ensure(access, &["debian", "busybox"])?;
    if !options.installed {
        install::install(access)?;
    }
    let crane = parts::CRANE.ensure()?.join("crane");
    let bed = Bed { access, crane, namespace: format!("slipway-chaos-{}", std::process::id()) };
    access.create_baseline_namespace(&bed.namespace)?;
    let outcome = bed.all(options);
    if outcome.is_ok() {
        access.kubectl(["delete", "namespace", &bed.namespace, "--wait=false"])?;
    } else {
        println!("   the namespace {} stays for a look", bed.namespace);
    }
    outcome
}

struct Bed<'a> {
    access: &'a Access,
    crane: PathBuf,
    namespace: String,
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % sides.max(1)
    }
}

impl Bed<'_> {
    fn all(&self, options: &Options) -> Result<()> {
        let mut expected = Vec::new();
        for shape in 0..SHAPES.len() {
            let name = format!("alone-{shape}");
            self.build(&name, shape)?;
            expected.push(self.tree(&self.ended(&name)?)?);
        }
        let mut dice = Dice(options.seed);
        let mut faults: BTreeMap<Fault, usize> = BTreeMap::new();
        let (mut next, mut open, mut tries) = (0, Vec::new(), 0);
        let start = Instant::now();
        while next < options.builds || !open.is_empty() {
            while next < options.builds && open.len() < options.at_once {
                let shape = dice.roll(SHAPES.len());
                let name = format!("build-{next}");
                self.build(&name, shape)?;
                open.push((name, shape, Instant::now()));
                next += 1;
            }
            std::thread::sleep(Duration::from_millis(500 + 100 * dice.roll(25) as u64));
            let fault = draw(&mut dice, options);
            self.strike(fault, &mut dice).with_context(|| format!("{fault:?}"))?;
            *faults.entry(fault).or_default() += 1;
            let mut still = Vec::new();
            for (name, shape, since) in open {
                let Some(status) = self.result(&name)? else {
                    ensure!(since.elapsed() < Duration::from_mins(15), "{name} does not end");
                    still.push((name, shape, since));
                    continue;
                };
                ensure!(status["phase"] == "Succeeded", "{name} failed: {:#}", status["failure"]);
                ensure!(self.tree(&status)? == expected[shape], "{name} made another image");
                println!(
                    "   {name}: as it should be, after {} tries and {} s",
                    status["attempt"], status["timing"]["total"]
                );
                tries += usize::try_from(status["attempt"].as_i64().unwrap_or(1)).unwrap_or(1);
            }
            open = still;
        }
        println!(
            "   {} builds ended as they should, in {tries} tries and {:.0} s, through {faults:?}",
            options.builds,
            start.elapsed().as_secs_f64()
        );
        self.nothing_is_left()
    }

    fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.access.kubectl([words, &["--namespace", &self.namespace]].concat())
    }

    fn build(&self, name: &str, shape: usize) -> Result<()> {
        let object = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild", "metadata": {"name": name},
            "spec": {
                "dockerfile": {"inline": SHAPES[shape]},
                "args": [{"name": "SOURCE_DATE_EPOCH", "value": "1700000000"}],
                // Everything is built by each, or the second would have nothing to disturb.
                "cache": {"disabled": true},
                "retries": 10,
                "history": {"ttl": "10s"},
                "images": [{"name": format!("{}/{}/{name}", self.access.registry(), self.namespace)}],
            },
        });
        self.access.create(&object, &["--namespace", &self.namespace]).map(drop)
    }

    fn result(&self, name: &str) -> Result<Option<Value>> {
        let build: Value =
            serde_json::from_str(&self.kubectl(&["get", "imagebuild", name, "--output=json"])?)?;
        let status = build["status"].clone();
        Ok((!status["finishedAt"].is_null()).then_some(status))
    }

    fn ended(&self, name: &str) -> Result<Value> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.result(name)? {
                ensure!(status["phase"] == "Succeeded", "{name}: {status:#}");
                return Ok(status);
            }
            ensure!(start.elapsed() < Duration::from_mins(10), "{name} does not end");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Returns a sum over the tree of a build's image: names, modes, owners and contents. Times are those of the run.
    fn tree(&self, status: &Value) -> Result<String> {
        let reference = status["images"][0]["reference"].as_str().context("no image")?;
        let line = format!(
            "set -euo pipefail; d=$(mktemp -d); trap 'rm -rf $d' EXIT; {} export --insecure {reference} - | tar -xpC $d; cd $d; \
             (find . -printf '%p %y %m %U:%G %l\\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum",
            self.crane.display()
        );
        Command::new("bash").args(["-c", &line]).text()
    }

    /// One thing goes wrong.
    fn strike(&self, fault: Fault, dice: &mut Dice) -> Result<()> {
        let own = format!("--namespace={}", self.namespace);
        match fault {
            Fault::Operator => self.kill(
                "--selector=app.kubernetes.io/name=slipway",
                &format!("--namespace={}", install::NAMESPACE),
                dice,
            ),
            Fault::StagePod => self.kill("--selector=slipway.dev/role=stage", &own, dice),
            Fault::BuildPod => self.kill("--selector=slipway.dev/role=build", &own, dice),
            Fault::Kubelet => outage("kubelet", dice),
            Fault::Registry => outage("registry", dice),
        }
    }

    fn kill(&self, selector: &str, namespace: &str, dice: &mut Dice) -> Result<()> {
        let running = "--field-selector=status.phase=Running";
        let found = self.access.kubectl(["get", "pods", selector, namespace, running, "--output=name"])?;
        let pods: Vec<&str> = found.lines().collect();
        let Some(pod) = pods.get(dice.roll(pods.len())) else { return Ok(()) };
        self.access
            .kubectl([
                "delete",
                pod,
                namespace,
                "--grace-period=0",
                "--force",
                "--ignore-not-found",
                "--wait=false",
            ])
            .map(drop)
    }

    /// Pods, requests, leases and temporary files of builds that are over must be gone.
    fn nothing_is_left(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let left = self.kubectl(&[
                "get",
                "pods,configmaps",
                "--selector=app.kubernetes.io/managed-by",
                "--output=name",
            ])?;
            if left.trim().is_empty() {
                break;
            }
            ensure!(start.elapsed() < Duration::from_mins(3), "these are left: {left}");
            std::thread::sleep(Duration::from_secs(1));
        }
        // What a killed process left in the store is swept by the next one that opens it.
        self.build("last", 0)?;
        self.ended("last")?;
        let line = "cd /claim/store; for d in tmp trash flights; do ls -A $d; done; ls leases | wc -l";
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "look"},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "main", "image": "busybox", "command": ["sh", "-c", line],
                    "volumeMounts": [{"name": "claim", "mountPath": "/claim"}],
                }],
                "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": "slipway-cache"}}],
            },
        });
        self.access.create(&pod, &["--namespace", &self.namespace])?;
        self.kubectl(&["wait", "pod/look", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=2m"])?;
        println!("   left in the store (temporary files, trash, flights; then the number of leases):");
        for line in self.kubectl(&["logs", "look"])?.lines() {
            println!("      {line}");
        }
        Ok(())
    }
}

/// A part of the cluster is away for a while.
fn outage(component: &str, dice: &mut Dice) -> Result<()> {
    let state = State::locate();
    cluster::stop_component(&state, component)?;
    std::thread::sleep(Duration::from_secs(2 + dice.roll(28) as u64));
    cluster::up(&state).map(drop)
}

fn draw(dice: &mut Dice, options: &Options) -> Fault {
    match dice.roll(20) {
        0 if !options.pods_only => Fault::Registry,
        1 if !options.pods_only => Fault::Kubelet,
        2..=6 => Fault::BuildPod,
        7..=11 => Fault::Operator,
        _ => Fault::StagePod,
    }
}
