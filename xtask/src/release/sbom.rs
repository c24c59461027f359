//! A bill of materials in SPDX 2.3, from what cargo resolved: every crate that a program is linked from.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Returns the SPDX document of a program of the workspace.
pub(super) fn document(metadata: &Value, program: &str, version: &str) -> Result<Value> {
    let packages: BTreeMap<&str, &Value> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let root = packages
        .iter()
        .find(|(_, package)| package["name"] == program)
        .map(|(id, _)| *id)
        .with_context(|| format!("the workspace has no {program}"))?;
    let edges = edges(metadata);
    let used = reachable(root, &edges);
    let listed: Vec<Value> =
        used.iter().filter_map(|id| packages.get(id)).map(|package| entry(package)).collect();
    let mut relations = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", &reference(packages[root]))];
    for from in &used {
        for to in edges.get(from).into_iter().flatten().filter(|to| used.contains(*to)) {
            relations.push(relation(&reference(packages[from]), "DEPENDS_ON", &reference(packages[to])));
        }
    }
    Ok(json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{program}-{version}"),
        "documentNamespace": format!("https://slipway.dev/spdx/{program}-{version}"),
        // The same input gives the same document.
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: cargo-xtask"]},
        "packages": listed,
        "relationships": relations,
    }))
}

/// Normal dependencies: what is built for tests or by build scripts is not part of the program.
fn edges(metadata: &Value) -> BTreeMap<&str, Vec<&str>> {
    let nodes = metadata["resolve"]["nodes"].as_array().into_iter().flatten();
    nodes
        .filter_map(|node| {
            let normal = node["deps"].as_array().into_iter().flatten().filter(|dep| {
                dep["dep_kinds"].as_array().into_iter().flatten().any(|kind| kind["kind"].is_null())
            });
            Some((node["id"].as_str()?, normal.filter_map(|dep| dep["pkg"].as_str()).collect()))
        })
        .collect()
}

fn reachable<'a>(root: &'a str, edges: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::from([root]);
    let mut todo = vec![root];
    while let Some(id) = todo.pop() {
        todo.extend(edges.get(id).into_iter().flatten().copied().filter(|next| found.insert(next)));
    }
    found
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

fn reference(package: &Value) -> String {
    let plain = |text: &str| text.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '.'), "-");
    format!("SPDXRef-{}-{}", plain(text(package, "name")), plain(text(package, "version")))
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

fn entry(package: &Value) -> Value {
    let (name, version) = (text(package, "name"), text(package, "version"));
    // Old crates write `MIT/Apache-2.0`.
    let licence = text(package, "license").replace('/', " OR ");
    let licence = if licence.is_empty() { "NOASSERTION".to_owned() } else { licence };
    let repository = text(package, "repository");
    json!({
        "SPDXID": reference(package),
        "name": name,
        "versionInfo": version,
        "downloadLocation": if repository.is_empty() { "NOASSERTION" } else { repository },
        "filesAnalyzed": false,
        "licenseConcluded": licence,
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:cargo/{name}@{version}"),
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_is_listed() {
        let package =
            |name: &str| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0"});
        let dep = |to: &str, kind: Value| json!({"pkg": to, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": ["a", "b", "c", "d"].map(package),
            "resolve": {"nodes": [
                {"id": "a", "deps": [dep("b", Value::Null), dep("c", json!("dev"))]},
                {"id": "b", "deps": [dep("d", json!("build"))]},
            ]},
        });
        let document = document(&metadata, "a", "1.0.0").unwrap();
        let names: Vec<&str> =
            document["packages"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(document["packages"][0]["licenseDeclared"], "MIT OR Apache-2.0");
        assert_eq!(document["relationships"].as_array().unwrap().len(), 2);
    }
}
