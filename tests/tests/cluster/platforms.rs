//! One resource, several platforms.

use anyhow::{Context, Result};
use serde_json::Value;
use slipway_tests::cluster::Cluster;

#[test]
fn several_platforms_become_one_index() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    // The compiler runs on the node's own platform, once for each; the foreign image only copies.
    ns.build(
        "both",
        "
platforms: [linux/amd64, linux/arm64]
dockerfile:
  inline: |
    FROM --platform=$BUILDPLATFORM busybox AS shared
    RUN date +%s%N > /once
    FROM --platform=$BUILDPLATFORM busybox AS compile
    ARG TARGETARCH
    RUN echo \"for $TARGETARCH\" > /program
    FROM scratch
    COPY --from=shared /once /
    COPY --from=compile /program /
    ENTRYPOINT [\"/program\"]
images: [{name: REPO/both, tags: [latest]}]
",
    )?;
    let status = ns.succeeded("both")?;
    let image = ns.image("both");
    let index: Value = serde_json::from_str(&cluster.crane(&["manifest", &image])?)?;
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let told = status["images"][0]["platforms"].as_array().context("no platforms in the status")?;
    let mut once = Vec::new();
    for (number, arch) in ["amd64", "arm64"].into_iter().enumerate() {
        let entry = &index["manifests"][number];
        assert_eq!(entry["platform"]["architecture"], arch, "{index:#}");
        assert_eq!(
            (&told[number]["platform"], &told[number]["digest"]),
            (&format!("linux/{arch}").into(), &entry["digest"])
        );
        let member = format!("{image}@{}", entry["digest"].as_str().context("no digest")?);
        let config: Value = serde_json::from_str(&cluster.crane(&["config", &member])?)?;
        assert_eq!(config["architecture"], arch);
        assert_eq!(cluster.file(&member, "program")?, format!("for {arch}\n"));
        once.push(cluster.file(&member, "once")?);
    }
    assert_eq!(once[0], once[1], "what both need is made once");
    assert_eq!(status["digest"].as_str(), Some(cluster.crane(&["digest", &image])?.trim()));
    // The node takes its own out of the index.
    let listed =
        ns.kubectl(&["get", "imagebuild", "both", "--output=jsonpath={.status.images[0].reference}"])?;
    assert!(listed.ends_with(status["digest"].as_str().context("no digest")?), "{listed}");
    // Again: nothing is run for either.
    ns.rebuild("both", "again")?;
    let status = ns.succeeded("both")?;
    assert_eq!(status["cache"]["hits"], status["cache"]["steps"], "{:#}", status["stages"]);
    assert_eq!(ns.pods("both", 2)?.len(), 1);
    Ok(())
}
