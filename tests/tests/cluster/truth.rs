//! What the status, the events and the metrics say.

use anyhow::{Context, Result};
use slipway_tests::cluster::{Cluster, Gate};

const HELLO: &str = "
dockerfile:
  inline: |
    FROM busybox AS work
    RUN dd if=/dev/zero of=/big bs=1M count=3 2>/dev/null
    FROM scratch
    COPY --from=work /big /
images: [{name: REPO/hello, tags: [\"{{unixTime}}\", latest]}]
";

#[test]
fn sizes_history_and_requests_of_other_tools() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    // Counters and events are those of one leader.
    let leader = cluster.leader()?;
    let gate = Gate::closed(&cluster, "truth")?;
    let spec = HELLO.replace("RUN dd", &format!("RUN {}; dd", gate.wait()));
    ns.build("hello", &format!("{spec}history: {{limit: 2, ttl: 5s}}\n"))?;
    ns.until("hello", "a running stage", |b| b["status"]["stages"][0]["state"] == "Running")?;
    gate.open()?;
    let status = ns.succeeded("hello")?;
    let number =
        |pointer: &str| status.pointer(pointer).and_then(serde_json::Value::as_i64).unwrap_or_default();
    assert!(number("/cache/storeUsed") > 3 << 20, "{:#}", status["cache"]);
    assert!(number("/cache/storeFree") > 0);
    assert!(number("/images/0/unpackedBytes") >= 3 << 20);
    assert!(number("/images/0/layers/0") > 0 && number("/images/0/sizeBytes") > number("/images/0/layers/0"));
    // The pods go after their time, and the request with them.
    ns.eventually("the end of all that a finished build needed", || {
        Ok(!ns.kubectl(&["get", "pods,configmaps", "--output=name"])?.contains("hello-1"))
    })?;
    // Flux asks by its own annotation, and reads when it was heard.
    ns.kubectl(&["annotate", "imagebuild", "hello", "reconcile.fluxcd.io/requestedAt=now"])?;
    let status = ns
        .until("hello", "a second run", |b| b["status"]["run"] == 2 && b["status"]["phase"] == "Succeeded")?;
    assert_eq!(status["lastHandledReconcileAt"], "now");
    ns.rebuild("hello", "a")?;
    let status = ns.succeeded("hello")?;
    let runs: Vec<i64> = status["history"]
        .as_array()
        .context("no history")?
        .iter()
        .filter_map(|h| h["run"].as_i64())
        .collect();
    assert_eq!(runs, [3, 2], "two are kept");
    let events = ns.kubectl(&["get", "events", "--output=jsonpath={.items[*].reason}"])?;
    for reason in
        ["BuildQueued", "BuildStarted", "BuildPlanned", "StageStarted", "StageSucceeded", "BuildSucceeded"]
    {
        assert!(events.contains(reason), "{reason} in {events}");
    }
    let path =
        format!("/api/v1/namespaces/{}/pods/{}:8080/proxy/metrics", Cluster::OPERATOR_NAMESPACE, leader.name);
    let of = format!("namespace=\"{}\"", ns.name());
    let built = format!("slipway_builds_total{{{of},result=\"Succeeded\",reason=\"\"}} 3\n");
    // They are counted when the status is written.
    let metrics = || cluster.kubectl(&["get", "--raw", &path]);
    ns.eventually("metrics of all three runs", || Ok(metrics()?.contains(&built)))?;
    let metrics = metrics()?;
    for line in [&format!("slipway_store_used_bytes{{{of}}}"), "slipway_build_duration_seconds_bucket{"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let explained = cluster.kubectl(&["explain", "imagebuild.spec.source.git.interval"])?;
    let words: Vec<&str> = explained.split_whitespace().collect();
    assert!(words.join(" ").contains("A new revision is a new build"), "{explained}");
    Ok(())
}

#[test]
fn budgets_fail_a_build_before_it_is_pushed() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build(
        "large",
        &format!("{}budgets: {{imageSize: 1Ki}}\n", HELLO.replace("REPO/hello", "REPO/large")),
    )?;
    ns.build(
        "slow",
        "{dockerfile: {inline: \"FROM busybox\\nRUN sleep 3\\n\"}, budgets: {duration: 1s}, images: [{name: REPO/slow}]}",
    )?;
    for (name, field) in [("large", "imageSize"), ("slow", "duration")] {
        let failure = ns.failed(name)?["failure"].take();
        assert_eq!(failure["reason"], "BudgetExceeded", "{failure:#}");
        assert!(failure["message"].as_str().unwrap_or_default().contains(field), "{failure:#}");
        assert!(cluster.crane(&["digest", &ns.image(name)]).is_err(), "nothing may be pushed");
    }
    Ok(())
}

#[test]
fn when_the_leader_dies_another_goes_on() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let doomed = cluster.doomed_leader();
    let gate = Gate::closed(&cluster, "handed-over")?;
    let wait = gate.wait();
    ns.build(
        "handed-over",
        &format!("{{dockerfile: {{inline: \"FROM busybox AS work\\nRUN {wait}; echo done > /done\\n\"}}, images: [{{name: REPO/handed-over}}]}}"),
    )?;
    ns.until("handed-over", "a running stage", |b| b["status"]["stages"][0]["state"] == "Running")?;
    let leader = doomed.end()?;
    gate.open()?;
    let status = ns.succeeded("handed-over")?;
    assert_eq!((&status["run"], &status["attempt"]), (&1.into(), &1.into()), "nothing was begun anew");
    assert_ne!(cluster.leader()?.name, leader);
    Ok(())
}
