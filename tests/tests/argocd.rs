//! Argo CD's view of an ImageBuild: the Lua of docs/gitops/argocd, run by Argo's interpreter on statuses read from a cluster.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use slipway_tests::tools::{self, checkout};

const FOLDER: &str = "docs/gitops/argocd";

fn read(path: &str) -> String {
    let path = checkout(FOLDER).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap()
}

/// Runs a script on an object.
fn run(lua: &Path, script: &str, object: &Value) -> Value {
    let order = json!({"script": read(script), "object": object}).to_string();
    let done = tools::run(&mut Command::new(lua), &order).unwrap();
    assert!(done.success, "{script} fails: {}", done.said);
    serde_json::from_str(&done.said).unwrap()
}

fn lua() -> Option<PathBuf> {
    tools::tool("SLIPWAY_LUA")
}

#[test]
fn health_is_what_the_conditions_say() {
    let Some(lua) = lua() else { return };
    let cases = yaml("health_test.yaml");
    let mut seen = BTreeSet::new();
    for case in cases["tests"].as_array().unwrap() {
        let input = case["inputPath"].as_str().unwrap();
        seen.insert(input.to_owned());
        let health = run(&lua, "health.lua", &yaml(input));
        assert_eq!(health, case["healthStatus"], "{input}");
    }
    let there = std::fs::read_dir(checkout(FOLDER).join("testdata")).unwrap();
    let there: BTreeSet<String> =
        there.map(|entry| format!("testdata/{}", entry.unwrap().file_name().to_string_lossy())).collect();
    assert_eq!(seen, there, "every status has a case");
}

#[test]
fn a_status_of_an_older_spec_is_not_believed() {
    let Some(lua) = lua() else { return };
    let mut build = yaml("testdata/succeeded.yaml");
    build["metadata"]["generation"] = json!(build["metadata"]["generation"].as_i64().unwrap() + 1);
    assert_eq!(run(&lua, "health.lua", &build)["status"], "Progressing");
    let mut build = yaml("testdata/failed.yaml");
    build["metadata"]["generation"] = json!(build["metadata"]["generation"].as_i64().unwrap() + 1);
    assert_eq!(run(&lua, "health.lua", &build)["status"], "Progressing");
}

#[test]
fn actions_are_offered_where_they_make_sense() {
    let Some(lua) = lua() else { return };
    for case in yaml("actions/action_test.yaml")["discoveryTests"].as_array().unwrap() {
        let input = case["inputPath"].as_str().unwrap();
        let offered = run(&lua, "actions/discovery.lua", &yaml(input));
        let mut expected = json!({});
        for action in case["result"].as_array().unwrap() {
            expected[action["name"].as_str().unwrap()] =
                json!({"disabled": action["disabled"], "iconClass": action["iconClass"]});
        }
        assert_eq!(offered, expected, "{input}");
    }
}

#[test]
fn actions_change_what_they_name_and_nothing_else() {
    let Some(lua) = lua() else { return };
    let before = yaml("testdata/succeeded.yaml");
    for (action, suspend) in [("suspend", true), ("resume", false)] {
        let after = run(&lua, &format!("actions/{action}/action.lua"), &before);
        assert_eq!(after["spec"]["suspend"], suspend, "{action}");
        assert_eq!(after["spec"]["dockerfile"], before["spec"]["dockerfile"]);
        assert_eq!(after["metadata"]["name"], before["metadata"]["name"]);
    }
    let after = run(&lua, "actions/rebuild/action.lua", &before);
    let asked = after["metadata"]["annotations"]["slipway.dev/rebuild"].as_str().unwrap();
    assert!(asked.len() >= 20 && asked.ends_with('Z'), "{asked}");
    assert_eq!(after["spec"], before["spec"]);
}

#[test]
fn the_patch_for_argocd_holds_the_same_lua() {
    let patch = yaml("argocd-cm.yaml");
    let data = &patch["data"];
    assert_eq!(data["resource.customizations.health.slipway.dev_ImageBuild"], read("health.lua"));
    let actions = data["resource.customizations.actions.slipway.dev_ImageBuild"].as_str().unwrap();
    let actions: Value = serde_yaml::from_str(actions).unwrap();
    assert_eq!(actions["discovery.lua"], read("actions/discovery.lua"));
    for action in actions["definitions"].as_array().unwrap() {
        let name = action["name"].as_str().unwrap();
        assert_eq!(action["action.lua"], read(&format!("actions/{name}/action.lua")));
    }
}
