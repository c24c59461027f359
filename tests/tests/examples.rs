//! What users copy: the examples, and the blocks of the documents that show Dockerfiles and ImageBuilds.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use slipway_crds::validate::{Defaults, validate};
use slipway_crds::{ImageBuild, definition};
use slipway_dockerfile::check::{CheckInput, Ignore, check};
use slipway_dockerfile::diagnostic::Severity;
use slipway_dockerfile::pattern::IgnoreFile;
use slipway_dockerfile::render::Renderer;
use slipway_graph::{Outline, Request, outline};
use slipway_tests::schema;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn examples() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(checkout().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() > 10, "the examples are gone");
    folders
}

/// Plans a Dockerfile for targets, without any registry.
fn plan(place: &str, text: &str, targets: &[String]) -> Outline {
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    let mut request = Request::new("linux/amd64".parse().unwrap());
    request.targets = targets.to_vec();
    let show = |problems: &[slipway_dockerfile::diagnostic::Diagnostic]| {
        Renderer::new(place, text).render_all(problems)
    };
    let errors: Vec<_> =
        parsed.diagnostics.iter().filter(|found| found.severity == Severity::Error).cloned().collect();
    assert!(errors.is_empty(), "{}", show(&errors));
    outline(&parsed.file, &parsed.source, &request).unwrap_or_else(|problems| panic!("{}", show(&problems)))
}

/// Holds an ImageBuild against its types, its schema and what the operator asks of it; returns its targets.
fn image_build(place: &str, text: &str) -> Vec<String> {
    let document: Value = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{place}: {error}"));
    let definition = serde_json::to_value(definition()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let spec = schema::problems(&schema["properties"]["spec"], &document["spec"]);
    assert!(spec.is_empty(), "{place}: {spec:?}");
    assert_eq!(document["apiVersion"], "slipway.dev/v1alpha1", "{place}");
    let build: ImageBuild = serde_json::from_value(document).unwrap();
    let defaults = Defaults { registry: "registry.example".into(), ..Defaults::default() };
    let valid = validate(&build.spec, &defaults).unwrap_or_else(|problems| panic!("{place}: {problems:?}"));
    valid.images.iter().map(|image| image.target.clone()).filter(|target| !target.is_empty()).collect()
}

#[test]
fn every_example_is_complete_and_nothing_is_to_be_said_about_its_dockerfile() {
    for folder in examples() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(folder.join("Dockerfile")).unwrap();
        let ignore = fs::read_to_string(folder.join(".dockerignore")).unwrap_or_default();
        let ignore = IgnoreFile::parse(&ignore).unwrap();
        let parsed = slipway_dockerfile::parse(text.as_bytes());
        let input = CheckInput { ignore: Ignore::Present(&ignore), ..CheckInput::default() };
        let found: Vec<_> = check(&parsed, &input)
            .into_iter()
            // Stages for tests and development are not needed by the last one, and that is their point.
            .filter(|finding| finding.severity != Severity::Info)
            .collect();
        assert!(found.is_empty(), "{}", Renderer::new(&name, &text).render_all(&found));
        if name != "hello" {
            assert!(folder.join("README.md").exists() && folder.join(".dockerignore").exists(), "{name}");
        }
    }
}

#[test]
fn the_image_build_of_every_example_is_valid_and_names_its_stages() {
    for folder in examples() {
        let file = folder.join("imagebuild.yaml");
        let place = file.to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{place}: {error}"));
        let targets = image_build(&place, &text);
        let document: Value = serde_yaml::from_str(&text).unwrap();
        let dockerfile = match document["spec"]["dockerfile"]["inline"].as_str() {
            Some(inline) => inline.to_owned(),
            None => fs::read_to_string(folder.join("Dockerfile")).unwrap(),
        };
        plan(&place, &dockerfile, &targets);
        let parts = document["spec"]["source"]["subPath"].as_str().unwrap_or_default();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        assert!(parts.is_empty() || parts == format!("examples/{name}"), "{place}: {parts}");
        for argument in document["spec"]["args"].as_array().into_iter().flatten() {
            let declared = format!("ARG {}", argument["name"].as_str().unwrap());
            assert!(dockerfile.contains(&declared), "{place}: no `{declared}`");
        }
    }
}

/// The code blocks of a Markdown text, with the language and the line of each.
fn blocks(text: &str) -> Vec<(&str, usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(&str, usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language, at + 1, String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some((_, _, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[test]
fn what_the_document_on_patterns_shows_can_be_used_as_it_stands() {
    let text = fs::read_to_string(checkout().join("docs/patterns.md")).unwrap();
    let mut kinds = BTreeSet::new();
    for (language, line, body) in blocks(&text) {
        let place = format!("docs/patterns.md:{line}");
        match language {
            "dockerfile" => drop(plan(&place, &body, &[])),
            "yaml" => drop(image_build(&place, &body)),
            _ => continue,
        }
        kinds.insert(language.to_owned());
    }
    assert_eq!(kinds.len(), 2, "the document shows no Dockerfile or no ImageBuild");
}
