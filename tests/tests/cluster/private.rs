//! Credentials: right, wrong, missing and expired ones each have their own words.

use anyhow::{Context, Result};
use serde_json::Value;
use slipway_tests::cluster::{Cluster, Namespace};
use slipway_tests::repository::Repository;
use slipway_tests::web::{Options, WebServer, password};

fn message(status: &Value) -> &str {
    status["failure"]["message"].as_str().unwrap_or_default()
}

fn git_secret(ns: &Namespace, name: &str, password: &str, authority: &str) -> Result<()> {
    ns.kubectl(&[
        "create",
        "secret",
        "generic",
        name,
        "--from-literal=username=ci",
        &format!("--from-literal=password={password}"),
        &format!("--from-literal=ca.crt={authority}"),
    ])
    .map(drop)
}

#[test]
fn private_git_over_https() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    let guard = Some(password("ci", "right-password", "old-password"));
    let server = WebServer::start(cluster.host()?, "private-git", Options { guard, tls: true })?;
    let part = Repository::create(server.folder(), "part")?;
    part.commit(&[("part.txt", "from the submodule")])?;
    let repository = Repository::create(server.folder(), "app")?;
    let submodule =
        format!("[submodule \"part\"]\n\tpath = services/web/part\n\turl = {}/git/part.git\n", server.url);
    repository.commit(&[
        ("services/web/Dockerfile", "FROM scratch\nCOPY part/part.txt /\n"),
        (".gitmodules", &submodule),
    ])?;
    let at = part.git(&["rev-parse", "HEAD"])?;
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{at},services/web/part")])?;
    repository.git(&["commit", "--quiet", "--message=submodule"])?;
    repository.push()?;
    for (name, password) in
        [("right", "right-password"), ("wrong", "no-password"), ("expired", "old-password")]
    {
        git_secret(&ns, name, password, &server.authority)?;
    }
    ns.kubectl(&[
        "create",
        "secret",
        "generic",
        "missing",
        &format!("--from-literal=ca.crt={}", server.authority),
    ])?;
    for secret in ["right", "wrong", "expired", "missing"] {
        ns.build(
            secret,
            &format!(
                "{{source: {{git: {{url: '{}/git/app.git', submodules: true, secretRef: {{name: {secret}}}}}, subPath: services/web}}, \
                 images: [{{name: REPO/{secret}}}]}}",
                server.url
            ),
        )?;
    }
    ns.succeeded("right")?;
    assert_eq!(cluster.file(&ns.image("right"), "part.txt")?, "from the submodule");
    for (name, expected) in [
        ("wrong", "the credentials are refused"),
        ("expired", "the credentials have expired"),
        ("missing", "none are given"),
    ] {
        let status = ns.failed(name)?;
        assert_eq!(status["failure"]["reason"], "SourceFailed");
        assert!(message(&status).contains(expected), "{name}: {}", message(&status));
        assert!(!ns.get(name)?.to_string().contains("-password"), "no value of a Secret is told");
    }
    // A Secret that is not there is waited for.
    ns.build(
        "absent",
        &format!("{{source: {{git: {{url: '{}/git/app.git', secretRef: {{name: nobody}}}}}}}}", server.url),
    )?;
    let status = ns.until("absent", "a condition", |b| {
        b["status"]["conditions"].to_string().contains("MissingReference")
    })?;
    assert!(status["conditions"].to_string().contains("there is no Secret `nobody`"));
    Ok(())
}

#[test]
fn a_private_registry() -> Result<()> {
    let cluster = Cluster::here()?;
    let Some(private) = cluster.private_registry() else {
        println!("no private registry is known (SLIPWAY_E2E_PRIVATE_REGISTRY): not tried");
        return Ok(());
    };
    let ns = cluster.namespace("baseline")?;
    for (name, password) in [("right", "slipway-test"), ("wrong", "guess")] {
        ns.kubectl(&[
            "create",
            "secret",
            "docker-registry",
            name,
            &format!("--docker-server={private}"),
            "--docker-username=slipway",
            &format!("--docker-password={password}"),
        ])?;
    }
    let push = |secret: &str| {
        format!(
            "{{dockerfile: {{inline: \"FROM scratch\\nLABEL a=b\\n\"}}, images: [{{name: {private}/{}/a{secret}}}]}}",
            ns.name()
        )
    };
    ns.build("right", &push(", pushSecret: {name: right}"))?;
    ns.build("wrong", &push(", pushSecret: {name: wrong}"))?;
    ns.build("missing", &push(""))?;
    let reference = ns.succeeded("right")?["images"][0]["reference"].as_str().context("no image")?.to_owned();
    for (name, expected) in [("wrong", "wrong"), ("missing", "there are no credentials for")] {
        let status = ns.failed(name)?;
        assert_eq!(status["failure"]["reason"], "PushFailed", "{status:#}");
        assert!(message(&status).contains(expected), "{name}: {}", message(&status));
        assert_eq!(status["attempt"], 1, "no other try mends it");
    }
    // Pulling: the Secret of the pods is used for bases too.
    let pull =
        |secret: &str| format!("{{dockerfile: {{inline: \"FROM {reference}\\nLABEL c=d\\n\"}}{secret}}}");
    ns.build("pull-right", &pull(", pod: {imagePullSecrets: [{name: right}]}"))?;
    ns.succeeded("pull-right")?;
    // In the same namespace it would be in the cache by now.
    let other = cluster.namespace("baseline")?;
    other.build("pull-missing", &pull(""))?;
    let status = other.failed("pull-missing")?;
    assert!(message(&status).contains("there are no credentials for"), "{}", message(&status));
    assert_eq!(status["attempt"], 1, "no other try mends it");
    Ok(())
}
