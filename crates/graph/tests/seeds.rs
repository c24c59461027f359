//! Every Dockerfile of the documents that the project started from: it parses and plans, and the plan is as recorded.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use std::fs;
use std::path::{Path, PathBuf};

use slipway_dockerfile::check::{CheckInput, check};
use slipway_dockerfile::diagnostic::{Diagnostic, Severity};
use slipway_dockerfile::render::Renderer;
use slipway_graph::facts::{ContentFact, ImageFact, KnownFacts};
use slipway_graph::picture::{Format, render};
use slipway_graph::{Graph, Lowered, Outline, Request, lower, outline};
use slipway_oci::{Digest, ImageConfig};

#[derive(serde::Deserialize)]
struct Entry {
    folder: String,
    #[serde(default)]
    fragment: bool,
    #[serde(default)]
    before: String,
}

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/seeds")
}

fn entries() -> Vec<Entry> {
    serde_json::from_str(&fs::read_to_string(seeds().join("manifest.json")).unwrap()).unwrap()
}

fn request() -> Request {
    Request::new("linux/amd64".parse().unwrap())
}

fn plan(text: &str) -> Result<Outline, Vec<Diagnostic>> {
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    let errors: Vec<Diagnostic> =
        parsed.diagnostics.iter().filter(|problem| problem.severity == Severity::Error).cloned().collect();
    if errors.is_empty() { outline(&parsed.file, &parsed.source, &request()) } else { Err(errors) }
}

fn compare(path: &Path, made: &str, differences: &mut Vec<String>) {
    if std::env::var_os("SLIPWAY_BLESS").is_some() {
        fs::write(path, made).unwrap();
    } else if fs::read_to_string(path).unwrap_or_default() != made {
        differences.push(format!("--- {} is not\n{made}", path.display()));
    }
}

#[test]
fn every_seed_has_the_recorded_plan() {
    let entries = entries();
    assert_eq!(entries.len(), 42);
    let mut differences = vec![];
    for entry in &entries {
        let folder = seeds().join(&entry.folder);
        let text = fs::read_to_string(folder.join("Dockerfile")).unwrap();
        let mut shown = String::new();
        let whole = if entry.fragment {
            let problems = plan(&text).expect_err(&entry.folder);
            shown = Renderer::new("Dockerfile", &text).render_all(&problems) + "\n";
            format!("{}{text}", entry.before)
        } else {
            text
        };
        let outline = plan(&whole).unwrap_or_else(|problems| panic!("{}: {problems:?}", entry.folder));
        let parsed = slipway_dockerfile::parse(whole.as_bytes());
        let found = check(&parsed, &CheckInput::default());
        assert!(
            found.iter().all(|finding| finding.severity != Severity::Error),
            "{}: {found:?}",
            entry.folder
        );
        shown.push_str(&render(&outline, Format::Text, "Dockerfile").unwrap());
        compare(&folder.join("plan.txt"), &shown, &mut differences);
        let json = render(&outline, Format::Json, "Dockerfile").unwrap();
        compare(&folder.join("plan.json"), &json, &mut differences);
    }
    assert!(differences.is_empty(), "{}\nwrite them with SLIPWAY_BLESS=1", differences.join("\n"));
}

#[test]
fn every_seed_lowers_to_a_graph_whose_keys_are_all_there() {
    for entry in entries() {
        let text = fs::read_to_string(seeds().join(&entry.folder).join("Dockerfile")).unwrap();
        let graph = graph(&format!("{}{text}", entry.before));
        assert_eq!(graph.outputs.len(), 1, "{}", entry.folder);
        for stage in &graph.stages {
            assert_eq!(stage.steps.last().map_or(stage.key, |step| step.key), stage.key);
            for step in stage.steps.iter().filter(|step| step.op.is_some()) {
                assert!(step.history.created_by.is_some() && !step.parts.is_empty(), "{}", step.title);
                assert_eq!(step.trees.len(), step.op.as_ref().unwrap().reads().len());
            }
        }
    }
}

/// Answers every question with a digest of the question.
fn graph(text: &str) -> Graph {
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    let mut facts = KnownFacts::default();
    loop {
        match lower(&parsed.file, &parsed.source, &request(), &facts).unwrap() {
            Lowered::Ready(graph) => return *graph,
            Lowered::Needs(needs) => {
                for need in needs.images {
                    let digest = Digest::of(format!("{need:?}"));
                    let mut config = ImageConfig::default();
                    config.rootfs.diff_ids.push(digest);
                    facts.images.insert(need, ImageFact { digest, config });
                }
                for need in needs.contents {
                    let digest = Digest::of(format!("{need:?}"));
                    facts.contents.insert(need, ContentFact { digest, files: vec![] });
                }
            }
        }
    }
}
