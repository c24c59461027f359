//! Sources that come as archives: over HTTP, from a registry, from a volume, from Flux.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use slipway_tests::cluster::Cluster;
use slipway_tests::web::{Options, WebServer};

/// Makes `<name>.tar.gz` with a Dockerfile and a page, and returns its digest.
fn archive(folder: &Path, name: &str, page: &str) -> Result<String> {
    let content = folder.join(name);
    std::fs::create_dir_all(content.join("site"))?;
    std::fs::write(content.join("site/Dockerfile"), "FROM scratch\nCOPY page.html /\n")?;
    std::fs::write(content.join("site/page.html"), page)?;
    let file = folder.join(format!("{name}.tar.gz"));
    let packed = Command::new("tar").arg("-C").arg(&content).arg("-czf").arg(&file).arg("site").status()?;
    ensure!(packed.success(), "tar failed");
    let sum = Command::new("sha256sum").arg(&file).output()?.stdout;
    let hex = String::from_utf8(sum)?.split_whitespace().next().context("no sum")?.to_owned();
    Ok(format!("sha256:{hex}"))
}

#[test]
fn an_archive_over_http_must_have_its_digest() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let server = WebServer::start(cluster.host()?, "archive", Options::default())?;
    let digest = archive(server.folder(), "site", "over http")?;
    let spec = |digest: &str| {
        format!(
            "{{source: {{http: {{url: '{}/site.tar.gz', digest: '{digest}'}}, subPath: site}}, images: [{{name: REPO/http}}]}}",
            server.url
        )
    };
    ns.build("right", &spec(&digest))?;
    ns.build("wrong", &spec(&format!("sha256:{}", "0".repeat(64))))?;
    let status = ns.succeeded("right")?;
    assert_eq!(status["source"]["revision"].as_str(), Some(digest.as_str()));
    assert_eq!(cluster.file(&ns.image("http"), "page.html")?, "over http");
    let status = ns.failed("wrong")?;
    let message = status["failure"]["message"].as_str().unwrap_or_default();
    assert!(message.contains(&digest) && message.contains("0000"), "{message}");
    Ok(())
}

#[test]
fn an_artifact_of_a_registry_and_a_volume_are_sources() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let server = WebServer::start(cluster.host()?, "oci", Options::default())?;
    archive(server.folder(), "site", "from a registry")?;
    let artifact = ns.image("artifact:v1");
    let file = server.folder().join("site.tar.gz").display().to_string();
    cluster.crane(&["append", "--new_layer", &file, "--new_tag", &artifact])?;
    ns.build(
        "artifact",
        &format!(
            "{{source: {{oci: {{reference: '{artifact}'}}, subPath: site}}, images: [{{name: REPO/oci}}]}}"
        ),
    )?;
    let status = ns.succeeded("artifact")?;
    assert!(status["source"]["revision"].as_str().unwrap_or_default().starts_with("v1@sha256:"));
    assert_eq!(cluster.file(&ns.image("oci"), "page.html")?, "from a registry");

    ns.apply("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: files}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}}")?;
    ns.run_with_claim(
        "fill",
        "busybox",
        "mkdir -p /files/a/site && printf 'FROM scratch\\nCOPY page.html /\\n' > /files/a/site/Dockerfile && printf 'from a volume' > /files/a/site/page.html",
        ("files", "/files"),
    )?;
    ns.build(
        "volume",
        "{source: {volume: {claim: files, path: a}, subPath: site}, images: [{name: REPO/volume}]}",
    )?;
    ns.succeeded("volume")?;
    assert_eq!(cluster.file(&ns.image("volume"), "page.html")?, "from a volume");
    Ok(())
}

/// As much of Flux's definitions as its sources have in common: a status with an artifact.
fn flux_definition(kind: &str, plural: &str) -> String {
    format!(
        "{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {{name: {plural}.source.toolkit.fluxcd.io}}, \
          spec: {{group: source.toolkit.fluxcd.io, scope: Namespaced, names: {{kind: {kind}, plural: {plural}}}, \
          versions: [{{name: v1, served: true, storage: true, subresources: {{status: {{}}}}, \
          schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]}}}}"
    )
}

/// Definitions that were not there and go away with the value; those of an installed Flux stay as they are.
struct Definitions<'a> {
    cluster: &'a Cluster,
    made: Vec<String>,
}

impl Definitions<'_> {
    fn ensure(&mut self, kind: &str, plural: &str) -> Result<()> {
        let object = format!("customresourcedefinition/{plural}.source.toolkit.fluxcd.io");
        if self.cluster.kubectl(&["get", &object, "--ignore-not-found"])?.is_empty() {
            self.cluster.kubectl_with(&["create", "--filename=-"], &flux_definition(kind, plural))?;
            self.made.push(object.clone());
        }
        self.cluster.kubectl(&["wait", "--for=condition=Established", &object, "--timeout=60s"]).map(drop)
    }
}

impl Drop for Definitions<'_> {
    fn drop(&mut self) {
        for object in &self.made {
            let _ = self.cluster.kubectl(&["delete", object, "--wait=true", "--timeout=60s"]);
        }
    }
}

#[test]
fn sources_of_flux_are_built_and_built_again() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let server = WebServer::start(cluster.host()?, "flux", Options::default())?;
    // Flux itself, where it runs, must leave them alone.
    let kinds = [
        (
            "GitRepository",
            "gitrepositories",
            "{suspend: true, interval: 1h, url: 'https://git.example/shop.git'}",
        ),
        ("ExternalArtifact", "externalartifacts", "{}"),
    ];
    let mut definitions = Definitions { cluster: &cluster, made: vec![] };
    for (kind, plural, _) in kinds {
        definitions.ensure(kind, plural)?;
    }
    for (kind, plural, spec) in kinds {
        let name = plural;
        let publish = |round: &str| -> Result<()> {
            let digest = archive(server.folder(), &format!("{plural}-{round}"), &format!("{kind} {round}"))?;
            ns.apply(&format!(
                "{{apiVersion: source.toolkit.fluxcd.io/v1, kind: {kind}, metadata: {{name: {name}}}, spec: {spec}}}"
            ))?;
            let patch = format!(
                "{{\"status\": {{\"artifact\": {{\"url\": \"{}/{plural}-{round}.tar.gz\", \"digest\": \"{digest}\", \"revision\": \"main@sha1:{round}\"}}}}}}",
                server.url
            );
            ns.kubectl(&["patch", plural, name, "--subresource=status", "--type=merge", "--patch", &patch])?;
            Ok(())
        };
        // A source without an artifact is waited for.
        ns.build(
            name,
            &format!(
                "{{source: {{flux: {{kind: {kind}, name: {name}}}, subPath: site}}, images: [{{name: REPO/{plural}}}]}}"
            ),
        )?;
        ns.until(name, "waiting", |b| b["status"]["conditions"].to_string().contains("MissingReference"))?;
        publish("first")?;
        let status = ns.succeeded(name)?;
        assert_eq!(status["source"]["revision"], "main@sha1:first");
        assert_eq!(cluster.file(&ns.image(plural), "page.html")?, format!("{kind} first"));
        publish("second")?;
        let status = ns.until(name, "a second build", |b| {
            b["status"]["run"] == 2 && b["status"]["phase"] == "Succeeded"
        })?;
        assert_eq!(status["trigger"], "new source revision");
        assert_eq!(cluster.file(&ns.image(plural), "page.html")?, format!("{kind} second"));
    }
    Ok(())
}
