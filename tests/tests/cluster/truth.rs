//! What the status, the events and the metrics say.

use anyhow::{Context, Result};
use slipway_tests::cluster::Cluster;

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
    ns.build("hello", &format!("{HELLO}history: {{limit: 2, ttl: 5s}}\n"))?;
    let status = ns.succeeded("hello")?;
    let number =
        |pointer: &str| status.pointer(pointer).and_then(serde_json::Value::as_i64).unwrap_or_default();
    assert!(number("/cache/storeUsed") > 3 << 20, "{:#}", status["cache"]);
    assert!(number("/cache/storeFree") > 0);
    assert!(number("/images/0/unpackedBytes") >= 3 << 20);
    assert!(number("/images/0/layers/0") > 0 && number("/images/0/sizeBytes") > number("/images/0/layers/0"));
    // The pods go after their time.
    let start = std::time::Instant::now();
    while !ns.pods("hello", 1)?.is_empty() {
        assert!(
            start.elapsed().as_secs() < 90,
            "the pods of a finished build are kept: {:#?}",
            ns.pods("hello", 1)?
        );
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    assert!(!ns.kubectl(&["get", "configmaps", "--output=name"])?.contains("hello-1-request"));
    // Flux asks by its own annotation, and reads when it was heard.
    ns.kubectl(&["annotate", "imagebuild", "hello", "reconcile.fluxcd.io/requestedAt=now"])?;
    let status = ns
        .until("hello", "a second run", |b| b["status"]["run"] == 2 && b["status"]["phase"] == "Succeeded")?;
    assert_eq!(status["lastHandledReconcileAt"], "now");
    // Counters are those of one leader, from its start on.
    let leader = cluster.leader()?;
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
    let metrics = cluster.kubectl(&[
        "get",
        "--raw",
        &format!(
            "/api/v1/namespaces/{}/pods/{}:8080/proxy/metrics",
            Cluster::OPERATOR_NAMESPACE,
            leader.name
        ),
    ])?;
    for line in [
        "slipway_builds_total{namespace=\"",
        "slipway_store_used_bytes{",
        "slipway_build_duration_seconds_bucket{",
    ] {
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
    ns.build(
        "handed-over",
        "{dockerfile: {inline: \"FROM busybox AS work\\nRUN sleep 5; echo done > /done\\n\"}, images: [{name: REPO/handed-over}]}",
    )?;
    ns.until("handed-over", "a running stage", |b| b["status"]["stages"][0]["state"] == "Running")?;
    let leader = doomed.end()?;
    let status = ns.succeeded("handed-over")?;
    assert_eq!((&status["run"], &status["attempt"]), (&1.into(), &1.into()), "nothing was begun anew");
    assert_ne!(cluster.leader()?.name, leader);
    Ok(())
}
