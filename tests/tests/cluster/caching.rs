use anyhow::Result;
use slipway_tests::cluster::Cluster;

const SPEC: &str = r#"
source:
  files:
    a.txt: "one"
    b.txt: "two"
dockerfile:
  inline: |
    FROM busybox AS a
    COPY a.txt /
    RUN cat a.txt > /made-a
    FROM busybox AS b
    COPY b.txt /
    RUN cat b.txt > /made-b
    FROM scratch
    COPY --from=a /made-a /
    COPY --from=b /made-b /
images: [{name: REPO/cached}]
"#;

#[test]
fn nothing_changed_starts_no_stage_pod_and_one_file_runs_only_what_needs_it() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build("cached", SPEC)?;
    let first = ns.succeeded("cached")?;
    assert_eq!(first["cache"]["hits"], 0, "{first:#}");

    ns.rebuild("cached", "again")?;
    let second = ns.succeeded("cached")?;
    assert_eq!(second["digest"], first["digest"]);
    assert_eq!(second["cache"]["hits"], second["cache"]["steps"], "{second:#}");
    assert_eq!(ns.pods("cached", 2)?.len(), 1, "only the build pod");

    ns.build("cached", &SPEC.replace("two", "changed"))?;
    let third = ns.succeeded("cached")?;
    let stage =
        |name: &str| third["stages"].as_array().unwrap().iter().find(|s| s["name"] == name).unwrap().clone();
    assert_eq!(stage("a")["state"], "Cached");
    assert_eq!(stage("b")["state"], "Succeeded");
    assert!(stage("b")["why"].as_str().unwrap().contains("b.txt"), "{:#}", stage("b"));
    assert_ne!(third["digest"], first["digest"]);
    assert_eq!(cluster.file(&ns.image("cached"), "made-b")?, "changed");
    let pods: Vec<String> = ns
        .pods("cached", 3)?
        .iter()
        .filter_map(|p| p["metadata"]["name"].as_str().map(ToOwned::to_owned))
        .collect();
    assert_eq!(pods.len(), 2, "{pods:?}");
    Ok(())
}

#[test]
fn cache_mounts_live_on_between_builds() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let spec = |round: u32| {
        format!(
            "{{args: [{{name: ROUND, value: '{round}'}}], dockerfile: {{inline: \"FROM busybox\\nARG ROUND\\n\
             RUN --mount=type=cache,target=/cache echo $ROUND >> /cache/rounds && cp /cache/rounds /rounds\\n\"}}, \
             images: [{{name: REPO/rounds}}]}}"
        )
    };
    for round in 1..=3 {
        ns.build("rounds", &spec(round))?;
        ns.succeeded("rounds")?;
    }
    assert_eq!(cluster.file(&ns.image("rounds"), "rounds")?, "1\n2\n3\n");
    assert!(!cluster.listing(&ns.image("rounds"))?.contains(" cache/rounds"));
    Ok(())
}

#[test]
fn ten_builds_at_once_over_one_cache() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    for n in 0..10 {
        ns.build(
            &format!("many-{n}"),
            &format!(
                "{{dockerfile: {{inline: \"FROM debian:bookworm-slim AS shared\\nRUN echo shared > /shared\\n\
                 FROM shared\\nRUN echo {n} > /own\\n\"}}, images: [{{name: REPO/many-{n}}}]}}"
            ),
        )?;
    }
    for n in 0..10 {
        ns.succeeded(&format!("many-{n}"))?;
        let image = ns.image(&format!("many-{n}"));
        assert_eq!(cluster.file(&image, "own")?, format!("{n}\n"));
        assert_eq!(cluster.file(&image, "shared")?, "shared\n");
    }
    Ok(())
}

#[test]
fn what_one_namespace_exports_another_one_imports_without_a_stage_pod() -> Result<()> {
    let cluster = Cluster::here()?;
    let (writer, reader) = (cluster.namespace("baseline")?, cluster.namespace("baseline")?);
    let cache = writer.image("shared-cache:main");
    let spec = |direction: &str| {
        format!(
            r#"
dockerfile:
  inline: |
    FROM busybox AS a
    RUN cat /proc/sys/kernel/random/uuid > /made
    FROM busybox
    COPY --from=a /made /
    RUN cat /proc/sys/kernel/random/uuid > /own
images: [{{name: REPO/shared}}]
cache: {{{direction}: [{{ref: "{cache}"{}}}]}}
"#,
            if direction == "to" { ", mode: Max" } else { "" }
        )
    };
    writer.build("shared", &spec("to"))?;
    let first = writer.succeeded("shared")?;
    assert_eq!(first["cache"]["imported"], 0, "{first:#}");
    assert!(writer.pods("shared", 1)?.len() > 1, "the first build runs its stages");

    reader.build("shared", &spec("from"))?;
    let second = reader.succeeded("shared")?;
    assert_eq!(second["digest"], first["digest"], "nothing ran again: {second:#}");
    assert_eq!(second["cache"]["hits"], 3, "{second:#}");
    // What `a` made is in the layer of the COPY already, so nothing of `a` is needed.
    assert_eq!(second["cache"]["imported"], 2, "{second:#}");
    assert_eq!(reader.pods("shared", 1)?.len(), 1, "only the build pod");

    // What changes runs, on layers that come only now.
    reader.build("shared", &spec("from").replace("/own", "/other"))?;
    let third = reader.succeeded("shared")?;
    assert_eq!(reader.pods("shared", 2)?.len(), 2, "one stage runs");
    assert_eq!(
        cluster.file(&reader.image("shared"), "made")?,
        cluster.file(&writer.image("shared"), "made")?,
        "{third:#}"
    );
    Ok(())
}

#[test]
fn a_cache_that_is_not_there_is_a_warning_in_the_status() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let cache = ns.image("nothing:here");
    ns.build(
        "warned",
        &format!("{{dockerfile: {{inline: \"FROM busybox\\nRUN true\\n\"}}, cache: {{from: [{{ref: \"{cache}\"}}]}}}}"),
    )?;
    let status = ns.succeeded("warned")?;
    let warnings = status["warnings"].as_array().cloned().unwrap_or_default();
    assert!(
        warnings.iter().any(|text| text.as_str().unwrap_or_default().contains("nothing:here")),
        "{status:#}"
    );
    Ok(())
}
