//! How much the cluster adds: a small build from `apply` to `Ready`, beside the same build by `slipway build` in one pod.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    bases,
    cluster::Access,
    host::{command::wait_until, folders},
    images, install,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Runs of each kind; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Takes the operator that is installed already.
    #[arg(long)]
    installed: bool,
}

const DOCKERFILE: &str = "FROM debian:bookworm-slim AS build\nRUN echo hello > /hello.txt\nFROM scratch\nCOPY --from=build /hello.txt /\n";

/// Measures, and prints the medians in seconds.
pub(crate) fn run(access: &Access, options: &Options) -> Result<()> {
    bases::ensure(access, &["debian", "busybox"])?;
    if !options.installed {
        install::install(access)?;
    }
    let tool = images::push_tool(access)?;
    let namespace = format!("slipway-bench-{}", std::process::id());
    access.create_baseline_namespace(&namespace)?;
    let bed = Bed { access, namespace, tool };
    let outcome = bed.measure(options.runs);
    access.kubectl(["delete", "namespace", &bed.namespace, "--wait=false"])?;
    outcome
}

struct Bed<'a> {
    access: &'a Access,
    namespace: String,
    tool: String,
}

impl Bed<'_> {
    fn measure(&self, runs: usize) -> Result<()> {
        // The claim, the images on the node and the base in the store are there before anybody counts.
        self.build("warm", 0)?;
        self.one_pod("warm", 0)?;
        let (mut cold, mut cached, mut pod_cold, mut pod_cached) = (vec![], vec![], vec![], vec![]);
        for run in 1..=runs {
            let name = format!("run-{run}");
            cold.push(self.build(&name, run)?);
            cached.push(self.build(&name, run)?);
            pod_cold.push(self.one_pod(&format!("{name}-cold"), run)?);
            pod_cached.push(self.one_pod(&format!("{name}-cached"), run)?);
        }
        println!("   {:<34} {:>8} {:>8}", "median of seconds", "cold", "cached");
        let line = |what: &str, cold: &mut [f64], cached: &mut [f64]| {
            println!("   {what:<34} {:>8.2} {:>8.2}", median(cold), median(cached));
            (median(cold), median(cached))
        };
        let operator = line("ImageBuild, from apply to Ready", &mut cold, &mut cached);
        let pod = line("slipway build in one pod", &mut pod_cold, &mut pod_cached);
        println!("   {:<34} {:>8.2} {:>8.2}", "more", operator.0 - pod.0, operator.1 - pod.1);
        println!("   targets: 4 cold, 2 cached, at most 1.5 more");
        Ok(())
    }

    fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.access.kubectl([words, &["--namespace", &self.namespace]].concat())
    }

    /// Builds with a step that only this round has; the same round twice is cached.
    fn build(&self, name: &str, round: usize) -> Result<f64> {
        let dockerfile = DOCKERFILE.replace("hello >", &format!("hello {round} >"));
        let object = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild", "metadata": {"name": name},
            "spec": {"dockerfile": {"inline": dockerfile}, "images": [{"name": format!("{}/bench/{name}", self.access.registry())}]},
        });
        let file = folders::cache()?.join("bench.json");
        fs::write(&file, object.to_string()).context("failed to write a scratch file")?;
        let exists = self.kubectl(&["get", "imagebuild", name]).is_ok();
        let start = Instant::now();
        if exists {
            let token = format!("slipway.dev/rebuild={start:?}");
            self.kubectl(&["annotate", "--overwrite", "imagebuild", name, &token.replace(' ', "")])?;
            self.until_ready(name, 2)?;
        } else {
            self.kubectl(&["apply", "--filename", &file.to_string_lossy()])?;
            self.until_ready(name, 1)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let status: Value = serde_json::from_str(&self.kubectl(&[
            "get",
            "imagebuild",
            name,
            "--output=jsonpath={.status.timing}",
        ])?)?;
        println!("   {name}: {seconds:.2} s, of it {status}");
        Ok(seconds)
    }

    fn until_ready(&self, name: &str, run: i64) -> Result<()> {
        let condition = "--for=jsonpath={.status.run}=".to_owned() + &run.to_string();
        let object = format!("imagebuild/{name}");
        self.kubectl(&["wait", &object, &condition, "--timeout=2m"])?;
        self.kubectl(&["wait", &object, "--for=condition=Ready", "--timeout=2m"]).map(drop)
    }

    /// The same build by the command line, in a pod with the rights that stage pods have.
    fn one_pod(&self, name: &str, round: usize) -> Result<f64> {
        let dockerfile = DOCKERFILE.replace("hello >", &format!("hello {round} >"));
        let registry = self.access.registry();
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "tool"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}},
        });
        if self.kubectl(&["get", "persistentvolumeclaim", "tool"]).is_err() {
            self.access.create(&claim, &["--namespace", &self.namespace])?;
        }
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never", "hostUsers": false, "automountServiceAccountToken": false,
                "containers": [{
                    "name": "main", "image": self.tool,
                    "command": ["/bin/sh", "-ec", format!(
                        "mkdir -p /tmp/context && printf '%s' \"$TEXT\" > /tmp/context/Dockerfile && \
                         exec slipway build --root /store/store --progress plain --push --tag {registry}/bench/tool \
                         --insecure-registry {registry} --registry-mirror docker.io={registry} /tmp/context"
                    )],
                    "env": [{"name": "TEXT", "value": dockerfile}],
                    "volumeMounts": [{"name": "store", "mountPath": "/store"}, {"name": "tmp", "mountPath": "/tmp"}],
                    "securityContext": {
                        "procMount": "Unmasked",
                        "capabilities": {"drop": ["ALL"], "add": [
                            "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "SETFCAP", "SETGID", "SETPCAP",
                            "SETUID", "SYS_CHROOT",
                        ]},
                    },
                }],
                "volumes": [
                    {"name": "store", "persistentVolumeClaim": {"claimName": "tool"}},
                    {"name": "tmp", "emptyDir": {}},
                ],
            },
        });
        let start = Instant::now();
        self.access.create(&pod, &["--namespace", &self.namespace])?;
        let object = format!("pod/{name}");
        let ended = wait_until(&format!("end of {object}"), Duration::from_mins(2), || {
            Ok(matches!(
                self.kubectl(&["get", &object, "--output=jsonpath={.status.phase}"])?.as_str(),
                "Succeeded" | "Failed"
            ))
        });
        let seconds = start.elapsed().as_secs_f64();
        let phase = self.kubectl(&["get", &object, "--output=jsonpath={.status.phase}"])?;
        if ended.is_err() || phase != "Succeeded" {
            anyhow::bail!("{object} did not succeed: {}", self.kubectl(&["logs", name]).unwrap_or_default());
        }
        println!("   {object}: {seconds:.2} s");
        Ok(seconds)
    }
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}
