//! The chart's `values.yaml` read with its comments: a strict schema, and the table of its README.
//!
//! The comment above a value describes it. A line `# @ {…}` in it narrows its schema, and makes a map one value instead of a
//! section. Everything else follows from the default: its type, and that nothing is taken that is not known.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// One value with what its comment says.
struct Entry {
    path: Vec<String>,
    description: String,
    narrowed: Map<String, Value>,
    default: Value,
}

/// Reads the values in the order of the file; sections without a comment of their own are left out.
fn entries(text: &str) -> Result<Vec<Entry>> {
    let defaults: Value = serde_yaml::from_str(text).context("values.yaml is no YAML")?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    // The depth of the value whose insides are no values of their own.
    let mut inside: Option<usize> = None;
    for line in text.lines() {
        let words = line.trim_start();
        if words.is_empty() {
            comment.clear();
            continue;
        }
        if let Some(said) = words.strip_prefix('#') {
            comment.push(said.trim());
            continue;
        }
        let Some((key, _)) = words.split_once(':') else { continue };
        let depth = (line.len() - words.len()) / 2;
        if inside.is_some_and(|outer| depth > outer) {
            continue;
        }
        path.truncate(depth);
        path.push(key.to_owned());
        inside = None;
        let shown = path.join(".");
        let default = path.iter().try_fold(&defaults, |value, key| value.get(key));
        let default =
            default.with_context(|| format!("values.yaml: `{shown}` is not where it seems"))?.clone();
        let mut narrowed = Map::new();
        let mut sentences = Vec::new();
        for said in comment.drain(..) {
            match said.strip_prefix("@ ") {
                None => sentences.push(said),
                Some(fragment) => {
                    let fragment: Map<String, Value> = serde_yaml::from_str(fragment)
                        .with_context(|| format!("values.yaml: the schema of `{shown}`"))?;
                    narrowed.extend(fragment);
                }
            }
        }
        let section = default.as_object().is_some_and(|map| !map.is_empty()) && narrowed.is_empty();
        ensure!(section || !sentences.is_empty(), "values.yaml: `{shown}` has no comment");
        if !section {
            inside = Some(depth);
        }
        if !section || !sentences.is_empty() {
            entries.push(Entry { path: path.clone(), description: sentences.join(" "), narrowed, default });
        }
    }
    Ok(entries)
}

impl Entry {
    fn is_section(&self) -> bool {
        self.narrowed.is_empty() && self.default.as_object().is_some_and(|map| !map.is_empty())
    }

    /// Returns the schema of a value: its type from the default, narrowed by the comment.
    fn schema(&self) -> Result<Value> {
        let shown = self.path.join(".");
        if let Some(name) = self.narrowed.get("$ref").and_then(Value::as_str) {
            return Ok(
                json!({"description": self.description, "allOf": [{"$ref": format!("#/definitions/{name}")}]}),
            );
        }
        let kind = match &self.default {
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Null => bail!("values.yaml: `{shown}` needs a default"),
        };
        let needed = match kind {
            "array" => Some("items"),
            "object" => Some("additionalProperties"),
            _ => None,
        };
        if let Some(needed) = needed.filter(|needed| !self.narrowed.contains_key(*needed)) {
            bail!("values.yaml: `{shown}` needs `# @ {{{needed}: …}}`, or it would take anything");
        }
        let mut schema = json!({"description": self.description, "type": kind, "default": self.default});
        if let Some(map) = schema.as_object_mut() {
            map.extend(self.narrowed.clone());
        }
        Ok(schema)
    }
}

/// Returns `values.schema.json`.
pub(super) fn schema(text: &str) -> Result<String> {
    let mut root = object();
    root["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    root["title"] = json!("Values of the Slipway chart");
    // Helm gives this to every chart that another one contains.
    root["properties"]["global"] = json!({"type": "object"});
    root["definitions"] = json!({"resources": {
        "type": "object",
        "additionalProperties": false,
        "properties": {"requests": amounts(), "limits": amounts()},
    }});
    for entry in entries(text)? {
        let mut place = &mut root;
        for key in &entry.path[..entry.path.len() - 1] {
            place = &mut place["properties"][key];
            if place.is_null() {
                *place = object();
            }
        }
        let Some(last) = entry.path.last() else { continue };
        place["properties"][last] = if entry.is_section() {
            let mut section = object();
            section["description"] = json!(entry.description);
            section
        } else {
            entry.schema()?
        };
    }
    Ok(format!("{}\n", serde_json::to_string_pretty(&root)?))
}

fn object() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {}})
}

fn amounts() -> Value {
    json!({"type": "object", "additionalProperties": {"type": ["string", "number"]}})
}

const BEGIN: &str = "<!-- values: made by `cargo xtask gen` from values.yaml -->\n";
const END: &str = "<!-- /values -->\n";

/// Returns the chart's README with the table of its values renewed.
pub(super) fn readme(readme: &str, text: &str) -> Result<String> {
    let (head, rest) = readme.split_once(BEGIN).context("the chart's README has no place for its values")?;
    let (_, tail) = rest.split_once(END).context("the place for values in the chart's README has no end")?;
    let mut table = String::from("\n| value | default | what it is |\n|---|---|---|\n");
    for entry in entries(text)? {
        let name = entry.path.join(".");
        let description = entry.description.replace('|', "\\|");
        if entry.is_section() {
            writeln!(table, "| **`{name}`** | | {description} |")?;
        } else {
            let default = serde_json::to_string(&entry.default)?.replace('|', "\\|");
            writeln!(table, "| `{name}` | `{default}` | {description} |")?;
        }
    }
    Ok(format!("{head}{BEGIN}{table}\n{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "\
# About the file.

# A section.
one:
  # A number.
  # @ {minimum: 1}
  two: 2
  # A map that is one value.
  # @ {additionalProperties: {type: string}}
  three:
    inner: text
four:
  # Text.
  five: \"\"
";

    #[test]
    fn a_schema_knows_every_value_and_takes_no_other() {
        let schema: Value = serde_json::from_str(&schema(VALUES).unwrap()).unwrap();
        let one = &schema["properties"]["one"];
        assert_eq!(one["properties"]["two"]["minimum"], 1);
        assert_eq!(one["properties"]["two"]["type"], "integer");
        assert_eq!(one["properties"]["three"]["default"]["inner"], "text");
        assert!(one["properties"]["three"]["properties"].is_null());
        assert_eq!(schema["properties"]["four"]["additionalProperties"], false);
        assert_eq!(schema["properties"]["four"]["properties"]["five"]["type"], "string");
    }

    #[test]
    fn a_table_stands_between_its_marks() {
        let old = format!("before\n{BEGIN}old\n{END}after\n");
        let new = readme(&old, VALUES).unwrap();
        assert!(new.contains("| `one.two` | `2` | A number. |") && !new.contains("old"), "{new}");
        assert_eq!(readme(&new, VALUES).unwrap(), new);
    }

    #[test]
    fn what_has_no_comment_or_takes_anything_is_refused() {
        assert!(schema("one: 1\n").unwrap_err().to_string().contains("has no comment"));
        assert!(schema("# A list.\none: []\n").unwrap_err().to_string().contains("items"));
    }
}
