//! Holds a document against the OpenAPI schema of a definition, as strictly as `kubectl apply --validate=strict` does.

use serde_json::Value;

/// Returns what is wrong, each with its path.
pub fn problems(schema: &Value, document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(schema, document, "", &mut found);
    found
}

fn walk(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let mut wrong = |text: String| found.push(format!("{path}: {text}"));
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => true,
    };
    if !fits {
        return wrong(format!("{value} is no {}", schema["type"]));
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        wrong(format!("{value} is none of {allowed:?}"));
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        if schema["maxLength"].as_u64().is_some_and(|most| length > most)
            || schema["minLength"].as_u64().is_some_and(|least| length < least)
        {
            wrong(format!("{text:?} has {length} characters"));
        }
    }
    if let Some(number) = value.as_f64()
        && (schema["maximum"].as_f64().is_some_and(|most| number > most)
            || schema["minimum"].as_f64().is_some_and(|least| number < least))
    {
        wrong(format!("{number} is out of range"));
    }
    if let Some(items) = value.as_array() {
        if schema["maxItems"].as_u64().is_some_and(|most| items.len() as u64 > most) {
            wrong(format!("{} are too many", items.len()));
        }
        for (at, item) in items.iter().enumerate() {
            walk(&schema["items"], item, &format!("{path}[{at}]"), found);
        }
    } else if let Some(fields) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                found.push(format!("{path}: `{name}` is missing"));
            }
        }
        for (name, field) in fields {
            let path = format!("{path}.{name}");
            if let Some(known) = schema["properties"].get(name) {
                walk(known, field, &path, found);
            } else if schema["additionalProperties"].is_object() {
                walk(&schema["additionalProperties"], field, &path, found);
            } else if schema["properties"].is_object()
                && schema["x-kubernetes-preserve-unknown-fields"] != true
            {
                found.push(format!("{path}: there is no such field"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_mistake_is_found() {
        let schema = json!({
            "type": "object", "required": ["name"],
            "properties": {
                "name": {"type": "string", "maxLength": 3, "minLength": 1},
                "mode": {"type": "string", "enum": ["A", "B"]},
                "count": {"type": "integer", "minimum": 1, "maximum": 3, "nullable": true},
                "list": {"type": "array", "maxItems": 1, "items": {"type": "string"}},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "any": {"x-kubernetes-preserve-unknown-fields": true},
            },
        });
        let right = json!({"name": "abc", "mode": "A", "count": null, "list": ["x"], "map": {"k": "v"}, "any": {"a": 1}});
        assert_eq!(problems(&schema, &right), Vec::<String>::new());
        for wrong in [
            json!({}),
            json!({"name": ""}),
            json!({"name": "abcd"}),
            json!({"name": 1}),
            json!({"name": "a", "mode": "C"}),
            json!({"name": "a", "count": 4}),
            json!({"name": "a", "list": ["x", "y"]}),
            json!({"name": "a", "list": [1]}),
            json!({"name": "a", "map": {"k": 1}}),
            json!({"name": "a", "more": 1}),
        ] {
            assert_eq!(problems(&schema, &wrong).len(), 1, "{wrong}");
        }
    }
}
