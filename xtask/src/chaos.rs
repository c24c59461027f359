//! Many builds, disturbed at random moments: each must end as it would have ended alone, and leave nothing behind.
//!
//! The dice are seeded, so a run can be had again: the same faults in the same order, though not to the same millisecond.

mod faults;

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
    cluster::Access,
    host::{
        command::{Run, wait_until},
        parts,
    },
    install,
};
use faults::{Dice, Fault, draw};

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

/// A Dockerfile that takes a few seconds, and how it ends. `NAME` in it makes each build's steps its own.
struct Shape {
    dockerfile: &'static str,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// An image, always the same.
    Image,
    /// A command that fails by itself with this exit code.
    Exit(i64),
    /// A stage that needs more memory than its pod may have.
    TooLittleMemory,
}

/// A chain, a fan, one that only copies at its end, one that fails, one that is too greedy.
const SHAPES: [Shape; 5] = [
    Shape {
        dockerfile: "FROM busybox AS one\nRUN : NAME; sleep 1; echo one > /one\nRUN sleep 1; echo two > /two\n\
                     FROM one AS two\nRUN sleep 1; cat /one /two > /three\n",
        end: End::Image,
    },
    Shape {
        dockerfile: "FROM busybox AS a\nRUN : NAME; sleep 2; echo a > /a\n\
                     FROM busybox AS b\nRUN : NAME; sleep 1; echo b > /b\n\
                     FROM busybox\nCOPY --from=a /a /\nRUN sleep 1; cat /a > /c\nCOPY --from=b /b /\n",
        end: End::Image,
    },
    Shape {
        dockerfile: "FROM debian:bookworm-slim AS work\nRUN : NAME; sleep 1; seq 100000 > /numbers\n\
                     FROM scratch\nCOPY --from=work /numbers /\n",
        end: End::Image,
    },
    Shape {
        dockerfile: "FROM busybox AS fails\nRUN : NAME; sleep 1; echo one > /one\nRUN sleep 1; exit 7\n",
        end: End::Exit(7),
    },
    Shape {
        dockerfile: "FROM busybox AS greedy\nRUN : NAME; sleep 1; echo one > /one\n\
                     RUN dd if=/dev/zero of=/dev/null bs=300M count=1\n",
        end: End::TooLittleMemory,
    },
];

/// The claim of the cache.
const CLAIM: &str = "slipway-cache";
/// The class of volumes that have an exact size, on the cluster that these commands boot.
const BOUNDED: &str = "slipway-bounded";

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

/// A build that has not ended.
struct Open {
    name: String,
    shape: usize,
    since: Instant,
    /// What went wrong in its time: that may be the reason of a failure that the build would not have had alone.
    struck: Vec<Fault>,
}

/// What a run of chaos saw.
#[derive(Default)]
struct Tally {
    faults: BTreeMap<Fault, usize>,
    ends: BTreeMap<String, usize>,
    tries: i64,
    resumed: i64,
}

/// How long after its pod was made a filler can hold the claim's room, on a busy node.
const FULL_FOR: Duration = Duration::from_mins(1);

impl Bed<'_> {
    fn all(&self, options: &Options) -> Result<()> {
        let bounded = self.claim()?;
        let mut expected = Vec::new();
        for (number, shape) in SHAPES.iter().enumerate() {
            let name = format!("alone-{number}");
            self.build(&name, number)?;
            let status = self.ended(&name)?;
            expected.push(if shape.end == End::Image { self.tree(&status)? } else { String::new() });
            self.judge(&name, number, &status, &expected, &[])?;
        }
        let mut dice = Dice(options.seed);
        let mut tally = Tally::default();
        let (mut next, mut open) = (0, Vec::<Open>::new());
        let start = Instant::now();
        let mut full_until: Option<Instant> = None;
        while next < options.builds || !open.is_empty() {
            while next < options.builds && open.len() < options.at_once {
                // Mostly images: what fails by itself has less to disturb.
                let shape = if dice.roll(6) == 0 { 3 + dice.roll(2) } else { dice.roll(3) };
                let name = format!("build-{next}");
                self.build(&name, shape)?;
                open.push(Open { name, shape, since: Instant::now(), struck: vec![] });
                next += 1;
            }
            std::thread::sleep(Duration::from_millis(300 + 100 * dice.roll(20) as u64));
            // What finds nothing to disturb is drawn anew.
            for _ in 0..4 {
                let fault = draw(&mut dice, options, bounded);
                if self.strike(fault, &mut dice).with_context(|| format!("{fault:?}"))? {
                    *tally.faults.entry(fault).or_default() += 1;
                    if fault == Fault::FullClaim {
                        full_until = Some(Instant::now() + FULL_FOR);
                    }
                    for build in &mut open {
                        build.struck.push(fault);
                    }
                    break;
                }
            }
            if full_until.is_some_and(|end| Instant::now() < end) {
                for build in &mut open {
                    build.struck.push(Fault::FullClaim);
                }
            }
            let mut still = Vec::new();
            for build in open {
                let Some(status) = self.result(&build.name)? else {
                    ensure!(
                        build.since.elapsed() < Duration::from_mins(15),
                        "{} does not end: {:#}",
                        build.name,
                        self.status(&build.name)?
                    );
                    still.push(build);
                    continue;
                };
                let end = self.judge(&build.name, build.shape, &status, &expected, &build.struck)?;
                println!(
                    "   {}: {end}, after {} tries and {} s",
                    build.name, status["attempt"], status["timing"]["total"]
                );
                tally.add(end, &status);
            }
            open = still;
        }
        println!(
            "   {} builds ended as they should in {:.0} s: {:?}, in {} tries, of which later ones found {} finished steps; \
             faults: {:?}",
            options.builds,
            start.elapsed().as_secs_f64(),
            tally.ends,
            tally.tries,
            tally.resumed,
            tally.faults
        );
        self.nothing_is_left()
    }

    /// Makes the claim of the cache with a size that can be reached, where the cluster has such; tells whether it has.
    fn claim(&self) -> Result<bool> {
        if self.access.kubectl(["get", "storageclass", BOUNDED, "--ignore-not-found"])?.is_empty() {
            return Ok(false);
        }
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM},
            "spec": {
                "storageClassName": BOUNDED, "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "640Mi"}},
            },
        });
        self.access.create(&claim, &["--namespace", &self.namespace])?;
        Ok(true)
    }

    /// Checks that a build ended as it ends alone, or in a failure that names what struck it; returns in a word which.
    fn judge(
        &self,
        name: &str,
        shape: usize,
        status: &Value,
        expected: &[String],
        struck: &[Fault],
    ) -> Result<&'static str> {
        let failure = &status["failure"];
        let said = failure.to_string().to_lowercase();
        if SHAPES[shape].end == End::Image && status["phase"] == "Succeeded" {
            ensure!(self.tree(status)? == expected[shape], "{name} made another image");
            return Ok("its image");
        }
        ensure!(status["phase"] == "Failed", "{name} should have failed: {status:#}");
        let image = self.image(name);
        let pushed = Command::new(&self.crane).args(["digest", "--insecure", &image]).succeeds();
        ensure!(!pushed, "{name} failed, and there is an image of it");
        match SHAPES[shape].end {
            End::Exit(code) if failure["exitCode"] == code => return Ok("its own failure"),
            End::TooLittleMemory if said.contains("memory") => return Ok("too little memory"),
            _ => {}
        }
        // The kernel kills for want of memory what it likes, also the command: that is the build's own failure.
        if struck.contains(&Fault::Memory) && said.contains("out of memory") {
            return Ok("killed for memory");
        }
        if struck.contains(&Fault::FullClaim) && said.contains("no room is left") {
            return Ok("no room for what it wrote");
        }
        anyhow::bail!("{name} failed otherwise than alone, after {struck:?}: {status:#}")
    }

    fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.access.kubectl([words, &["--namespace", &self.namespace]].concat())
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.access.registry(), self.namespace)
    }

    fn build(&self, name: &str, shape: usize) -> Result<()> {
        let mut object = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild", "metadata": {"name": name},
            "spec": {
                "dockerfile": {"inline": SHAPES[shape].dockerfile.replace("NAME", name)},
                "args": [{"name": "SOURCE_DATE_EPOCH", "value": "1700000000"}],
                "retries": 10,
                "history": {"ttl": "10s"},
                "images": [{"name": self.image(name)}],
            },
        });
        if SHAPES[shape].end == End::TooLittleMemory {
            object["spec"]["stages"] =
                json!([{"name": "greedy", "resources": {"limits": {"memory": "100Mi"}}}]);
        }
        self.access.create(&object, &["--namespace", &self.namespace]).map(drop)
    }

    fn status(&self, name: &str) -> Result<Value> {
        let mut build: Value =
            serde_json::from_str(&self.kubectl(&["get", "imagebuild", name, "--output=json"])?)?;
        Ok(build["status"].take())
    }

    fn result(&self, name: &str) -> Result<Option<Value>> {
        let status = self.status(name)?;
        Ok((!status["finishedAt"].is_null()).then_some(status))
    }

    fn ended(&self, name: &str) -> Result<Value> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.result(name)? {
                return Ok(status);
            }
            ensure!(
                start.elapsed() < Duration::from_mins(10),
                "{name} does not end: {:#}",
                self.status(name)?
            );
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

    /// Pods, requests, leases and temporary files of builds that are over must be gone.
    fn nothing_is_left(&self) -> Result<()> {
        self.gone("pods,configmaps", "app.kubernetes.io/managed-by")?;
        // What a killed process left in the store is swept by the next one that opens it.
        self.build("last", 0)?;
        let last = self.ended("last")?;
        ensure!(last["phase"] == "Succeeded", "the last build failed: {last:#}");
        self.gone("pods,configmaps", "app.kubernetes.io/managed-by")?;
        let line =
            "cd /claim/store; for d in tmp trash flights leases; do find $d -mindepth 1 -maxdepth 1; done";
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "look"},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "main", "image": "busybox", "command": ["sh", "-ec", line],
                    "volumeMounts": [{"name": "claim", "mountPath": "/claim"}],
                }],
                "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": CLAIM}}],
            },
        });
        self.access.create(&pod, &["--namespace", &self.namespace])?;
        self.kubectl(&["wait", "pod/look", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=3m"])?;
        let left = self.kubectl(&["logs", "look"])?;
        ensure!(left.trim().is_empty(), "these are left in the store:\n{left}");
        println!("   no pod, request, lease, lock or temporary file is left");
        Ok(())
    }

    /// Waits until nothing with a label is there.
    fn gone(&self, kinds: &str, label: &str) -> Result<()> {
        wait_until(&format!("the end of {kinds}"), Duration::from_mins(3), || {
            let left = self.kubectl(&["get", kinds, "--selector", label, "--output=name"])?;
            ensure!(left.trim().is_empty(), "these are left: {left}");
            Ok(true)
        })
        .map(drop)
    }
}

impl Tally {
    fn add(&mut self, end: &str, status: &Value) {
        *self.ends.entry(end.to_owned()).or_default() += 1;
        let tries = status["attempt"].as_i64().unwrap_or(1);
        self.tries += tries;
        if tries > 1 {
            let cached = status["stages"].as_array().into_iter().flatten();
            self.resumed += cached.filter_map(|stage| stage["cached"].as_i64()).sum::<i64>();
        }
    }
}
