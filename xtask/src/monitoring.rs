//! A real Prometheus scrapes a real operator while it builds: every query of the dashboard and every alert rule is asked.

use std::{net::TcpListener, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    bases, chart,
    cluster::Access,
    host::{
        command::{Run, wait_until},
        daemon::Daemon,
        debian, folders,
    },
    install,
};

const NAMESPACE: &str = "slipway-monitoring";

/// Queries that have nothing to show when all goes well and no git source is watched.
const MAY_BE_EMPTY: [&str; 4] = [
    "slipway_build_retries_total",
    "slipway_reconcile_errors_total",
    "slipway_registry_retries_total",
    "slipway_source_polls_total",
];

/// Shows dashboard and rules on metrics of real builds.
pub(crate) fn run(access: &Access, options: &install::Options) -> Result<()> {
    bases::ensure(access, &["busybox", "debian"])?;
    let program = debian::program("prometheus", "prometheus")?;
    options.ensure(access)?;
    access.kubectl(["delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true"])?;
    access.create_baseline_namespace(NAMESPACE)?;
    let state = folders::cache()?.join("monitoring");
    if state.exists() {
        std::fs::remove_dir_all(&state).context("failed to delete what an earlier run left")?;
    }
    folders::make(&state)?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let prometheus = start(access, &program, &state, &address)?;
    let outcome = builds(access).and_then(|()| ask(&address));
    let words = prometheus.last_words();
    prometheus.stop(Duration::from_secs(10))?;
    if outcome.is_err() {
        println!("== the last words of Prometheus\n{words}");
        return outcome;
    }
    access.kubectl(["delete", "namespace", NAMESPACE, "--wait=false"]).map(drop)
}

fn start(access: &Access, program: &Path, state: &Path, address: &str) -> Result<Daemon> {
    let pods = access.kubectl([
        "get",
        "pods",
        "--namespace",
        install::NAMESPACE,
        "--selector=app.kubernetes.io/name=slipway,app.kubernetes.io/component!=test",
        "--field-selector=status.phase=Running",
        "--output=jsonpath={range .items[*]}{.status.podIP}{\"\\n\"}{end}",
    ])?;
    let targets: Vec<String> = pods.lines().map(|ip| format!("{ip}:8080")).collect();
    ensure!(!targets.is_empty(), "there is no operator to scrape");
    let configuration = json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [chart::folder().join("files/rules.yaml")],
        "scrape_configs": [{"job_name": "slipway", "honor_labels": true, "static_configs": [{"targets": targets}]}],
    });
    let file = state.join("prometheus.json");
    folders::write(&file, configuration.to_string())?;
    let daemon = Daemon::new(state, "prometheus");
    daemon.ensure(program, |command| {
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", state.join("data").display()))
            .arg(format!("--web.listen-address={address}"));
    })?;
    wait_until("Prometheus", Duration::from_mins(1), || {
        Ok(query(address, "up")?.as_array().is_some_and(|found| found.len() == targets.len()))
    })?;
    Ok(daemon)
}

/// Builds that succeed, that come from the cache, and that fail.
fn builds(access: &Access) -> Result<()> {
    let token = std::process::id();
    for (name, command, expected) in [
        ("first", format!("echo {token} > /made"), "Succeeded"),
        ("cached", format!("echo {token} > /made"), "Succeeded"),
        ("broken", "exit 7".to_owned(), "Failed"),
    ] {
        let inline =
            format!("FROM busybox AS work\nRUN {command}\nFROM scratch\nCOPY --from=work /made /made\n");
        let object = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"dockerfile": {"inline": inline}, "images": [{"name": format!("monitoring/{name}")}]},
        });
        access.create(&object, &[])?;
        wait_until(&format!("the end of {name}"), Duration::from_mins(5), || {
            let query = "--output=jsonpath={.status.phase}";
            Ok(access.kubectl(["get", "imagebuild", name, "--namespace", NAMESPACE, query])? == expected)
        })?;
        println!("   {name}: {expected}");
    }
    Ok(())
}

/// Asks everything that the dashboard asks, and whether the rules are sound.
fn ask(address: &str) -> Result<()> {
    wait_until("the last build's metrics", Duration::from_mins(1), || {
        let failed =
            query(address, &format!("slipway_builds_total{{namespace=\"{NAMESPACE}\",result=\"Failed\"}}"))?;
        Ok(failed[0]["value"][1] == "1")
    })?;
    let dashboard: Value = serde_json::from_str(
        &std::fs::read_to_string(chart::folder().join("files/dashboard.json")).context("no dashboard")?,
    )?;
    let mut answered = 0;
    let targets = dashboard["panels"].as_array().into_iter().flatten();
    for target in targets.flat_map(|panel| panel["targets"].as_array().into_iter().flatten()) {
        let asked = target["expr"].as_str().context("a target without a query")?;
        let asked = asked.replace("$namespace", NAMESPACE).replace("$__rate_interval", "5m");
        let found = query(address, &asked)?;
        let empty = found.as_array().is_none_or(Vec::is_empty);
        let may = MAY_BE_EMPTY.iter().any(|metric| asked.contains(metric));
        ensure!(!empty || may, "the dashboard shows nothing for {asked}");
        answered += u32::from(!empty);
    }
    println!("   ok      {answered} queries of the dashboard have an answer");

    let rules = get(address, "/api/v1/rules", None)?;
    let rules = rules["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
    ensure!(rules.len() >= 7, "Prometheus knows {} rules", rules.len());
    for rule in &rules {
        ensure!(rule["health"] == "ok", "{} is not sound: {}", rule["name"], rule["lastError"]);
        ensure!(rule["state"] != "firing", "{} fires though nothing is wrong for long", rule["name"]);
    }
    println!("   ok      {} alert rules are evaluated and quiet", rules.len());
    Ok(())
}

fn query(address: &str, text: &str) -> Result<Value> {
    let answer = get(address, "/api/v1/query", Some(text))?;
    ensure!(answer["status"] == "success", "Prometheus refuses {text}: {answer}");
    Ok(answer["data"]["result"].clone())
}

fn get(address: &str, path: &str, query: Option<&str>) -> Result<Value> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "20", "--noproxy", "*", "--get"]);
    if let Some(query) = query {
        curl.args(["--data-urlencode", &format!("query={query}")]);
    }
    let text = curl.arg(format!("http://{address}{path}")).text()?;
    serde_json::from_str(&text).with_context(|| format!("Prometheus answers {text}"))
}
