//! Build pods tell the operator themselves when they have planned or built: it need not wait for their kubelet.

use anyhow::{Context, Result};
use serde_json::Value;
use slipway_tests::cluster::{Cluster, Gate, Namespace};

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
        if said["slipway.dev/report.plan"].is_null() || said["slipway.dev/report.build"].is_null() {
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
        ns.pod_ended(pod)?;
        ns.pod_ended(&format!("early-{run}-build"))?;
        assert!(ns.kubectl(&["logs", pod])?.contains("RUN echo"), "the log of {pod}");
        // The log of the build is where people look first.
        assert!(ns.kubectl(&["logs", &format!("early-{run}-build")])?.contains("image "));
        return Ok(());
    }
    anyhow::bail!("the operator heard nothing in five builds")
}

#[test]
fn the_kubelet_is_told_the_same_while_the_build_goes_on() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let gate = Gate::closed(&cluster, "told")?;
    ns.build(
        "told",
        &format!(
            "{{dockerfile: {{inline: \"FROM busybox AS slow\\nRUN {}\\n\"}}, images: [{{name: REPO/told}}]}}",
            gate.wait()
        ),
    )?;
    ns.until("told", "running stage", |build| build["status"]["stages"][0]["state"] == "Running")?;
    let end = r#"{.status.containerStatuses[?(@.name=="report")].state.terminated"#;
    let ended = format!("--for=jsonpath={end}.reason}}=Completed");
    ns.kubectl(&["wait", "pod/told-1-build", &ended, "--timeout=60s"])?;
    let said = format!("--output=jsonpath={{.status.phase}} {end}.message}}");
    let said = ns.kubectl(&["get", "pod", "told-1-build", &said])?;
    let (phase, plan) = said.split_once(' ').context("no last words")?;
    assert!(plan.contains(r#""n":"slow""#) && plan.contains(r#""p":0"#), "{plan}");
    assert_eq!(phase, "Running", "it builds");
    // Whoever looks sees the log, of whichever container.
    assert!(ns.kubectl(&["logs", "told-1-build"])?.contains("stage slow"));
    ns.kubectl(&["logs", "told-1-build", "--all-containers"])?;
    gate.open()?;
    ns.succeeded("told")?;
    Ok(())
}

/// Something in the cluster takes no annotations on pods, so that the operator can keep nothing that it hears.
#[test]
fn kubelets_are_enough() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let policy = format!(
        r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}
    resourceRules: [{{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [pods]}}]
  validations:
  - expression: "!has(object.metadata.annotations) || object.metadata.annotations.all(name, !name.startsWith('slipway.dev/report.'))"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec: {{policyName: {name}, validationActions: [Deny]}}
"#,
        name = ns.name()
    );
    ns.apply(&policy)?;
    let built = build_without_being_heard(&ns);
    cluster.kubectl(&["delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", ns.name()])?;
    built
}

fn build_without_being_heard(ns: &Namespace) -> Result<()> {
    // A policy takes a moment to be known everywhere.
    for run in 1..=5 {
        let name = format!("unheard-{run}");
        ns.build(&name, &SPEC.replace("REPO/early", &format!("REPO/{name}")))?;
        let status = ns.succeeded(&name)?;
        let stages = status["stages"].as_array().map_or(0, Vec::len);
        anyhow::ensure!(status["attempt"] == 1 && stages == 3, "{status:#}");
        let pods = ns.pods(&name, 1)?;
        anyhow::ensure!(pods.len() == 3, "{} pods", pods.len());
        let quiet = |pod: &Value| {
            let annotations = pod["metadata"]["annotations"].as_object();
            annotations.is_none_or(|all| all.keys().all(|name| !name.starts_with("slipway.dev/report")))
        };
        if pods.iter().all(quiet) {
            return Ok(());
        }
    }
    anyhow::bail!("the operator heard of all five builds")
}

/// Sends the report of a finished plan with a token, and returns what the operator answers.
fn send(cluster: &Cluster, ns: &Namespace, name: &str, token: &str) -> Result<String> {
    let leader = cluster.leader()?;
    let namespace = format!("--namespace={}", Cluster::OPERATOR_NAMESPACE);
    let address =
        cluster.kubectl(&["get", "pod", &leader.name, &namespace, "--output=jsonpath={.status.podIP}"])?;
    let host = if address.contains(':') { format!("[{address}]") } else { address };
    let line = format!(
        "wget -S -O- --header 'Authorization: Bearer {token}' --header 'Content-Type: application/json' \
         --post-data '{{\"part\": \"plan\", \"report\": \"{{}}\"}}' http://{host}:8081/v1/reports 2>&1 || true"
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
        let answer = send(&cluster, &ns, name, token.trim())?;
        assert!(answer.contains(&format!("HTTP/1.1 {status}")), "{name}: {answer}");
    }
    Ok(())
}
