//! The reference of every field as Markdown, made from the same definition that `kubectl explain` shows.

use std::fmt::Write;

use serde_json::Value;

/// Objects of Kubernetes itself, whose fields its own reference describes.
const FOREIGN: [&str; 3] = ["affinity", "resources", "tolerations"];

/// Returns `docs/resource.md`.
pub fn reference() -> Result<String, serde_json::Error> {
    let definition = serde_json::to_value(crate::definition())?;
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut out = String::from(
        "# ImageBuild\n\n<!-- Made by `cargo xtask gen` from crds/src; do not edit. -->\n\n\
         `apiVersion: slipway.dev/v1alpha1`, `kind: ImageBuild`, short `ib`. The same text is in `kubectl explain imagebuild`.\n",
    );
    for part in ["spec", "status"] {
        let _ = write!(out, "\n## {part}\n\n| field | type | what it is |\n|---|---|---|\n");
        fields(&mut out, part, &schema["properties"][part]);
    }
    out.push_str("\n## Rules\n\nThe API server refuses objects that break one of these:\n\n");
    rules(&mut out, "", schema);
    Ok(out)
}

fn fields(out: &mut String, path: &str, schema: &Value) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let inner = if field["type"] == "array" { &field["items"] } else { field };
        let place = format!("{path}.{name}{}", if field["type"] == "array" { "[]" } else { "" });
        let mut what =
            field["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        if required.contains(&name.as_str()) {
            what.push_str(" **Required.**");
        }
        if let Some(default) = field.get("default").filter(|d| !d.is_object() && **d != Value::Bool(false)) {
            let _ = write!(what, " Default: `{default}`.");
        }
        let _ = writeln!(out, "| `{place}` | {} | {what} |", kind(field));
        if !FOREIGN.contains(&name.as_str()) {
            fields(out, &place, inner);
        }
    }
}

fn kind(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        let words: Vec<String> = values.iter().filter_map(Value::as_str).map(|v| format!("`{v}`")).collect();
        return words.join(", ");
    }
    match field["type"].as_str() {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => "map".into(),
        Some(other) => other.into(),
        None => "number or string".into(),
    }
}

fn rules(out: &mut String, path: &str, schema: &Value) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let place =
            if path.is_empty() { String::new() } else { format!("`{}`: ", path.trim_start_matches('.')) };
        let _ = writeln!(out, "- {place}{}", rule["message"].as_str().unwrap_or_default());
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let array = field["type"] == "array";
        let inner = if array { &field["items"] } else { field };
        rules(out, &format!("{path}.{name}{}", if array { "[]" } else { "" }), inner);
    }
}
