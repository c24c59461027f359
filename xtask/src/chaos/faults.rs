//! What can go wrong, and how it is made to.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Bed, CLAIM, Options};
use crate::{
    cluster::{self, State},
    host::command::Run,
    install,
};

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// A replica of the operator is killed.
    Operator,
    /// A stage pod is deleted without grace.
    StagePod,
    /// A build pod is deleted without grace.
    BuildPod,
    /// The kernel finds no memory for a stage pod.
    Memory,
    /// The claim of the cache has not a byte left for a while.
    FullClaim,
    /// The kubelet is away for a while.
    Kubelet,
    /// The registry is away for up to a minute.
    Registry,
}

/// A seeded sequence.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % sides.max(1)
    }
}

/// Draws what happens next.
pub(super) fn draw(dice: &mut Dice, options: &Options, bounded: bool) -> Fault {
    match dice.roll(24) {
        0 if !options.pods_only => Fault::Registry,
        1 if !options.pods_only => Fault::Kubelet,
        2 if bounded => Fault::FullClaim,
        3..=5 if !options.pods_only => Fault::Memory,
        6..=10 => Fault::BuildPod,
        11..=15 => Fault::Operator,
        _ => Fault::StagePod,
    }
}

impl Bed<'_> {
    /// Lets one thing go wrong; tells whether it found anything to disturb.
    pub(super) fn strike(&self, fault: Fault, dice: &mut Dice) -> Result<bool> {
        let own = format!("--namespace={}", self.namespace);
        match fault {
            Fault::Operator => self.kill(
                "--selector=app.kubernetes.io/name=slipway",
                &format!("--namespace={}", install::NAMESPACE),
                dice,
            ),
            Fault::StagePod => self.kill("--selector=slipway.dev/role=stage", &own, dice),
            Fault::BuildPod => self.kill("--selector=slipway.dev/role=build", &own, dice),
            Fault::Memory => self.starve(dice),
            Fault::FullClaim => self.fill(3 + dice.roll(10)).map(|()| true),
            Fault::Kubelet => outage("kubelet", 5 + dice.roll(20)),
            Fault::Registry => outage("registry", 10 + dice.roll(51)),
        }
    }

    /// Picks one of the pods that run.
    fn pick(&self, selector: &str, namespace: &str, dice: &mut Dice) -> Result<Option<Value>> {
        let running = "--field-selector=status.phase=Running";
        let found = self.access.kubectl(["get", "pods", selector, namespace, running, "--output=json"])?;
        let mut found: Value = serde_json::from_str(&found)?;
        let pods = found["items"].as_array_mut().context("no list")?;
        Ok((!pods.is_empty()).then(|| pods.swap_remove(dice.roll(pods.len()))))
    }

    fn kill(&self, selector: &str, namespace: &str, dice: &mut Dice) -> Result<bool> {
        let Some(pod) = self.pick(selector, namespace, dice)? else { return Ok(false) };
        let name = pod["metadata"]["name"].as_str().context("no name")?;
        self.access.kubectl([
            "delete",
            "pod",
            name,
            namespace,
            "--grace-period=0",
            "--force",
            "--ignore-not-found",
            "--wait=false",
        ])?;
        Ok(true)
    }

    /// Takes a stage pod's memory away, down to what it holds: at its next page the kernel kills something in it.
    fn starve(&self, dice: &mut Dice) -> Result<bool> {
        let own = format!("--namespace={}", self.namespace);
        let Some(pod) = self.pick("--selector=slipway.dev/role=stage", &own, dice)? else {
            return Ok(false);
        };
        let status = &pod["status"]["containerStatuses"][0];
        let Some((_, container)) = status["containerID"].as_str().and_then(|id| id.split_once("://")) else {
            return Ok(false);
        };
        let Some(group) = control_group(container)? else { return Ok(false) };
        // Version 2 kills at once; version 1 refuses a limit below what cannot be reclaimed, so it is closed in on.
        let new = group.join("memory.max");
        if new.exists() {
            return Ok(fs::write(new, "65536").is_ok());
        }
        let bytes =
            |file: &str| -> Option<u64> { fs::read_to_string(group.join(file)).ok()?.trim().parse().ok() };
        let mut starved = false;
        for _ in 0..40 {
            let Some(held) = bytes("memory.usage_in_bytes") else { break };
            starved |= fs::write(group.join("memory.limit_in_bytes"), (held * 7 / 8).to_string()).is_ok()
                || fs::write(group.join("memory.limit_in_bytes"), held.to_string()).is_ok();
            std::thread::sleep(Duration::from_millis(25));
        }
        Ok(starved)
    }

    /// Fills the claim to its last byte for some seconds, from a pod beside the builds.
    fn fill(&self, seconds: usize) -> Result<()> {
        let line = format!(
            "trap 'rm -f /claim/filler' EXIT; cat /dev/zero > /claim/filler 2>/dev/null || true; sleep {seconds}"
        );
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "filler-"},
            "spec": {
                "restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "main", "image": "busybox", "command": ["sh", "-c", line],
                    "volumeMounts": [{"name": "claim", "mountPath": "/claim"}],
                }],
                "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": CLAIM}}],
            },
        });
        self.access.create(&pod, &["--namespace", &self.namespace]).map(drop)
    }
}

/// A part of the cluster is away for a while.
fn outage(component: &str, seconds: usize) -> Result<bool> {
    let state = State::locate();
    println!("   {component} is away for {seconds} s");
    cluster::stop_component(&state, component)?;
    std::thread::sleep(Duration::from_secs(seconds as u64));
    cluster::up(&state).map(|_| true)
}

/// Returns the memory control group of a container.
fn control_group(container: &str) -> Result<Option<PathBuf>> {
    let top = if PathBuf::from("/sys/fs/cgroup/cgroup.procs").exists() {
        "/sys/fs/cgroup"
    } else {
        "/sys/fs/cgroup/memory"
    };
    // Groups come and go while `find` looks, of which it complains.
    let found = Command::new("sh")
        .args(["-c", &format!("find {top} -type d -name '*{container}*' 2>/dev/null || true")])
        .text()?;
    Ok(found.lines().next().map(PathBuf::from))
}
