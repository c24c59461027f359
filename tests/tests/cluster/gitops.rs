//! What tools that apply the same manifest again and again rely on.

use anyhow::Result;
use slipway_tests::cluster::Cluster;

#[test]
fn applying_again_changes_nothing() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let image = ns.image("same");
    // Every field that has a default is left out: the API server fills them in, and must not take that for a change.
    let manifest = format!(
        "
apiVersion: slipway.dev/v1alpha1
kind: ImageBuild
metadata: {{name: same}}
spec:
  dockerfile: {{inline: \"FROM busybox AS work\\nRUN echo same > /made\\nFROM scratch\\nCOPY --from=work /made /\\n\"}}
  images: [{{name: {image}}}]
  pod: {{}}
  stages: [{{name: work}}]
"
    );
    let namespace = format!("--namespace={}", ns.name());
    let words = [
        "apply",
        "--server-side",
        "--field-manager=gitops",
        &namespace,
        "--filename=-",
        "--output=jsonpath={.metadata.resourceVersion}",
    ];
    cluster.kubectl_with(&words, &manifest)?;
    ns.succeeded("same")?;
    let before = ns.get("same")?;
    for _ in 0..2 {
        let version = cluster.kubectl_with(&words, &manifest)?;
        assert_eq!(before["metadata"]["resourceVersion"], version.as_str());
    }
    let diff = cluster.kubectl_with(
        &["diff", "--server-side", "--field-manager=gitops", &namespace, "--filename=-"],
        &manifest,
    )?;
    assert_eq!(diff, "");
    let after = ns.get("same")?;
    assert_eq!(after["status"]["run"], 1);
    assert_eq!(after, before);
    Ok(())
}

/// kstatus takes an object without a word of its generation for done, and tools look before the operator has.
#[test]
fn nobody_takes_a_new_object_for_done() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let manifest = "
apiVersion: slipway.dev/v1alpha1
kind: ImageBuild
metadata: {name: new}
spec: {suspend: true, dockerfile: {inline: \"FROM busybox\"}}
";
    let namespace = format!("--namespace={}", ns.name());
    let words = ["create", &namespace, "--filename=-", "--output=jsonpath={.status.observedGeneration}"];
    assert_eq!(cluster.kubectl_with(&words, manifest)?, "-1");
    Ok(())
}
