use anyhow::{Context, Result};
use slipway_tests::cluster::Cluster;
use slipway_tests::repository::Repository;
use slipway_tests::web::{Options, WebServer};

#[test]
fn a_moving_branch_is_built_again_by_itself() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("restricted")?;
    let server = WebServer::start(cluster.host()?, "polling", Options::default())?;
    let repository = Repository::create(server.folder(), "app")?;
    repository.commit(&[("Dockerfile", "FROM scratch\nCOPY app.txt /\n"), ("app.txt", "first")])?;
    let spec = format!(
        "{{source: {{git: {{url: '{}/git/app.git', ref: {{branch: main}}, interval: 10s}}}}, images: [{{name: REPO/app}}]}}",
        server.url
    );
    ns.build("app", &spec)?;
    ns.succeeded("app")?;
    // A look that finds nothing new is noted and starts nothing.
    let status = ns.until("app", "a look", |b| b["status"]["poll"]["revision"].is_string())?;
    assert_eq!(status["run"], 1);
    assert_eq!(status["poll"]["revision"], status["source"]["revision"]);
    let commit = repository.commit(&[("app.txt", "second")])?;
    let status = ns
        .until("app", "a second build", |b| b["status"]["run"] == 2 && b["status"]["phase"] == "Succeeded")?;
    assert_eq!(status["trigger"], "new source revision");
    assert!(status["source"]["revision"].as_str().context("no revision")?.ends_with(&commit));
    assert_eq!(cluster.file(&ns.image("app"), "app.txt")?, "second");
    // Nobody looks while it is suspended, and what was missed is found afterwards.
    ns.build("app", &format!("{{suspend: true, {}", &spec[1..]))?;
    ns.until("app", "suspension", |b| b["metadata"]["generation"] == b["status"]["observedGeneration"])?;
    // A look may have been under way.
    let looks = || ns.kubectl(&["get", "pods", "--selector=slipway.dev/role=poll", "--output=name"]);
    ns.eventually("the end of the last look", || Ok(looks()?.trim().is_empty()))?;
    repository.commit(&[("app.txt", "third")])?;
    std::thread::sleep(std::time::Duration::from_secs(15));
    assert_eq!((looks()?.trim(), &ns.get("app")?["status"]["run"]), ("", &2.into()));
    ns.build("app", &spec)?;
    ns.until("app", "a third build", |b| b["status"]["run"] == 3 && b["status"]["phase"] == "Succeeded")?;
    assert_eq!(cluster.file(&ns.image("app"), "app.txt")?, "third");
    // A server that is away is told, and the image stays ready.
    drop(server);
    let status = ns.until("app", "a failed look", |b| b["status"]["poll"]["failures"].as_i64() > Some(0))?;
    assert!(!status["poll"]["message"].as_str().unwrap_or_default().is_empty());
    let ready = status["conditions"].as_array().context("none")?.iter().find(|c| c["type"] == "Ready");
    assert_eq!(ready.context("no Ready")?["status"], "True");
    Ok(())
}
