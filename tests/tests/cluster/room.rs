//! Little room and few rights: quotas, no claim, `restricted`.

use anyhow::{Context, Result};
use slipway_tests::cluster::{Cluster, Namespace};

/// Sets the namespace's quota, and waits until it holds: admission reads what a controller writes.
fn allow_pods(ns: &Namespace, count: u32) -> Result<()> {
    ns.apply(&format!(
        "{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: small}}, spec: {{hard: {{pods: '{count}'}}}}}}"
    ))?;
    let holds = format!("--for=jsonpath={{.status.hard.pods}}={count}");
    ns.kubectl(&["wait", "resourcequota/small", &holds, "--timeout=60s"]).map(drop)
}

#[test]
fn room_for_one_stage_pod_is_enough() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    // The build pod and one other.
    allow_pods(&ns, 2)?;
    ns.build(
        "narrow",
        "
dockerfile:
  inline: |
    FROM busybox AS first
    RUN echo first > /first
    FROM busybox AS second
    RUN sleep 1
    COPY --from=first /first /
    RUN cat /first > /second
    FROM busybox AS third
    COPY --from=second /second /
    RUN cat /second > /third
    FROM busybox AS beside
    RUN echo beside > /beside
    FROM scratch
    COPY --from=third /third /
    COPY --from=beside /beside /
images: [{name: REPO/narrow}]
",
    )?;
    let status = ns.succeeded("narrow")?;
    assert!(status["inOrder"].as_str().context("not in order")?.contains("exceeded quota"), "{status:#}");
    assert_eq!(status["attempt"], 1, "{status:#}");
    assert_eq!(cluster.file(&ns.image("narrow"), "third")?, "first\n");
    assert_eq!(cluster.file(&ns.image("narrow"), "beside")?, "beside\n");
    // No room even for the build pod: it waits, and says for what.
    allow_pods(&ns, 0)?;
    ns.build("waits", "{timeout: 2m, dockerfile: {inline: \"FROM scratch\\nLABEL a=b\\n\"}}")?;
    let status =
        ns.until("waits", "a condition", |b| b["status"]["conditions"].to_string().contains("NoRoom"))?;
    assert!(status["startedAt"].is_null(), "waiting is no building");
    ns.kubectl(&["delete", "resourcequota", "small"])?;
    ns.succeeded("waits")?;
    Ok(())
}

#[test]
fn without_a_claim_all_is_in_one_pod_and_no_command_sees_a_credential() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let canary = "canary-51c0de";
    ns.kubectl(&[
        "create",
        "secret",
        "docker-registry",
        "reg",
        "--docker-server=registry.example",
        "--docker-username=u",
        &format!("--docker-password={canary}"),
    ])?;
    ns.build(
        "alone",
        r"
cache: {type: None}
dockerfile:
  inline: |
    FROM busybox AS left
    RUN echo left > /left; ls -R /slipway /proc/[0-9]*/root/slipway > /seen 2>&1 || true
    FROM busybox AS right
    RUN for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do tr '\0' ' ' < $f; echo; done > /processes 2>/dev/null; ls /dev/shm >> /processes
    FROM scratch
    COPY --from=left /left /seen /
    COPY --from=right /processes /
images: [{name: REPO/alone, pushSecret: {name: reg}}]
",
    )?;
    let status = ns.succeeded("alone")?;
    assert_eq!(ns.pods("alone", 1)?.len(), 1);
    assert_eq!(status["stages"][0]["pod"], "alone-1-build");
    assert!(status["isolation"]["way"].as_str().unwrap_or_default().contains("Overlay"), "{status:#}");
    let image = ns.image("alone");
    assert_eq!(cluster.file(&image, "left")?, "left\n");
    let (seen, processes) = (cluster.file(&image, "seen")?, cluster.file(&image, "processes")?);
    assert!(!seen.contains("dockerconfigjson") && !seen.contains("credentials"), "{seen}");
    assert!(!processes.contains("request.json"), "{processes}");
    assert!(ns.kubectl(&["get", "persistentvolumeclaims", "--output=name"])?.trim().is_empty());
    // A failing command is told as ever, and the pod stays for its log.
    ns.build(
        "broken",
        "{cache: {type: None}, dockerfile: {inline: \"FROM busybox AS work\\nRUN echo why; exit 3\\n\"}}",
    )?;
    let status = ns.failed("broken")?;
    assert_eq!((&status["failure"]["exitCode"], &status["failure"]["stage"]), (&3.into(), &"work".into()));
    assert!(ns.kubectl(&["logs", "broken-1-build", "--container=stage"])?.contains("why"));
    // Nothing to run, or no plan: the stages' container ends by itself.
    ns.build("wrong", "{cache: {type: None}, dockerfile: {inline: \"FROM scratch\\nNO SUCH\\n\"}}")?;
    assert_eq!(ns.failed("wrong")?["failure"]["reason"], "DockerfileInvalid");
    ns.kubectl(&["wait", "pod/wrong-1-build", "--for=jsonpath={.status.phase}=Failed", "--timeout=60s"])?;
    ns.build("plain", "{cache: {type: None}, dockerfile: {inline: \"FROM scratch\\nLABEL a=b\\n\"}}")?;
    ns.succeeded("plain")?;
    ns.kubectl(&["wait", "pod/plain-1-build", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"])?;
    Ok(())
}

/// What an image holds, without the times of files that were made now.
fn files(cluster: &Cluster, namespace: &Namespace) -> Result<Vec<String>> {
    let listing = cluster.listing(&namespace.image("same"))?;
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        [&words[..3], &words[5..]].concat().join(" ")
    };
    Ok(listing.lines().map(line).collect())
}

#[test]
fn restricted_builds_what_runs_nothing() -> Result<()> {
    let cluster = Cluster::here()?;
    let spec = |image: &str| {
        format!(
            r#"
source: {{files: {{app.sh: "echo hi", secret.txt: s, .dockerignore: secret.txt}}}}
args: [{{name: SOURCE_DATE_EPOCH, value: "1700000000"}}]
dockerfile:
  inline: |
    FROM debian:bookworm-slim AS tools
    FROM debian:bookworm-slim
    COPY --chown=1000:50 --chmod=4750 app.sh /app/
    COPY --from=tools /etc/passwd /etc/shadow /copied/
    COPY --from=tools /var /copied/var/
    COPY --from=busybox /bin/busybox /bin/
    WORKDIR /work
    ADD --chown=daemon app.sh /named/
    CMD ["sh", "/app/app.sh"]
images: [{{name: REPO/{image}}}]
"#
        )
    };
    // The same build with all rights is what it must be equal to.
    let baseline = cluster.namespace("baseline")?;
    baseline.build("same", &spec("same"))?;
    baseline.succeeded("same")?;
    let ns = cluster.namespace("restricted")?;
    ns.build("same", &spec("same"))?;
    let status = ns.succeeded("same")?;
    let wanted = status["digest"].clone();
    let (theirs, ours) = (files(&cluster, &baseline)?, files(&cluster, &ns)?);
    let different: Vec<_> =
        theirs.iter().zip(&ours).filter(|(theirs, ours)| theirs != ours).take(5).collect();
    assert!(different.is_empty() && theirs.len() == ours.len(), "{different:#?}");
    for line in ["-rwsr-x--- 1000/50 7 app/app.sh", "-rw-r----- 0/42", "drwxrwsr-x 0/8 0 copied/var/mail"] {
        assert!(ours.iter().any(|ours| ours.starts_with(line)), "{line}");
    }
    let pods = ns.pods("same", 1)?;
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0]["spec"]["containers"][0]["securityContext"]["runAsNonRoot"], true);
    // Again: all from the cache.
    ns.rebuild("same", "again")?;
    let status = ns.succeeded("same")?;
    assert_eq!((&status["digest"], &status["cache"]["hits"]), (&wanted, &status["cache"]["steps"]));
    ns.build("alone", &format!("{}cache: {{type: None}}\n", spec("alone")))?;
    ns.succeeded("alone")?;
    Ok(())
}
