//! The tags of docs/gitops.md, as image automation reads them: its templates are built, its patterns are applied.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use slipway_tests::cluster::{Cluster, Namespace};
use slipway_tests::repository::Repository;
use slipway_tests::tools::{checkout, run};
use slipway_tests::web::{Options, WebServer};

/// Returns what stands between two marks, wherever the first of them is found.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    let parts = text.split(before).skip(1);
    parts.filter_map(|part| part.split_once(after).map(|(inside, _)| inside)).collect()
}

/// Returns the only one of what may stand several times in the page.
fn one(mut found: Vec<&str>) -> Result<&str> {
    found.sort_unstable();
    found.dedup();
    ensure!(found.len() == 1, "the page has {found:?}");
    Ok(found[0])
}

/// Keeps the lines that match, by the one tool at hand that knows named groups.
fn matching(pattern: &str, lines: &str) -> Result<Vec<String>> {
    let done = run(Command::new("grep").args(["--perl-regexp", "--", pattern]), lines)?;
    Ok(done.said.lines().map(str::to_owned).collect())
}

/// Builds twice, with a commit between, and returns the digests.
fn build_twice(ns: &Namespace, repository: &Repository, spec: &str) -> Result<[String; 2]> {
    let digest = |status: &serde_json::Value| {
        status["digest"].as_str().map(str::to_owned).context("an image without digest")
    };
    ns.build("shop", spec)?;
    let first = digest(&ns.succeeded("shop")?)?;
    // Times in tags are whole seconds.
    std::thread::sleep(std::time::Duration::from_secs(2));
    repository.commit(&[("app.txt", "second")])?;
    ns.rebuild("shop", "again")?;
    Ok([first, digest(&ns.succeeded("shop")?)?])
}

#[test]
fn the_newest_image_has_the_highest_tag() -> Result<()> {
    let page = std::fs::read_to_string(checkout("docs/gitops.md"))?;
    let templates = between(&page, "[\"", "\"]");
    let flux = one(templates.iter().copied().filter(|t| t.ends_with("{{unixTime}}")).collect())?;
    let argo = one(templates.iter().copied().filter(|t| t.starts_with("{{unixTime}}")).collect())?;
    let pattern = one(between(&page, "pattern: '", "'"))?;
    let allowed = one(between(&page, "allow-tags: 'regexp:", "'"))?;

    let cluster = Cluster::here()?;
    let ns = cluster.namespace("restricted")?;
    let server = WebServer::start(cluster.host()?, "tags", Options::default())?;
    let repository = Repository::create(server.folder(), "shop")?;
    repository.commit(&[("Dockerfile", "FROM scratch\nCOPY app.txt /\n"), ("app.txt", "first")])?;
    let spec = format!(
        "{{source: {{git: {{url: '{}/git/shop.git', ref: {{branch: main}}}}}}, \
         images: [{{name: REPO/shop, tags: ['{flux}', '{argo}', latest]}}]}}",
        server.url
    );
    let [first, second] = build_twice(&ns, &repository, &spec)?;
    assert_ne!(first, second);

    let image = ns.image("shop");
    let tags = cluster.crane(&["ls", &image])?;
    let digest = |tag: &str| cluster.crane(&["digest", &format!("{image}:{tag}")]);
    // `policy: {numerical: {order: asc}}` on the group `time`, which stands last.
    let mut numerical = matching(pattern, &tags)?;
    assert_eq!(numerical.len(), 2, "{pattern} in {tags}");
    numerical.sort_by_key(|tag| tag.rsplit('-').next().and_then(|time| time.parse::<u64>().ok()));
    assert_eq!([digest(&numerical[0])?.trim(), digest(&numerical[1])?.trim()], [&first, &second]);
    // `update-strategy: alphabetical` takes the last of the sorted tags.
    let mut alphabetical = matching(allowed, &tags)?;
    assert_eq!(alphabetical.len(), 2, "{allowed} in {tags}");
    alphabetical.sort();
    assert_eq!([digest(&alphabetical[0])?.trim(), digest(&alphabetical[1])?.trim()], [&first, &second]);
    Ok(())
}
