//! The life of the chart on a cluster: install, test, upgrade, roll back, uninstall and install again, each with a build
//! running that must not notice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    bases,
    cluster::Access,
    host::command::wait_until,
    images,
    install::{Helm, NAMESPACE, RELEASE},
};

const BUILDS: &str = "slipway-cycle";
const DEFINITION: &str = "customresourcedefinition/imagebuilds.slipway.dev";

/// Shows the whole life.
pub(crate) fn run(access: &Access) -> Result<()> {
    bases::ensure(access, &["busybox", "debian"])?;
    let images = images::push(access)?;
    let helm = Helm::new(access)?;
    access.kubectl(["delete", "namespace", BUILDS, "--ignore-not-found", "--wait=true"])?;
    access.create_baseline_namespace(BUILDS)?;
    let test = format!("test.namespace={BUILDS}");

    say("install");
    helm.upgrade(&images, &[&test])?;
    replicas(access, 2)?;
    say("helm test");
    passes(&helm)?;

    say("upgrade while a build runs");
    let before = started(access, "upgraded")?;
    helm.upgrade(&images, &[&test, "builds.max=9", "operator.log=debug", "operator.replicas=3"])?;
    replicas(access, 3)?;
    finished(access, "upgraded", &before)?;

    say("roll back while a build runs");
    let before = started(access, "rolled-back")?;
    helm.run(&["rollback", RELEASE], &["--wait", "--timeout", "5m"])?;
    replicas(access, 2)?;
    finished(access, "rolled-back", &before)?;

    say("lose the leader while a build runs");
    let before = started(access, "led-anew")?;
    let lease = ["get", "lease", "slipway-operator", "--namespace", NAMESPACE];
    let holder = [&lease[..], &["--output=jsonpath={.spec.holderIdentity}"]].concat();
    let leader = access.kubectl(&holder)?;
    access.kubectl(["delete", "pod", &leader, "--namespace", NAMESPACE, "--grace-period=0", "--force"])?;
    finished(access, "led-anew", &before)?;
    let next = access.kubectl(&holder)?;
    ensure!(next != leader && !next.is_empty(), "the lease is still held by {leader}");

    say("uninstall while a build runs: the definition and the builds stay");
    let before = started(access, "orphaned")?;
    helm.run(&["uninstall", RELEASE], &["--wait", "--timeout", "5m"])?;
    access.kubectl(["get", DEFINITION])?;
    wait_until("nothing is left of the release", Duration::from_mins(1), || {
        let left = access.kubectl([
            "get",
            "deployments,services,configmaps,serviceaccounts,roles,rolebindings,pods,poddisruptionbudgets",
            "--namespace",
            NAMESPACE,
            "--selector=app.kubernetes.io/instance=slipway",
            "--output=name",
        ])?;
        ensure!(left.trim().is_empty(), "uninstalling left {left}");
        Ok(true)
    })?;
    ensure!(build(access, "upgraded")?["status"]["phase"] == "Succeeded", "a finished build is gone");

    say("install again: it takes over the definition, and the build that ran meanwhile");
    helm.upgrade(&images, &[&test])?;
    finished(access, "orphaned", &before)?;
    passes(&helm)?;

    helm.run(&["uninstall", RELEASE], &["--wait", "--timeout", "5m"])?;
    access.kubectl(["delete", "namespace", BUILDS, "--wait=false"])?;
    println!("the chart went through its life, and no build noticed");
    Ok(())
}

fn say(text: &str) {
    println!("== {text}");
}

/// Runs `helm test`, which must build an image and say so.
fn passes(helm: &Helm<'_>) -> Result<()> {
    let said = helm.test()?;
    println!("{}", said.lines().filter(|line| line.contains("made sha256:")).collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn replicas(access: &Access, wanted: u64) -> Result<()> {
    let query = "--output=jsonpath={.status.readyReplicas}";
    wait_until(&format!("{wanted} ready replicas"), Duration::from_mins(2), || {
        let ready = access.kubectl(["get", "deployment", RELEASE, "--namespace", NAMESPACE, query])?;
        Ok(ready.trim().parse() == Ok(wanted))
    })
    .map(drop)
}

fn build(access: &Access, name: &str) -> Result<Value> {
    let text = access.kubectl(["get", "imagebuild", name, "--namespace", BUILDS, "--output=json"])?;
    Ok(serde_json::from_str(&text)?)
}

/// Starts a build and returns the uids of its pods once its stage runs.
fn started(access: &Access, name: &str) -> Result<Vec<String>> {
    let inline = format!(
        "FROM busybox AS slow\nRUN echo {name}; sleep 25; echo {name} > /made\nFROM scratch\nCOPY --from=slow /made /made\n"
    );
    let object = json!({
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ImageBuild",
        "metadata": {"name": name, "namespace": BUILDS},
        "spec": {"dockerfile": {"inline": inline}, "images": [{"name": format!("cycle/{name}")}]},
    });
    access.create(&object, &[])?;
    wait_until(&format!("a running stage of {name}"), Duration::from_mins(3), || {
        Ok(build(access, name)?["status"]["stages"][0]["state"] == "Running")
    })?;
    pods(access, name)
}

/// Waits for the end of a build, which must have been made by the pods that it began with.
fn finished(access: &Access, name: &str, before: &[String]) -> Result<()> {
    wait_until(&format!("the end of {name}"), Duration::from_mins(5), || {
        Ok(!build(access, name)?["status"]["finishedAt"].is_null())
    })?;
    let status = build(access, name)?["status"].take();
    ensure!(status["phase"] == "Succeeded", "{name} did not succeed: {status:#}");
    ensure!(status["run"] == 1 && status["attempt"] == 1, "{name} was begun again: {status:#}");
    ensure!(pods(access, name)? == before, "{name} ended with other pods than it began with");
    let reference = status["images"][0]["reference"].as_str().context("there is no image")?;
    println!("   ok      {name}: {reference} in {}", status["duration"].as_str().unwrap_or_default());
    Ok(())
}

fn pods(access: &Access, name: &str) -> Result<Vec<String>> {
    let selector = format!("--selector=slipway.dev/build={name}");
    let query = "--output=jsonpath={range .items[*]}{.metadata.uid}{\"\\n\"}{end}";
    let text = access.kubectl(["get", "pods", "--namespace", BUILDS, &selector, query])?;
    let mut uids: Vec<String> = text.lines().map(str::to_owned).collect();
    uids.sort();
    Ok(uids)
}
