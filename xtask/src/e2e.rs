//! Tests on a real cluster: the cluster itself first, then Slipway on it.
//!
//! Each case gets a namespace of its own, prints a line with its time, and is counted; one that fails does not stop
//! the others.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    bases,
    cluster::Access,
    conformance,
    host::{
        command::{Run, cargo, wait_until},
        folders, parts,
    },
    install, readers, seeds,
};

/// A case: what it shows, and how.
struct Case {
    name: &'static str,
    run: fn(&Access, &Namespace) -> Result<()>,
}

const CASES: &[Case] = &[
    Case { name: "registry answers", run: registry_answers },
    Case { name: "pod of a base image runs and prints", run: pod_prints },
    Case { name: "pod reaches services by name, and the registry", run: pod_reaches_services },
    Case { name: "claim binds, keeps what pods write, and goes away", run: claim_binds },
    Case { name: "volume of the bounded class is full when it is full", run: bounded_volume_fills },
];

/// The bases that the cases use.
const BASES: &[&str] = &["busybox", "debian"];

/// Runs all cases.
pub(crate) fn run(access: &Access) -> Result<()> {
    bases::ensure(access, BASES)?;
    let mut failed = Vec::new();
    for case in CASES {
        let start = Instant::now();
        let outcome = with_namespace(access, |namespace| (case.run)(access, namespace));
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("   ok      {} ({seconds:.1} s)", case.name),
            Err(error) => {
                println!("   FAILED  {} ({seconds:.1} s)\n{error:#}", case.name);
                failed.push(case.name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} cases failed: {}", failed.len(), CASES.len(), failed.join(", "));
    }
    install::install(access)?;
    suites(access)
}

/// Runs the suites on an installed Slipway. One that fails does not stop the others: one run shows all that is wrong.
fn suites(access: &Access) -> Result<()> {
    let crane = parts::CRANE.ensure()?.join("crane");
    let tests = |name: &str| {
        let mut cargo = cargo();
        cargo
            .current_dir(folders::checkout())
            // With the workspace's features, so that dependencies are not compiled once more.
            .args(["test", "--quiet", "--locked", "--workspace", "--features", "slipway-tests/cluster"])
            .args(["--test", name, "--", "--test-threads=4"])
            .env("SLIPWAY_CRANE", &crane);
        cargo
    };
    let mut failed = Vec::new();
    let mut suite = |name: &str, run: &dyn Fn() -> Result<()>| {
        let start = Instant::now();
        let outcome = run();
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("   ok      {name} ({seconds:.1} s)"),
            Err(error) => {
                println!("   FAILED  {name} ({seconds:.1} s)\n{error:#}");
                failed.push(name.to_owned());
            }
        }
    };
    suite("helm test builds an image", &|| install::Helm::new(access)?.test().map(drop));
    // Cases that need a base image were left out of the unit tests.
    suite("conformance", &|| conformance::short(access));
    suite("readers", &|| readers::short(access));
    suite("caches", &|| tests("caches").env("SLIPWAY_TEST_REGISTRY", access.registry()).run());
    suite("seeds", &|| seeds::short(access));
    suite("builds in pods", &|| {
        tests("cluster")
            .env("KUBECONFIG", access.kubeconfig())
            .env("SLIPWAY_E2E_REGISTRY", access.registry())
            .env("SLIPWAY_E2E_PRIVATE_REGISTRY", access.private_registry().unwrap_or_default())
            .env("SLIPWAY_KUBECTL", access.kubectl_program())
            .run()
    });
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Lends a namespace of its own to `work`.
pub(crate) fn with_namespace(access: &Access, work: impl FnOnce(&Namespace) -> Result<()>) -> Result<()> {
    let namespace = Namespace::create(access)?;
    let outcome = work(&namespace);
    outcome.and(namespace.delete(access))
}

/// A namespace that goes away with the case.
pub(crate) struct Namespace(String);

impl Namespace {
    pub(crate) fn create(access: &Access) -> Result<Self> {
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "slipway-test-"}});
        let name = access.create(&object, &["--output=jsonpath={.metadata.name}"])?;
        // Pods are refused until their account is there.
        wait_until("the namespace's account", Duration::from_secs(30), || {
            access.kubectl(["get", "serviceaccount", "default", "--namespace", &name]).map(|_| true)
        })?;
        Ok(Self(name))
    }

    pub(crate) fn delete(&self, access: &Access) -> Result<()> {
        access.kubectl(["delete", "namespace", &self.0, "--wait=false"]).map(drop)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// The namespace as a kubectl option.
    pub(crate) fn option(&self) -> String {
        format!("--namespace={}", self.0)
    }
}

fn registry_answers(access: &Access, _: &Namespace) -> Result<()> {
    ensure!(access.registry_answers(), "{} does not speak the registry protocol", access.registry());
    Ok(())
}

fn pod_prints(access: &Access, namespace: &Namespace) -> Result<()> {
    let pod = pod("prints", "debian:bookworm", "grep ^ID= /etc/os-release", &json!([]));
    let said = run_to_end(access, namespace, &pod, &[])?;
    ensure!(said.trim() == "ID=debian", "the pod printed {said:?}");
    Ok(())
}

fn pod_reaches_services(access: &Access, namespace: &Namespace) -> Result<()> {
    let line = format!(
        "nslookup -type=a kubernetes.default.svc.cluster.local | grep -A1 ^Name: && wget -q -O- http://{}/v2/ && \
         cat /var/run/secrets/kubernetes.io/serviceaccount/ca.crt | head -n 1 && \
         nc -w 3 kubernetes.default 443 </dev/null && echo reached",
        access.registry()
    );
    let said = run_to_end(access, namespace, &pod("reaches", "busybox", &line, &json!([])), &[])?;
    ensure!(
        said.contains("BEGIN CERTIFICATE") && said.trim_end().ends_with("reached"),
        "the pod printed {said:?}"
    );
    Ok(())
}

fn claim_binds(access: &Access, namespace: &Namespace) -> Result<()> {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "store"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    access.create(&claim, &[&namespace.option()])?;
    let volumes = json!([{"name": "store", "persistentVolumeClaim": {"claimName": "store"}}]);
    run_to_end(access, namespace, &pod("writes", "busybox", "echo kept > /store/file", &volumes), &[])?;
    let said = run_to_end(access, namespace, &pod("reads", "busybox", "cat /store/file", &volumes), &[])?;
    ensure!(said.trim() == "kept", "the second pod read {said:?}");

    let query = "--output=jsonpath={.spec.volumeName}";
    let volume = access.kubectl(["get", "persistentvolumeclaim", "store", query, &namespace.option()])?;
    access.kubectl(["delete", "pods", "--all", &namespace.option()])?;
    access.kubectl(["delete", "persistentvolumeclaim", "store", &namespace.option()])?;
    wait_until("the released volume is deleted", Duration::from_secs(30), || {
        Ok(access.kubectl(["get", "persistentvolume", &volume, "--ignore-not-found"])?.is_empty())
    })?;
    Ok(())
}

fn bounded_volume_fills(access: &Access, namespace: &Namespace) -> Result<()> {
    if access.kubectl(["get", "storageclass", "slipway-bounded", "--ignore-not-found"])?.is_empty() {
        // Only the cluster that these commands boot has the class.
        return Ok(());
    }
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "small"},
        "spec": {
            "storageClassName": "slipway-bounded",
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "4Mi"}},
        },
    });
    access.create(&claim, &[&namespace.option()])?;
    let volumes = json!([{"name": "small", "persistentVolumeClaim": {"claimName": "small"}}]);
    let line = "dd if=/dev/zero of=/small/a bs=1M count=3 2>/dev/null && ! dd if=/dev/zero of=/small/b bs=1M count=3";
    let said = run_to_end(access, namespace, &pod("fills", "busybox", line, &volumes), &[])?;
    ensure!(said.contains("No space left on device"), "the pod printed {said:?}");
    Ok(())
}

/// A pod of one container that runs a shell line once, with its own user namespace.
fn pod(name: &str, image: &str, line: &str, volumes: &Value) -> Value {
    let mounts: Vec<Value> = volumes
        .as_array()
        .into_iter()
        .flatten()
        .map(|volume| json!({"name": volume["name"], "mountPath": format!("/{}", volume["name"].as_str().unwrap_or("v"))}))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "hostUsers": false,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": image, "command": ["sh", "-euc", line], "volumeMounts": mounts}],
            "volumes": volumes,
        },
    })
}

/// Creates a pod, waits for its end and returns what it printed; a pod that does not succeed is an error with its story.
pub(crate) fn run_to_end(
    access: &Access,
    namespace: &Namespace,
    pod: &Value,
    logs: &[&str],
) -> Result<String> {
    let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
    let option = namespace.option();
    access.create(pod, &[&option])?;
    let phase = || access.kubectl(["get", "pod", name, "--output=jsonpath={.status.phase}", &option]);
    let ended = wait_until(&format!("end of pod {name}"), Duration::from_mins(2), || {
        Ok(matches!(phase()?.as_str(), "Succeeded" | "Failed"))
    });
    let said = access.kubectl([&["logs", name, &option], logs].concat()).unwrap_or_default();
    if ended.is_err() || phase()? != "Succeeded" {
        bail!(
            "pod {name} did not succeed; it printed {said:?}\n{}",
            access.kubectl(["describe", "pod", name, &option])?
        );
    }
    Ok(said)
}
