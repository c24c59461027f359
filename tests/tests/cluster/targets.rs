use anyhow::Result;
use slipway_tests::cluster::Cluster;

#[test]
fn several_images_come_from_one_dockerfile_and_unneeded_stages_are_pruned() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build(
        "shop",
        "
dockerfile:
  inline: |
    FROM busybox AS base
    RUN echo base > /base
    FROM base AS dev
    RUN echo dev > /dev.txt
    FROM base AS test
    RUN test -f /base
    FROM busybox AS unused
    RUN exit 1
    FROM scratch AS prod
    COPY --from=base /base /
images:
- {target: prod, name: REPO/shop}
- {target: dev, name: REPO/shop-dev}
- {target: test}
",
    )?;
    let status = ns.succeeded("shop")?;
    assert_eq!(status["prunedStages"], 1);
    assert_eq!(status["images"].as_array().unwrap().len(), 3);
    assert_eq!(cluster.file(&ns.image("shop-dev"), "dev.txt")?, "dev\n");
    assert!(!cluster.listing(&ns.image("shop"))?.contains("dev.txt"));
    Ok(())
}

#[test]
fn a_failing_test_stage_pushes_nothing() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build(
        "tested",
        "
dockerfile:
  inline: |
    FROM busybox AS prod
    RUN echo app > /app
    FROM prod AS test
    RUN sleep 2; false
images: [{target: prod, name: REPO/tested}, {target: test}]
",
    )?;
    let status = ns.failed("tested")?;
    assert_eq!(status["failure"]["stage"], "test");
    assert!(cluster.crane(&["digest", &ns.image("tested")]).is_err());
    Ok(())
}

#[test]
fn arguments_choose_a_stage() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: env}, data: {kind: dev}}")?;
    for (name, args) in [
        ("prod", ""),
        ("dev", "args: [{name: BUILD_ENV, valueFrom: {configMapKeyRef: {name: env, key: kind}}}]\n"),
    ] {
        ns.build(
            name,
            &format!(
                "
dockerfile:
  inline: |
    FROM busybox AS deps-dev
    RUN echo dev > /kind
    FROM busybox AS deps-prod
    RUN echo prod > /kind
    ARG BUILD_ENV
    FROM deps-${{BUILD_ENV:-prod}} AS deps
images: [{{name: REPO/{name}}}]
{args}"
            )
            .replace("    ARG BUILD_ENV\n", "")
            .replace("    FROM busybox AS deps-dev", "    ARG BUILD_ENV\n    FROM busybox AS deps-dev"),
        )?;
        ns.succeeded(name)?;
        assert_eq!(cluster.file(&ns.image(name), "kind")?.trim(), name);
    }
    Ok(())
}

#[test]
fn files_come_from_other_images() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build(
        "borrowed",
        "{dockerfile: {inline: \"FROM scratch\\nCOPY --from=busybox:latest /bin/busybox /bin/busybox\\n\"}, images: [{name: REPO/borrowed}]}",
    )?;
    let status = ns.succeeded("borrowed")?;
    assert_eq!(ns.pods("borrowed", 1)?.len(), 1, "nothing runs user code, so nothing needs a stage pod");
    assert!(cluster.listing(&ns.image("borrowed"))?.contains("bin/busybox"));
    assert!(status["stages"][0]["pod"].is_null());
    Ok(())
}
