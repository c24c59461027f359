use anyhow::Result;
use slipway_tests::cluster::Cluster;

/// Seconds since 1970 of a time as Kubernetes writes it.
fn seconds(time: &serde_json::Value) -> f64 {
    // Only the time of day matters for comparing two of the same minute or hour; tests do not run over midnight by luck
    // alone, so days are counted too.
    let text = time.as_str().unwrap();
    let number = |from: usize, to: usize| text[from..to].parse::<f64>().unwrap();
    let fraction = text[19..].trim_end_matches('Z');
    let fraction = if fraction.is_empty() { 0.0 } else { format!("0{fraction}").parse().unwrap() };
    number(8, 10) * 86_400.0 + number(11, 13) * 3600.0 + number(14, 16) * 60.0 + number(17, 19) + fraction
}

#[test]
fn an_inline_dockerfile_becomes_an_image_that_runs() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build(
        "hello",
        r#"
dockerfile:
  inline: |
    FROM debian:bookworm-slim AS build
    RUN echo "made in $(hostname) by $(id -u)" > /hello.txt && mkdir /made && ln -s ../hello.txt /made/link
    FROM busybox
    COPY --from=build /hello.txt /made /out/
    CMD ["cat", "/out/hello.txt"]
images: [{name: REPO/hello, tags: [latest, "v{{run}}"]}]
"#,
    )?;
    let status = ns.succeeded("hello")?;
    assert_eq!(status["progress"], "2/2");
    let digest = status["images"][0]["reference"].as_str().unwrap();
    assert!(digest.starts_with(&ns.image("hello@sha256:")), "{digest}");
    assert_eq!(
        status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap()["status"],
        "True"
    );
    for tag in ["latest", "v1"] {
        assert_eq!(
            cluster.crane(&["digest", &ns.image(&format!("hello:{tag}"))])?.trim(),
            status["digest"].as_str().unwrap()
        );
    }
    let printed = ns.run("run", digest, &["cat", "/out/hello.txt"])?;
    assert_eq!(printed, "made in slipway by 0\n");
    cluster.crane(&["validate", "--remote", &ns.image("hello")])?;
    // What `kubectl wait` and `kubectl get` show.
    ns.kubectl(&["wait", "imagebuild/hello", "--for=condition=Ready", "--timeout=5s"])?;
    let shown = ns.kubectl(&["get", "ib"])?;
    assert!(shown.contains("Succeeded") && shown.contains("2/2") && shown.contains("sha256:"), "{shown}");
    Ok(())
}

#[test]
fn a_diamond_takes_the_longest_path_and_its_pods_run_side_by_side() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build(
        "diamond",
        "
dockerfile:
  inline: |
    FROM busybox AS left
    RUN sleep 4; echo left > /left
    FROM busybox AS right
    RUN sleep 4; echo right > /right
    FROM busybox AS middle
    RUN sleep 4; echo middle > /middle
    FROM busybox
    COPY --from=left /left /
    COPY --from=right /right /
    COPY --from=middle /middle /
images: [{name: REPO/diamond}]
",
    )?;
    let status = ns.succeeded("diamond")?;
    let stages = status["stages"].as_array().unwrap();
    let of = |name: &str| stages.iter().find(|s| s["name"] == name).unwrap();
    let spans: Vec<(f64, f64)> = ["left", "right", "middle"]
        .iter()
        .map(|n| (seconds(&of(n)["started"]), seconds(&of(n)["finished"])))
        .collect();
    let latest_start = spans.iter().map(|s| s.0).fold(f64::MIN, f64::max);
    let first_end = spans.iter().map(|s| s.1).fold(f64::MAX, f64::min);
    assert!(latest_start < first_end, "the stages did not run side by side: {spans:?}");
    let pods: std::collections::BTreeSet<&str> = stages.iter().filter_map(|s| s["pod"].as_str()).collect();
    assert_eq!(pods.len(), 3, "{stages:#?}");
    Ok(())
}

#[test]
fn spec_changes_suspension_and_deletion() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let spec = |seconds: u32, suspend: bool| {
        format!("{{suspend: {suspend}, dockerfile: {{inline: \"FROM busybox\\nRUN sleep {seconds}\\n\"}}}}")
    };
    ns.build("life", &spec(600, true))?;
    ns.until("life", "suspension", |b| b["status"]["phase"] == "Suspended")?;
    ns.build("life", &spec(600, false))?;
    ns.until("life", "a running stage", |b| b["status"]["stages"][0]["state"] == "Running")?;
    // A new spec gives up the running build.
    ns.build("life", &spec(0, false))?;
    let status = ns.succeeded("life")?;
    assert_eq!(status["run"], 2);
    assert_eq!(status["trigger"], "spec changed");
    // Deleting a running build takes its pods with it.
    ns.build("life", &spec(601, false))?;
    ns.until("life", "a running stage", |b| {
        b["status"]["run"] == 3 && b["status"]["stages"][0]["state"] == "Running"
    })?;
    ns.kubectl(&["delete", "imagebuild", "life"])?;
    ns.eventually("the end of a deleted build's pods", || {
        Ok(!ns.kubectl(&["get", "pods", "--output=name"])?.contains("life-"))
    })
}
