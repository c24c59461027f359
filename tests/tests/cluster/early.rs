//! Build pods tell the operator themselves when they have planned or built: it need not wait for their kubelet.

use anyhow::{Context, Result};
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

/// Asks an operator's pod for a metric.
fn taken(cluster: &Cluster, operator: &str) -> Result<u64> {
    let path =
        format!("/api/v1/namespaces/{}/pods/{operator}:8080/proxy/metrics", Cluster::OPERATOR_NAMESPACE);
    let metrics = cluster.kubectl(&["get", "--raw", &path])?;
    let line =
        metrics.lines().find_map(|line| line.strip_prefix("slipway_pod_reports_total{result=\"taken\"} "));
    line.map_or(Ok(0), |count| count.parse().context(count.to_owned()))
}

#[test]
fn a_build_says_itself_that_it_is_done() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build("early", SPEC)?;
    // Another test may take the leader away: then it is the next one that hears.
    for round in 0..5 {
        let leader = cluster.leader()?;
        let before = taken(&cluster, &leader)?;
        if round > 0 {
            let file = format!("RUN echo {round} > /one");
            ns.build("early", &SPEC.replace("RUN echo one > /one", &file))?;
        }
        let status = ns.succeeded("early")?;
        let stages = status["stages"].as_array().context("no stages")?;
        assert!(
            stages.iter().all(|stage| stage["state"] == "Succeeded" || stage["state"] == "Cached"),
            "{stages:#?}"
        );
        // All is in the status that the stage pods would have said a moment later.
        let ran = stages.iter().find(|stage| stage["name"] == "one").context("no stage `one`")?;
        assert!(ran["seconds"].is_number() && ran["pod"].is_string(), "{ran:#}");
        assert!(status["isolation"]["way"].is_string(), "{status:#}");
        // They end by themselves, and their logs stay.
        let pod = ran["pod"].as_str().unwrap_or_default();
        assert!(ns.kubectl(&["logs", pod])?.contains("RUN echo"), "the log of {pod}");
        if leader == cluster.leader()? {
            // Beside what other tests build: the plan's report, and that of `conduct`.
            assert!(taken(&cluster, &leader)? >= before + 2, "{leader} heard nothing");
            return Ok(());
        }
    }
    anyhow::bail!("the leader changed five times")
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
