//! Alert rules and dashboard, by Prometheus' own tool and against the operator's own list of metrics.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use slipway_tests::monitoring::queries;
use slipway_tests::tools::{self, checkout};

const RULES: &str = "charts/slipway/files/rules.yaml";
const TESTS: &str = "tests/monitoring/rules_test.yaml";
const DASHBOARD: &str = "charts/slipway/files/dashboard.json";

fn read(path: &str) -> String {
    std::fs::read_to_string(checkout(path)).unwrap()
}

#[test]
fn alerts_fire_when_they_should() {
    let Some(promtool) = tools::tool("SLIPWAY_PROMTOOL") else { return };
    for words in [["check", "rules", RULES], ["test", "rules", TESTS]] {
        let mut command = Command::new(&promtool);
        let done = tools::run(command.args(&words[..2]).arg(checkout(words[2])), "").unwrap();
        assert!(done.success, "{}", done.said);
    }
}

#[test]
fn every_alert_has_a_case() {
    let rules: Value = serde_yaml::from_str(&read(RULES)).unwrap();
    let tests = read(TESTS);
    let handbook = read("docs/operations.md");
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let alert = rule["alert"].as_str().unwrap();
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} never fires in {TESTS}");
        assert!(handbook.contains(alert), "docs/operations.md says nothing of {alert}");
    }
}

#[test]
fn every_query_of_the_dashboard_is_promql() {
    let Some(promtool) = tools::tool("SLIPWAY_PROMTOOL") else { return };
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let rules: Vec<Value> = queries(&dashboard)
        .iter()
        .enumerate()
        .map(|(at, query)| json!({"record": format!("query_{at}"), "expr": query}))
        .collect();
    assert!(rules.len() > 20, "{}", rules.len());
    let file = std::env::temp_dir().join(format!("slipway-queries-{}.yaml", std::process::id()));
    std::fs::write(&file, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).unwrap();
    let done = tools::run(Command::new(&promtool).args(["check", "rules"]).arg(&file), "").unwrap();
    let _ = std::fs::remove_file(&file);
    assert!(done.success, "{}", done.said);
}

/// The metrics that a text speaks of, without the endings of histograms.
fn metrics(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        if word.starts_with("slipway_") {
            let stem =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
            names.insert(stem.to_owned());
        }
    }
    names
}

#[test]
fn only_metrics_that_the_operator_has_are_asked_for() {
    let served = metrics(&slipway_operator::metrics::reference().unwrap());
    for file in [RULES, DASHBOARD, TESTS] {
        let asked = metrics(&read(file));
        let unknown: Vec<&String> = asked.difference(&served).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}; there are {served:#?}");
    }
    let shown = metrics(&read(DASHBOARD));
    let hidden: Vec<&String> = served.difference(&shown).collect();
    assert!(hidden.is_empty(), "the dashboard does not show {hidden:?}");
}
