//! The main job, shown: a cluster, the chart, an ImageBuild, its status, and the image running as a pod.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{
    bases,
    cluster::Access,
    host::{command::wait_until, folders},
    install,
};

const NAMESPACE: &str = "slipway-demo";
const EXAMPLE: &str = "examples/hello/imagebuild.yaml";

/// Shows the main job on a cluster.
pub(crate) fn run(access: &Access) -> Result<()> {
    say("base images: debian and busybox, made of Debian packages");
    bases::ensure(access, &["debian", "busybox"])?;
    say("installing the chart, with operator and executor images that slipway builds now");
    install::install(access)?;
    if access.kubectl(["get", "namespace", NAMESPACE]).is_err() {
        access.create_baseline_namespace(NAMESPACE)?;
    }
    say(&format!("kubectl apply --namespace {NAMESPACE} --filename {EXAMPLE}"));
    let file = folders::checkout().join(EXAMPLE);
    let before = run_number(access);
    print!("{}", in_namespace(access, &["apply", "--filename", &file.to_string_lossy()])?);
    if before.is_some() {
        // The same example was built here before: ask for it once more.
        let token = format!("slipway.dev/rebuild={}", std::process::id());
        in_namespace(access, &["annotate", "--overwrite", "imagebuild", "hello", &token])?;
    }
    let status = follow(access, before)?;
    print!("\n{}", in_namespace(access, &["get", "imagebuild", "hello"])?);
    show(&status);
    let image = status["images"][0]["reference"].as_str().context("the build made no image")?;
    say(&format!("running {image} as a pod"));
    run_image(access, image)?;
    say(
        "done; the cluster stays up: `cargo xtask cluster env` says how to reach it, `cargo xtask cluster down` stops it",
    );
    Ok(())
}

fn say(text: &str) {
    println!("\n== {text}");
}

fn in_namespace(access: &Access, words: &[&str]) -> Result<String> {
    access.kubectl([words, &["--namespace", NAMESPACE]].concat())
}

fn build(access: &Access) -> Result<Value> {
    Ok(serde_json::from_str(&in_namespace(access, &["get", "imagebuild", "hello", "--output=json"])?)?)
}

fn run_number(access: &Access) -> Option<i64> {
    build(access).ok()?["status"]["run"].as_i64()
}

/// Prints each change of the build until it has ended, and returns its status.
fn follow(access: &Access, before: Option<i64>) -> Result<Value> {
    let mut shown = String::new();
    let mut last = Value::Null;
    wait_until("the build's end", Duration::from_mins(5), || {
        last = build(access)?["status"].take();
        let stages: Vec<String> = last["stages"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|s| format!("{} {}", text(&s["name"]), text(&s["state"]).to_lowercase()))
            .collect();
        let line = format!("   {:<10} {}", text(&last["phase"]), stages.join(", "));
        if line != shown {
            println!("{line}");
            shown = line;
        }
        Ok(last["run"].as_i64() > before && !last["finishedAt"].is_null())
    })?;
    if last["phase"] != "Succeeded" {
        bail!("the build failed: {}", text(&last["failure"]["message"]));
    }
    Ok(last)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn show(status: &Value) {
    println!(
        "\n   {:<8} {:<10} {:<18} {:>8} {:>7} {:>8}",
        "STAGE", "STATE", "POD", "SECONDS", "CACHED", "SIZE"
    );
    for stage in status["stages"].as_array().into_iter().flatten() {
        let seconds = stage["seconds"].as_f64().map_or(String::new(), |s| format!("{s:.1}"));
        let cached = format!("{}/{}", stage["cached"], stage["steps"]);
        let pod = stage["pod"].as_str().unwrap_or("(none needed)");
        println!(
            "   {:<8} {:<10} {pod:<18} {seconds:>8} {cached:>7} {:>8}",
            text(&stage["name"]),
            text(&stage["state"]),
            text(&stage["size"])
        );
    }
    let (image, timing) = (&status["images"][0], &status["timing"]);
    println!(
        "   image {} in {} layers",
        text(&image["size"]),
        image["layers"].as_array().map_or(0, Vec::len)
    );
    let seconds = |key: &str| timing[key].as_f64().unwrap_or_default();
    println!(
        "   timing: plan {:.2} s, build {:.2} s, push {:.2} s, total {:.2} s",
        seconds("plan"),
        seconds("build"),
        seconds("push"),
        seconds("total")
    );
    // Nothing was isolated where everything was cached.
    if let (Some(way), Some(reason)) =
        (status["isolation"]["way"].as_str(), status["isolation"]["reason"].as_str())
    {
        println!("   isolation: {way} ({reason})");
    }
}

fn run_image(access: &Access, image: &str) -> Result<()> {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "hello-", "namespace": NAMESPACE},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "hello", "image": image}]},
    });
    let name = access.create(&object, &["--output=jsonpath={.metadata.name}"])?;
    wait_until("the image's pod", Duration::from_mins(1), || {
        Ok(in_namespace(access, &["get", "pod", &name, "--output=jsonpath={.status.phase}"])? == "Succeeded")
    })?;
    print!("{}", in_namespace(access, &["logs", &name])?);
    in_namespace(access, &["delete", "pod", &name, "--wait=false"]).map(drop)
}
