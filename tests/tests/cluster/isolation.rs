use anyhow::Result;
use slipway_tests::cluster::Cluster;

/// What user code must not be able to do, tried from a RUN. Each line prints a word when it succeeds in it.
const ATTACKS: &str = r"
dockerfile:
  inline: |
    FROM busybox AS attack
    RUN <<'EOF'
    ls /slipway 2>/dev/null && echo SEES-STORE
    ls /var/run/secrets/kubernetes.io 2>/dev/null && echo SEES-TOKEN
    ls /run/secrets 2>/dev/null | grep . && echo SEES-SECRETS
    mount -t tmpfs none /mnt 2>/dev/null && echo CAN-MOUNT
    unshare -U true 2>/dev/null && echo CAN-UNSHARE
    for exe in /proc/[0-9]*/exe; do ( : > $exe ) 2>/dev/null && echo CAN-WRITE-EXE; done
    for root in /proc/[0-9]*/root; do ls $root/slipway 2>/dev/null && echo SEES-EXECUTOR; done
    ls /proc/self/fd | sort -n | tail -1 > /fds
    (sleep 1000 &)
    echo tried > /tried
    EOF
images: [{name: REPO/attack}]
";

fn attack(level: &str, isolation: &str) -> Result<(String, serde_json::Value)> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace(level)?;
    ns.build("attack", &format!("{ATTACKS}isolation: {isolation}\n"))?;
    let status = ns.succeeded("attack")?;
    assert_eq!(cluster.file(&ns.image("attack"), "tried")?, "tried\n");
    ns.pod_ended("attack-1-attack")?;
    let logs = ns.kubectl(&["logs", "attack-1-attack"])?;
    Ok((logs, status))
}

fn harmless(logs: &str) {
    for word in ["SEES-", "CAN-"] {
        // The command is shown too; what it printed stands on lines of its own.
        let printed: Vec<&str> = logs.lines().filter(|l| l.contains(word) && !l.contains("echo")).collect();
        assert!(printed.is_empty(), "{printed:#?}");
    }
}

#[test]
fn baseline_is_enough_for_the_full_sandbox() -> Result<()> {
    let (logs, status) = attack("baseline", "Auto")?;
    harmless(&logs);
    assert!(status["isolation"]["way"].as_str().unwrap().contains("Overlay"), "{:#}", status["isolation"]);
    Ok(())
}

#[test]
fn privileged_namespaces_get_the_granted_overlay() -> Result<()> {
    let (logs, status) = attack("privileged", "Auto")?;
    harmless(&logs);
    assert!(status["isolation"]["way"].as_str().unwrap().contains("Overlay"), "{:#}", status["isolation"]);
    Ok(())
}

#[test]
fn restricted_refuses_run_with_a_clear_message() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("restricted")?;
    ns.build("strict", "{dockerfile: {inline: \"FROM busybox\\nRUN echo\\n\"}}")?;
    let status = ns.failed("strict")?;
    assert!(status["failure"]["message"].as_str().unwrap().contains("restricted"), "{:#}", status["failure"]);
    Ok(())
}

#[test]
fn secrets_reach_only_the_stage_that_asks_and_stay_out_of_everything_else() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let canary = "canary-7f3a9c";
    ns.kubectl(&["create", "secret", "generic", "npm", &format!("--from-literal=token={canary}")])?;
    ns.build(
        "secretive",
        "
secrets: [{id: npmrc, secretRef: {name: npm, key: token}}]
dockerfile:
  inline: |
    FROM busybox AS uses
    RUN --mount=type=secret,id=npmrc wc -c < /run/secrets/npmrc > /length
    FROM busybox AS other
    RUN ls /run/secrets > /seen 2>&1 || true
    FROM scratch
    COPY --from=uses /length /
    COPY --from=other /seen /
images: [{name: REPO/secretive}]
",
    )?;
    ns.succeeded("secretive")?;
    // Each of its containers has a log by now.
    ns.kubectl(&["wait", "pod", "--all", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"])?;
    let image = ns.image("secretive");
    assert_eq!(cluster.file(&image, "length")?.trim(), canary.len().to_string());
    assert!(!cluster.file(&image, "seen")?.contains("npmrc"));
    let pods = ns.pods("secretive", 1)?;
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let mounts = pod["spec"]["volumes"].to_string().contains("\"npm\"");
        assert_eq!(mounts, name == "secretive-1-uses", "{name}");
        assert!(!pod.to_string().contains(canary));
        assert!(!ns.kubectl(&["logs", name, "--all-containers"])?.contains(canary));
    }
    assert!(!ns.get("secretive")?.to_string().contains(canary));
    assert!(!ns.kubectl(&["get", "configmaps,events", "--output=yaml"])?.contains(canary));
    assert!(!cluster.crane(&["config", &image])?.contains(canary));
    Ok(())
}
