//! Runs `helm template` and finds objects in what it made.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;
use slipway_tests::tools::{self, Done, checkout};

/// Helm with the chart.
pub(crate) struct Chart(PathBuf);

/// What the chart made.
pub(crate) struct Objects(Vec<Value>);

/// Returns the chart where there is a helm.
pub(crate) fn chart() -> Option<Chart> {
    tools::tool("SLIPWAY_HELM").map(Chart)
}

impl Chart {
    /// Renders the chart with values given as YAML.
    pub(crate) fn render(&self, values: &str) -> Objects {
        let done = self.run(values);
        assert!(done.success, "helm refuses {values}: {}", done.said);
        let objects: Vec<Value> = serde_yaml::Deserializer::from_str(&done.said)
            .map(|document| Value::deserialize(document).unwrap())
            .filter(|object| !object.is_null())
            .collect();
        Objects(objects)
    }

    /// Returns what helm says against values that it must refuse.
    pub(crate) fn refusal(&self, values: &str) -> String {
        let done = self.run(values);
        assert!(!done.success, "helm takes {values}");
        done.said
    }

    fn run(&self, values: &str) -> Done {
        let mut helm = Command::new(&self.0);
        helm.args(["template", "yard"]).arg(checkout("charts/slipway")).args([
            "--namespace",
            "system",
            "--values",
            "-",
        ]);
        tools::run(&mut helm, values).unwrap()
    }
}

impl Objects {
    /// Returns the object of a kind with a name.
    pub(crate) fn get(&self, kind: &str, name: &str) -> &Value {
        self.find(kind, name).unwrap_or_else(|| panic!("no {kind} {name} among {:#?}", self.names()))
    }

    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        self.0.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
    }

    /// Returns all objects of a kind.
    pub(crate) fn all(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// Returns `Kind name` of every object.
    pub(crate) fn names(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.0.iter().map(|o| format!("{} {}", text(&o["kind"]), text(&o["metadata"]["name"]))).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }
}
