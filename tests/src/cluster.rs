//! A real cluster with Slipway installed, driven the way users drive it: with kubectl.
//!
//! `cargo xtask test --only cluster` provides it; the tests are behind the feature `cluster`, so that nothing passes by skipping.

mod gate;
mod leader;
mod watch;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

pub use gate::Gate;
pub use leader::{DoomedLeader, Leader};

/// How long something may take that no watch tells.
const PATIENCE: Duration = Duration::from_mins(3);

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
        let ns = Namespace { cluster: self.clone(), name };
        ns.eventually("the account of a new namespace", || {
            let account = ["get", "serviceaccount", "default", "--ignore-not-found", "--output=name"];
            Ok(!ns.kubectl(&account)?.is_empty())
        })?;
        Ok(ns)
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
        let seen = watch::until(&self.cluster.kubectl, &self.name, "imagebuilds", |build| {
            (build["metadata"]["name"] == name && good(build)).then(|| build["status"].take())
        })?;
        match seen {
            Some(status) => Ok(status),
            None => bail!("{name}: no {what}: {:#}\n{}", self.get(name)?["status"], self.logs()),
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
        let phase = self.pod_ended(name)?;
        let log = self.kubectl(&["logs", name])?;
        ensure!(phase == "Succeeded", "pod {name} failed: {log}");
        Ok(log)
    }

    /// Waits until a pod has ended, whichever way, and returns its phase: from then on all of its containers have logs.
    pub fn pod_ended(&self, name: &str) -> Result<String> {
        let ended = watch::until(&self.cluster.kubectl, &self.name, "pods", |pod| {
            let phase =
                pod["status"]["phase"].as_str().filter(|phase| matches!(*phase, "Succeeded" | "Failed"));
            phase.filter(|_| pod["metadata"]["name"] == name).map(ToOwned::to_owned)
        })?;
        match ended {
            Some(phase) => Ok(phase),
            None => bail!("pod {name} did not end: {}", self.kubectl(&["describe", "pod", name])?),
        }
    }

    /// Asks again and again until something is so that no watch of builds tells.
    pub fn eventually(&self, what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while !so()? {
            ensure!(
                start.elapsed() < PATIENCE,
                "{what}: not so after {} s\n{}",
                PATIENCE.as_secs(),
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(())
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
