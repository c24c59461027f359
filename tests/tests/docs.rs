//! The documentation is checked like code: links lead somewhere, resources are valid, values exist.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use slipway_crds::ImageBuild;
use slipway_crds::validate::{Defaults, validate};
use slipway_tests::docs::{all_blocks, blocks, calls, files};
use slipway_tests::tools::checkout;

/// The targets of `[text](target)` and `src="target"` in prose, code left out.
fn links(prose: &str) -> Vec<String> {
    let mut found = Vec::new();
    let plain: String = prose.split('`').step_by(2).collect();
    for rest in plain.split("](").skip(1) {
        found.extend(
            rest.split(')').next().map(|target| target.split(' ').next().unwrap_or(target).to_owned()),
        );
    }
    found
}

/// A heading's anchor, as the usual renderers make it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let (_, prose) = blocks(file, &text);
    prose.lines().filter(|l| l.starts_with('#')).map(|l| anchor(l.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        for link in links(&blocks(&file, &text).1) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            let is_text = target.extension().is_some_and(|ending| ending == "md");
            if !target.exists() || (is_text && !fragment.is_empty() && !anchors(&target).contains(fragment)) {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_index_names_every_page() {
    let index = std::fs::read_to_string(checkout("docs/README.md")).unwrap();
    let decisions = std::fs::read_to_string(checkout("docs/adr/README.md")).unwrap();
    for (folder, text) in [("docs", &index), ("docs/moving", &index), ("docs/adr", &decisions)] {
        for entry in std::fs::read_dir(checkout(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let page =
                Path::new(&name).extension().is_some_and(|ending| ending == "md") && name != "README.md";
            assert!(
                !page || text.contains(&format!("{name})")) || text.contains(&format!("{name}#")),
                "{folder}/{name}"
            );
        }
    }
}

/// Returns the paths of `given` that reading it as a resource lost: fields that do not exist.
fn unknown(given: &Value, read: &Value, path: &str, lost: &mut Vec<String>) {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => {
            for (key, value) in given {
                let path = format!("{path}.{key}");
                match read.get(key) {
                    Some(inner) => unknown(value, inner, &path, lost),
                    // What is empty or the default may be left out.
                    None if *value == Value::Bool(false) || *value == serde_json::json!({}) => {}
                    None => lost.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(read)) => {
            given.iter().zip(read).for_each(|(given, read)| unknown(given, read, path, lost));
        }
        _ => {}
    }
}

fn check(place: &str, object: &Value) {
    let build: ImageBuild =
        serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let mut lost = Vec::new();
    unknown(&object["spec"], &serde_json::to_value(&build.spec).unwrap(), "spec", &mut lost);
    assert!(lost.is_empty(), "{place}: no such fields: {lost:?}");
    let defaults = Defaults { registry: "registry.example".into(), ..Defaults::default() };
    if let Err(problems) = validate(&build.spec, &defaults) {
        panic!("{place}: {problems:?}");
    }
}

fn documents(text: &str) -> Result<Vec<Value>, serde_yaml::Error> {
    serde_yaml::Deserializer::from_str(text).map(Value::deserialize).collect()
}

#[test]
fn every_resource_is_valid() {
    let mut count = 0;
    for block in all_blocks().iter().filter(|block| block.language == "yaml") {
        let documents = documents(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.place));
        for object in documents.iter().filter(|object| object["kind"] == "ImageBuild") {
            check(&block.place, object);
            count += 1;
        }
    }
    assert!(count >= 8, "{count}");
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("imagebuild.yaml")) {
            found.push(path);
        }
    }
}

#[test]
fn every_example_is_valid() {
    let mut found = Vec::new();
    yaml_files(&checkout("examples"), &mut found);
    assert!(!found.is_empty());
    for file in found {
        let place = file.display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        for object in documents(&text).unwrap_or_else(|error| panic!("{place}: {error}")) {
            if object["kind"] == "ImageBuild" {
                check(&place, &object);
            }
        }
    }
}

#[test]
fn every_value_of_the_chart_that_is_set_exists() {
    let values: Value =
        serde_yaml::from_str(&std::fs::read_to_string(checkout("charts/slipway/values.yaml")).unwrap())
            .unwrap();
    let mut count = 0;
    for (place, words) in calls("helm") {
        let set = words.iter().zip(words.iter().skip(1)).filter(|(flag, _)| flag.starts_with("--set"));
        for name in set.filter_map(|(_, setting)| setting.split('=').next()) {
            let found = name.split('.').try_fold(&values, |value, key| value.get(key));
            assert!(found.is_some(), "{place}: the chart has no value {name}");
            count += 1;
        }
    }
    assert!(count >= 6, "{count}");
}

#[test]
fn breaking_a_resource_is_noticed() {
    let good = serde_json::json!({"kind": "ImageBuild", "apiVersion": "slipway.dev/v1alpha1", "metadata": {"name": "a"},
        "spec": {"dockerfile": {"inline": "FROM scratch"}, "images": [{"name": "a"}]}});
    check("good", &good);
    let mut bad = good.clone();
    bad["spec"]["images"][0]["tag"] = "latest".into();
    assert!(std::panic::catch_unwind(|| check("bad", &bad)).is_err());
    let mut bad = good;
    bad["spec"]["timeout"] = "soon".into();
    assert!(std::panic::catch_unwind(|| check("bad", &bad)).is_err());
}
