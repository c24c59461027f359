//! Faults in the middle of builds: the short form of `cargo xtask chaos`, which also takes the operator and the node's own
//! parts down, at random moments.

use std::time::{Duration, Instant};

use anyhow::Result;
use slipway_tests::cluster::{Cluster, Namespace};

const CHAIN: &str = "FROM busybox AS one\\nRUN : NAME; sleep 1; echo one > /one\\nRUN sleep 2; echo two > /two\\n\
                     FROM one\\nRUN sleep 1; cat /one /two > /three\\n";
const GREEDY: &str =
    "FROM busybox AS greedy\\nRUN : NAME; sleep 2\\nRUN dd if=/dev/zero of=/dev/null bs=300M count=1\\n";

fn start(ns: &Namespace, name: &str, dockerfile: &str, more: &str) -> Result<()> {
    let inline = dockerfile.replace("NAME", name);
    ns.build(
        name,
        &format!(
            "{{dockerfile: {{inline: \"{inline}\"}}, retries: 10, history: {{ttl: 5s}}, images: [{{name: REPO/{name}}}]{more}}}"
        ),
    )
}

/// Deletes a pod that runs, without grace, as soon as there is one; tells whether there was one in time.
fn kill_one(ns: &Namespace, role: &str, patience: Duration) -> Result<bool> {
    let selector = format!("--selector=slipway.dev/role={role}");
    let running = "--field-selector=status.phase=Running";
    let start = Instant::now();
    loop {
        let pods = ns.kubectl(&["get", "pods", &selector, running, "--output=name"])?;
        if let Some(pod) = pods.lines().next() {
            ns.kubectl(&[
                "delete",
                pod,
                "--grace-period=0",
                "--force",
                "--ignore-not-found",
                "--wait=false",
            ])?;
            return Ok(true);
        }
        if start.elapsed() > patience {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until the pods and requests of all builds are gone.
fn gone(ns: &Namespace) -> Result<()> {
    let selector = "--selector=app.kubernetes.io/managed-by=slipway-operator";
    ns.eventually("the end of all pods and requests", || {
        Ok(ns.kubectl(&["get", "pods,configmaps", selector, "--output=name"])?.trim().is_empty())
    })
}

#[test]
fn builds_through_faults_end_as_alone_and_leave_nothing() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let chains = ["first", "second", "third"];
    for name in chains {
        start(&ns, name, CHAIN, "")?;
    }
    start(&ns, "greedy", GREEDY, ", stages: [{name: greedy, resources: {limits: {memory: 100Mi}}}]")?;
    // The builds take seconds from their first pod on, and more with each that is lost.
    for role in ["stage", "build"] {
        assert!(kill_one(&ns, role, Duration::from_mins(2))?, "no {role} pod ran");
    }
    std::thread::sleep(Duration::from_secs(2));
    kill_one(&ns, "stage", Duration::from_secs(1))?;
    for name in chains {
        ns.succeeded(name)?;
        assert_eq!(cluster.file(&ns.image(name), "three")?, "one\ntwo\n");
    }
    let failure = ns.failed("greedy")?["failure"].take();
    assert!(failure.to_string().contains("memory"), "{failure:#}");
    assert!(cluster.crane(&["digest", &ns.image("greedy")]).is_err(), "nothing may be pushed");
    gone(&ns)?;
    // What a killed process left in the store is swept by the next one that opens it.
    start(&ns, "last", CHAIN, "")?;
    ns.succeeded("last")?;
    gone(&ns)?;
    let line = "cd /claim/store; for d in tmp trash flights leases; do find $d -mindepth 1 -maxdepth 1; done";
    let left = ns.run_with_claim("look", "busybox", line, ("slipway-cache", "/claim"))?;
    assert_eq!(left, "", "left in the store");
    Ok(())
}
