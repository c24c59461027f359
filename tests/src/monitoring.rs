//! The queries of a Grafana dashboard, with its variables filled in.

use serde_json::Value;

/// Returns every query of a dashboard's panels, as Prometheus takes it.
pub fn queries(dashboard: &Value) -> Vec<String> {
    dashboard["panels"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .filter_map(|target| target["expr"].as_str())
        .map(|query| query.replace("$namespace", ".*").replace("$__rate_interval", "5m"))
        .collect()
}
