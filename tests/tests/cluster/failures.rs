use anyhow::Result;
use slipway_tests::cluster::{Cluster, Gate, Namespace};

#[test]
fn a_failing_instruction_is_shown_with_line_exit_code_and_output() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build(
        "broken",
        "
dockerfile:
  inline: |
    FROM busybox AS compile
    RUN echo fine
    RUN echo some output; echo the reason >&2; exit 7
    FROM scratch
    COPY --from=compile /etc/passwd /
images: [{name: REPO/broken}]
",
    )?;
    let status = ns.failed("broken")?;
    let failure = &status["failure"];
    assert_eq!(
        (failure["stage"].as_str(), failure["line"].as_i64(), failure["exitCode"].as_i64()),
        (Some("compile"), Some(3), Some(7)),
        "{failure:#}"
    );
    assert!(failure["tail"].as_str().unwrap().contains("the reason"), "{failure:#}");
    let stalled = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Stalled").unwrap();
    assert_eq!(stalled["status"], "True");
    assert!(cluster.crane(&["digest", &ns.image("broken")]).is_err(), "nothing may be pushed");
    // The pod with the log stays, and its log is for people.
    let logs = ns.kubectl(&["logs", failure["pod"].as_str().unwrap()])?;
    assert!(logs.contains("some output") && logs.contains("the reason"), "{logs}");
    Ok(())
}

#[test]
fn a_wrong_dockerfile_says_where() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build("wrong", "{dockerfile: {inline: \"FROM busybox\\nRUM echo\\n\"}}")?;
    let status = ns.failed("wrong")?;
    let message = status["failure"]["message"].as_str().unwrap();
    assert!(message.contains("RUN") && message.contains('2'), "{message}");
    assert_eq!(status["attempt"], 1);
    Ok(())
}

#[test]
fn time_runs_out() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build("slow", "{timeout: 8s, dockerfile: {inline: \"FROM busybox\\nRUN sleep 300\\n\"}}")?;
    let status = ns.failed("slow")?;
    assert_eq!(status["failure"]["reason"], "Timeout");
    Ok(())
}

#[test]
fn too_little_memory_is_named() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build(
        "greedy",
        "
dockerfile:
  inline: |
    FROM busybox AS greedy
    RUN dd if=/dev/zero of=/dev/null bs=300M count=1
stages: [{name: greedy, resources: {limits: {memory: 100Mi}}}]
",
    )?;
    let status = ns.failed("greedy")?;
    let failure = status["failure"].to_string().to_lowercase();
    assert!(failure.contains("memory"), "{:#}", status["failure"]);
    Ok(())
}

/// A stage whose second step waits.
fn two_steps(name: &str, gate: &Gate) -> String {
    format!(
        "
dockerfile:
  inline: |
    FROM busybox AS work
    RUN date +%s%N > /stamp
    RUN {}; cp /stamp /second
images: [{{name: REPO/{name}}}]
",
        gate.wait()
    )
}

/// Waits until a pod was told to run the second step: the first one is in the store by then.
fn at_the_second_step(ns: &Namespace, pod: &str) -> Result<()> {
    ns.eventually("the second step", || {
        Ok(ns.kubectl(&["logs", pod]).is_ok_and(|log| log.contains("work 2/2")))
    })
}

#[test]
fn an_image_that_is_not_there_is_told_at_once() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let missing = ns.image("nothing:here");
    ns.build("absent", &format!("{{dockerfile: {{inline: \"FROM {missing}\\nRUN true\\n\"}}}}"))?;
    let status = ns.failed("absent")?;
    assert_eq!(status["failure"]["reason"], "ImageNotFound", "{status:#}");
    assert!(status["failure"]["message"].as_str().unwrap().contains("nothing:here"), "{status:#}");
    assert_eq!(status["attempt"], 1, "no other try mends it");
    Ok(())
}

#[test]
fn a_deleted_stage_pod_is_made_again_and_the_build_succeeds() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let gate = Gate::closed(&cluster, "bumpy")?;
    ns.build("bumpy", &two_steps("bumpy", &gate))?;
    at_the_second_step(&ns, "bumpy-1-work")?;
    ns.kubectl(&["delete", "pod", "bumpy-1-work", "--grace-period=0", "--force"])?;
    gate.open()?;
    let status = ns.succeeded("bumpy")?;
    assert_eq!(status["attempt"], 1, "only the stage pod is made again: {status:#}");
    assert_eq!(cluster.file(&ns.image("bumpy"), "stamp")?, cluster.file(&ns.image("bumpy"), "second")?);
    Ok(())
}

#[test]
fn a_deleted_build_pod_is_another_try_that_takes_what_was_finished() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let gate = Gate::closed(&cluster, "torn")?;
    ns.build("torn", &two_steps("torn", &gate))?;
    at_the_second_step(&ns, "torn-1-work")?;
    ns.kubectl(&["delete", "pod", "torn-1-build", "--grace-period=0", "--force"])?;
    ns.until("torn", "another try", |b| b["status"]["attempt"] == 2)?;
    // A stage pod of the first one that saw the gate open before it is gone would finish the second step.
    ns.eventually("the end of the first try's pods", || {
        let first = ns.kubectl(&["get", "pods", "--selector=slipway.dev/attempt=1", "--output=name"])?;
        Ok(first.trim().is_empty())
    })?;
    gate.open()?;
    let status = ns.succeeded("torn")?;
    assert_eq!((&status["run"], &status["attempt"]), (&1.into(), &2.into()));
    assert_eq!(status["stages"][0]["cached"], 1, "the first step is not run again: {:#}", status["stages"]);
    Ok(())
}

#[test]
fn a_full_claim_is_told_and_does_not_stay_full() -> Result<()> {
    let cluster = Cluster::here()?;
    if cluster.kubectl(&["get", "storageclass", "slipway-bounded", "--ignore-not-found"])?.is_empty() {
        println!("this cluster has no class with volumes of an exact size: not tried");
        return Ok(());
    }
    let ns = cluster.namespace("baseline")?;
    ns.apply("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: small}, spec: {storageClassName: slipway-bounded, accessModes: [ReadWriteOnce], resources: {requests: {storage: 48Mi}}}}")?;
    let spec = |dockerfile: &str| {
        format!(
            "{{cache: {{claim: small}}, retries: 0, dockerfile: {{inline: \"{dockerfile}\"}}, images: [{{name: REPO/full}}]}}"
        )
    };
    for (name, dockerfile) in [
        ("command", "FROM busybox\\nRUN dd if=/dev/zero of=/big bs=1M count=100\\n"),
        ("base", "FROM debian:bookworm-slim\\nRUN true\\n"),
    ] {
        ns.build(name, &spec(dockerfile))?;
        let failure = ns.failed(name)?["failure"].take();
        assert!(failure.to_string().contains("o space left on device"), "{name}: {failure:#}");
    }
    ns.build("fits", &spec("FROM busybox\\nRUN echo small > /file\\n"))?;
    ns.succeeded("fits")?;
    Ok(())
}
