//! Build pods tell the operator themselves when they have planned or built: it need not wait for their kubelet.

use anyhow::{Context, Result};
use serde_json::Value;
use slipway_tests::cluster::{Cluster, Namespace};

const SPEC: &str = "
dockerfile:
  inline: |
    FROM busybox AS one
    RUN echo one > /one
    FROM busybox AS two
    RUN echo two > /two
    FROM scratch
    COPY --from=one /one /
    COPY --from=two /two /
images: [{name: REPO/early}]
";

#[test]
fn a_build_says_itself_that_it_is_done() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    // Another test may take the leader away, whom the pod would tell: then the next run is heard.
    for run in 1..=5 {
        if run == 1 {
            ns.build("early", SPEC)?;
        } else {
            ns.build("early", &SPEC.replace("RUN echo one > /one", &format!("RUN echo {run} > /one")))?;
        }
        let done = |build: &Value| build["status"]["run"] == run && build["status"]["phase"] == "Succeeded";
        let status = ns.until("early", "a finished run", done)?;
        let pods = ns.pods("early", run)?;
        let build = pods.iter().find(|pod| pod["metadata"]["labels"]["slipway.dev/role"] == "build");
        let said = &build.context("no build pod")?["metadata"]["annotations"];
        if said["slipway.dev/report.plan"].is_null() || said["slipway.dev/report.conduct"].is_null() {
            continue;
        }
        // All is in the status that the stage pods would have said a moment later.
        let stages = status["stages"].as_array().context("no stages")?;
        let ran = stages.iter().find(|stage| stage["name"] == "one").context("no stage `one`")?;
        assert_eq!(ran["state"], "Succeeded");
        assert!(ran["seconds"].is_number() && ran["pod"].is_string(), "{ran:#}");
        assert!(status["isolation"]["way"].is_string(), "{status:#}");
        // They end by themselves, and their logs stay.
        let pod = ran["pod"].as_str().unwrap_or_default();
        assert!(ns.kubectl(&["logs", pod])?.contains("RUN echo"), "the log of {pod}");
        // The log of the build is where people look first.
        assert!(ns.kubectl(&["logs", &format!("early-{run}-build")])?.contains("image "));
        return Ok(());
    }
    anyhow::bail!("the operator heard nothing in five builds")
}

/// Sends the report of a finished plan with a token, and returns what the operator answers.
fn send(cluster: &Cluster, ns: &Namespace, name: &str, token: &str) -> Result<String> {
    let leader = cluster.leader()?;
    let namespace = format!("--namespace={}", Cluster::OPERATOR_NAMESPACE);
    let address =
        cluster.kubectl(&["get", "pod", &leader, &namespace, "--output=jsonpath={.status.podIP}"])?;
    let host = if address.contains(':') { format!("[{address}]") } else { address };
    let line = format!(
        "wget -S -O- --header 'Authorization: Bearer {token}' --header 'Content-Type: application/json' \
         --post-data '{{\"container\": \"plan\", \"report\": \"{{}}\"}}' http://{host}:8081/v1/reports 2>&1 || true"
    );
    ns.run(name, "busybox", &["sh", "-c", &line])
}

#[test]
fn nobody_else_is_heard() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let tokens = [
        ("made-up", "made-up".to_owned(), "401"),
        ("for-the-api-server", ns.kubectl(&["create", "token", "default"])?, "401"),
        // For the operator, but of no pod.
        ("of-no-pod", ns.kubectl(&["create", "token", "default", "--audience=slipway.dev/operator"])?, "403"),
    ];
    for (name, token, status) in tokens {
        // The leader may be taken away between the question for its address and the request.
        let answers = (0..5).map(|round| send(&cluster, &ns, &format!("{name}-{round}"), token.trim()));
        let answer =
            answers.into_iter().find(|answer| answer.as_ref().map_or(true, |text| text.contains("HTTP/1.1")));
        let answer = answer.context("no answer in five tries")??;
        assert!(answer.contains(&format!("HTTP/1.1 {status}")), "{name}: {answer}");
    }
    Ok(())
}
