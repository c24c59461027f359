//! A real cluster with Slipway installed, driven the way users drive it: with kubectl.
//!
//! `cargo xtask test --only cluster` provides it; the tests are behind the feature `cluster`, so that nothing passes by skipping.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// How long a build may take before a test gives up.
const PATIENCE: Duration = Duration::from_mins(3);

/// Held by those that need the operator's leader to stay, and alone by those that end it.
static LEADERS: RwLock<()> = RwLock::new(());

/// The operator's pod that leads, and goes on leading.
#[derive(Debug)]
pub struct Leader {
    /// The pod's name.
    pub name: String,
    _stays: RwLockReadGuard<'static, ()>,
}

/// The operator's pod that leads, for a test that ends it.
#[derive(Debug)]
pub struct DoomedLeader<'a> {
    cluster: &'a Cluster,
    _alone: RwLockWriteGuard<'static, ()>,
}

impl DoomedLeader<'_> {
    /// Deletes the pod without grace; returns its name.
    pub fn end(self) -> Result<String> {
        let name = self.cluster.leads()?;
        let namespace = format!("--namespace={}", Cluster::OPERATOR_NAMESPACE);
        self.cluster.kubectl(&["delete", "pod", &name, &namespace, "--grace-period=0", "--force"])?;
        Ok(name)
    }
}

/// How to reach the cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    kubectl: PathBuf,
    crane: PathBuf,
    registry: String,
}

impl Cluster {
    /// Returns the cluster that the environment names.
    pub fn here() -> Result<Self> {
        let registry = std::env::var("SLIPWAY_E2E_REGISTRY").context(
            "these tests need a cluster with Slipway: run them with `cargo xtask test --only cluster`",
        )?;
        let program =
            |name: &str, default: &str| std::env::var_os(name).map_or_else(|| default.into(), PathBuf::from);
        Ok(Self {
            kubectl: program("SLIPWAY_KUBECTL", "kubectl"),
            crane: program("SLIPWAY_CRANE", "crane"),
            registry,
        })
    }

    /// The registry as host and port, the same for pods and for this machine.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The address of this machine that pods reach.
    pub fn host(&self) -> Result<&str> {
        self.registry.split(':').next().context("the registry has no host")
    }

    /// A registry that wants the user `slipway` with the password `slipway-test`, where there is one.
    pub fn private_registry(&self) -> Option<String> {
        std::env::var("SLIPWAY_E2E_PRIVATE_REGISTRY").ok().filter(|address| !address.is_empty())
    }

    /// Runs kubectl and returns what it printed.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        output(Command::new(&self.kubectl).args(words), None)
    }

    /// Runs kubectl with an object on its standard input.
    pub fn kubectl_with(&self, words: &[&str], input: &str) -> Result<String> {
        output(Command::new(&self.kubectl).args(words), Some(input))
    }

    /// The namespace that the chart is installed in.
    pub const OPERATOR_NAMESPACE: &str = "slipway-system";

    /// Returns the name of the operator's pod that leads, which no other test of this program ends while the value lives:
    /// what a leader has counted goes with it.
    pub fn leader(&self) -> Result<Leader> {
        let stays = LEADERS.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Leader { name: self.leads()?, _stays: stays })
    }

    /// Waits until no other test needs the leader, and keeps them from it until it is ended.
    pub fn doomed_leader(&self) -> DoomedLeader<'_> {
        DoomedLeader { cluster: self, _alone: LEADERS.write().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Returns the name of the pod that leads; between two leaders there is none for a moment.
    fn leads(&self) -> Result<String> {
        let namespace = format!("--namespace={}", Self::OPERATOR_NAMESPACE);
        let holder = "--output=jsonpath={.spec.holderIdentity}";
        let start = Instant::now();
        loop {
            let name = self.kubectl(&["get", "lease", "slipway-operator", &namespace, holder])?;
            let runs = !name.is_empty() && self.kubectl(&["get", "pod", &name, &namespace]).is_ok();
            if runs {
                return Ok(name);
            }
            ensure!(start.elapsed() < Duration::from_mins(1), "nobody leads; the lease names `{name}`");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Runs crane against the registry and returns what it printed.
    pub fn crane(&self, words: &[&str]) -> Result<String> {
        output(Command::new(&self.crane).args(words).arg("--insecure"), None)
    }

    /// Returns the names and contents' listing of an image's flattened tree, as `tar -tv` shows it.
    pub fn listing(&self, reference: &str) -> Result<String> {
        let script =
            format!("{} export --insecure {reference} - | tar -tv --numeric-owner", self.crane.display());
        output(Command::new("bash").args(["-o", "pipefail", "-c", &script]), None)
    }

    /// Returns a file of an image.
    pub fn file(&self, reference: &str, path: &str) -> Result<String> {
        let script = format!("{} export --insecure {reference} - | tar -xO {path}", self.crane.display());
        output(Command::new("bash").args(["-o", "pipefail", "-c", &script]), None)
    }

    /// Makes a namespace that goes away with the value; `level` is what PodSecurity enforces in it.
    pub fn namespace(&self, level: &str) -> Result<Namespace> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"generateName": "slipway-e2e-", "labels": {"pod-security.kubernetes.io/enforce": level}},
        });
        let name = self.kubectl_with(
            &["create", "--filename=-", "--output=jsonpath={.metadata.name}"],
            &object.to_string(),
        )?;
        Ok(Namespace { cluster: self.clone(), name })
    }
}

fn output(command: &mut Command, input: Option<&str>) -> Result<String> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {shown}"))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(input.as_bytes())?;
    }
    let done = child.wait_with_output()?;
    ensure!(done.status.success(), "{shown} failed: {}", String::from_utf8_lossy(&done.stderr).trim_end());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// A namespace with its own cache.
pub struct Namespace {
    cluster: Cluster,
    name: String,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What a failed test left is worth a look while the cluster is up.
        if !std::thread::panicking() || std::env::var_os("SLIPWAY_E2E_KEEP").is_none() {
            let _ = self.cluster.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
        }
    }
}

impl Namespace {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The reference of an image that a build of this namespace pushes.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.cluster.registry, self.name)
    }

    /// Runs kubectl in the namespace.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        let namespace = format!("--namespace={}", self.name);
        let mut all = vec![words[0], namespace.as_str()];
        all.extend(&words[1..]);
        self.cluster.kubectl(&all)
    }

    /// Applies any object given as YAML.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        let namespace = format!("--namespace={}", self.name);
        self.cluster.kubectl_with(&["apply", &namespace, "--filename=-"], yaml)
    }

    /// Applies an ImageBuild: a name and a spec in YAML. `REPO/` in it is this namespace's part of the registry.
    pub fn build(&self, name: &str, spec: &str) -> Result<()> {
        let spec: Value = serde_yaml::from_str(&spec.replace("REPO/", &self.image("")))?;
        let object = json!({"apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild", "metadata": {"name": name}, "spec": spec});
        self.apply(&object.to_string()).map(drop)
    }

    /// Returns an ImageBuild as it stands.
    pub fn get(&self, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["get", "imagebuild", name, "--output=json"])?)?)
    }

    /// Waits until a build has ended, whichever way, and returns its status.
    pub fn ended(&self, name: &str) -> Result<Value> {
        self.until(name, "the end", |build| {
            let status = &build["status"];
            build["metadata"]["generation"] == status["observedGeneration"] && !status["finishedAt"].is_null()
        })
    }

    /// Waits until a build has succeeded, and returns its status.
    pub fn succeeded(&self, name: &str) -> Result<Value> {
        let status = self.ended(name)?;
        ensure!(status["phase"] == "Succeeded", "{name} did not succeed: {status:#}\n{}", self.logs());
        Ok(status)
    }

    /// Waits until a build has failed, and returns its status.
    pub fn failed(&self, name: &str) -> Result<Value> {
        let status = self.ended(name)?;
        ensure!(status["phase"] == "Failed", "{name} did not fail: {status:#}");
        Ok(status)
    }

    /// Waits until a build looks as asked, and returns its status.
    pub fn until(&self, name: &str, what: &str, good: impl Fn(&Value) -> bool) -> Result<Value> {
        let start = Instant::now();
        loop {
            let mut build = self.get(name)?;
            if good(&build) {
                return Ok(build["status"].take());
            }
            if start.elapsed() > PATIENCE {
                bail!(
                    "{name}: no {what} after {} s: {:#}\n{}",
                    PATIENCE.as_secs(),
                    build["status"],
                    self.logs()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks for another build of the same spec.
    pub fn rebuild(&self, name: &str, token: &str) -> Result<()> {
        let run = self.get(name)?["status"]["run"].clone();
        self.kubectl(&[
            "annotate",
            "--overwrite",
            "imagebuild",
            name,
            &format!("slipway.dev/rebuild={token}"),
        ])?;
        self.until(name, "new run", |build| build["status"]["run"] != run).map(drop)
    }

    /// Returns the pods of a run of a build.
    pub fn pods(&self, name: &str, run: i64) -> Result<Vec<Value>> {
        let selector = format!("--selector=slipway.dev/build={name},slipway.dev/run={run}");
        let mut list: Value =
            serde_json::from_str(&self.kubectl(&["get", "pods", &selector, "--output=json"])?)?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// Runs a pod of an image to its end and returns what it printed.
    pub fn run(&self, name: &str, image: &str, command: &[&str]) -> Result<String> {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image, "command": command}]},
        });
        self.run_pod(name, &pod)
    }

    /// Runs a shell line with a claim mounted somewhere.
    pub fn run_with_claim(
        &self,
        name: &str,
        image: &str,
        line: &str,
        (claim, at): (&str, &str),
    ) -> Result<String> {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "main", "image": image, "command": ["sh", "-ec", line],
                    "volumeMounts": [{"name": "claim", "mountPath": at}],
                }],
                "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
            },
        });
        self.run_pod(name, &pod)
    }

    fn run_pod(&self, name: &str, pod: &Value) -> Result<String> {
        self.apply(&pod.to_string())?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            match self.kubectl(&["get", "pod", name, "--output=jsonpath={.status.phase}"])?.as_str() {
                "Succeeded" => return self.kubectl(&["logs", name]),
                "Failed" => bail!("pod {name} failed: {}", self.kubectl(&["logs", name])?),
                _ => std::thread::sleep(Duration::from_millis(200)),
            }
        }
        bail!("pod {name} did not end: {}", self.kubectl(&["describe", "pod", name])?)
    }

    /// Returns the logs of all pods, for the message of a failure.
    pub fn logs(&self) -> String {
        let selector = "--selector=app.kubernetes.io/managed-by=slipway-operator";
        let pods = self.kubectl(&["get", "pods", "--output=wide"]).unwrap_or_default();
        let logs = self.kubectl(&[
            "logs",
            selector,
            "--all-containers",
            "--prefix",
            "--tail=40",
            "--max-log-requests=50",
        ]);
        format!("{pods}{}", logs.unwrap_or_else(|error| error.to_string()))
    }
}
