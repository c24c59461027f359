//! Schemas for kubeconform, made offline: of Kubernetes from its OpenAPI document, of other kinds from their definitions.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::host::{folders, modules};

/// Raised when the way in which schemas are made changes.
const FORM: u32 = 1;

/// The kinds of the Prometheus operator that the chart makes.
const MONITORING: [&str; 3] = ["servicemonitors", "podmonitors", "prometheusrules"];

/// Returns the folder of schemas, made now if they were not yet.
pub(super) fn ensure() -> Result<PathBuf> {
    let kubernetes = modules::KUBERNETES.folder()?;
    let monitoring = modules::PROMETHEUS_OPERATOR.folder()?;
    let finished = folders::cache()?.join(format!("parts/schemas-{FORM}"));
    if !finished.is_dir() {
        let scratch = finished.with_extension("unfinished");
        folders::make(&scratch)?;
        let document: Value =
            serde_json::from_str(&read(&kubernetes.join("api/openapi-spec/swagger.json"))?)?;
        of_kubernetes(&document, &scratch)?;
        for plural in MONITORING {
            let file = format!("example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml");
            of_definition(&read(&monitoring.join(file))?, &scratch)?;
        }
        fs::rename(&scratch, &finished)?;
    }
    // Our own may change with every line of code.
    of_definition(&read(&folders::checkout().join("crds/imagebuilds.yaml"))?, &finished)?;
    Ok(finished)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))
}

/// Writes a schema for every kind of the API, each with the definitions that it refers to.
fn of_kubernetes(document: &Value, folder: &Path) -> Result<()> {
    let all = document["definitions"].as_object().context("the OpenAPI document has no definitions")?;
    for (name, definition) in all {
        for kind in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let text = |key: &str| kind[key].as_str().unwrap_or_default().to_lowercase();
            let mut used = BTreeSet::new();
            gather(definition, all, &mut used);
            let definitions: Map<String, Value> =
                used.into_iter().filter_map(|name| Some((name.clone(), strict(all.get(&name)?)))).collect();
            let mut schema = strict(definition);
            schema["definitions"] = Value::Object(definitions);
            let group = text("group");
            let group = group.split('.').next().unwrap_or_default();
            let suffix =
                if group.is_empty() { text("version") } else { format!("{group}-{}", text("version")) };
            let file = folder.join(format!("{}-{suffix}.json", text("kind")));
            folders::write(&file, schema.to_string()).with_context(|| format!("the schema of {name}"))?;
        }
    }
    Ok(())
}

/// Notes the names of all definitions below a schema.
fn gather(schema: &Value, all: &Map<String, Value>, used: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(name) =
                map.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/definitions/"))
                && used.insert(name.to_owned())
                && let Some(definition) = all.get(name)
            {
                gather(definition, all, used);
            }
            map.values().for_each(|inner| gather(inner, all, used));
        }
        Value::Array(list) => list.iter().for_each(|inner| gather(inner, all, used)),
        _ => {}
    }
}

/// Returns a schema that takes no field that it does not know, and amounts and ports as numbers or text.
fn strict(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            let mut made: Map<String, Value> =
                map.iter().map(|(key, inner)| (key.clone(), strict(inner))).collect();
            let number_or_text = map.get("format").is_some_and(|format| format == "int-or-string")
                || map
                    .get("description")
                    .and_then(Value::as_str)
                    .is_some_and(|d| d.starts_with("Quantity is"))
                || map.get("x-kubernetes-int-or-string").is_some_and(|yes| yes == true);
            if number_or_text {
                made.remove("format");
                made.remove("pattern");
                made.insert("type".into(), json!(["string", "number"]));
            }
            let known = made.get("properties").is_some_and(Value::is_object);
            let open = map.get("x-kubernetes-preserve-unknown-fields").is_some_and(|yes| yes == true);
            if known && !open && !made.contains_key("additionalProperties") {
                made.insert("additionalProperties".into(), json!(false));
            }
            Value::Object(made)
        }
        Value::Array(list) => Value::Array(list.iter().map(strict).collect()),
        other => other.clone(),
    }
}

/// Writes a schema for each version of a CustomResourceDefinition.
fn of_definition(yaml: &str, folder: &Path) -> Result<()> {
    let definition: Value = serde_yaml::from_str(yaml).context("a CustomResourceDefinition is no YAML")?;
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    let group = text(&spec["group"]);
    let group = group.split('.').next().unwrap_or_default();
    for version in spec["versions"].as_array().into_iter().flatten() {
        let mut schema = strict(&version["schema"]["openAPIV3Schema"]);
        // The API server adds these to every kind.
        schema["properties"]["apiVersion"] = json!({"type": "string"});
        schema["properties"]["kind"] = json!({"type": "string"});
        schema["properties"]["metadata"] = json!({"type": "object"});
        let file =
            folder.join(format!("{}-{group}-{}.json", text(&spec["names"]["kind"]), text(&version["name"])));
        folders::write(&file, schema.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strict_schema_refuses_what_it_does_not_know() {
        let made = strict(&json!({
            "properties": {
                "port": {"format": "int-or-string", "type": "string"},
                "labels": {"additionalProperties": {"type": "string"}, "type": "object"},
                "free": {"properties": {"a": {}}, "x-kubernetes-preserve-unknown-fields": true},
            },
        }));
        assert_eq!(made["additionalProperties"], false);
        assert_eq!(made["properties"]["port"]["type"], json!(["string", "number"]));
        assert_eq!(made["properties"]["labels"]["additionalProperties"]["type"], "string");
        assert!(made["properties"]["free"]["additionalProperties"].is_null());
    }

    #[test]
    fn references_are_followed_once() {
        let all = json!({"a": {"$ref": "#/definitions/b"}, "b": {"items": {"$ref": "#/definitions/a"}}});
        let mut used = BTreeSet::new();
        gather(&json!({"$ref": "#/definitions/a"}), all.as_object().unwrap(), &mut used);
        assert_eq!(used.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
