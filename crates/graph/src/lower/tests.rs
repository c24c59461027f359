//! Lowering, feature by feature. Helpers come first; the cases are in the submodules.

mod config;
mod copies;
mod runs;
mod scopes;
mod waiting;

use slipway_oci::{Digest, ImageConfig, Platform};

use super::{Lowered, lower};
use crate::facts::{ContentFact, ContentNeed, Facts, ImageFact, ImageNeed};
use crate::ir::{CopyOp, Graph, Op, RunOp, Stage};
use crate::request::Request;

/// Facts that know everything: each image has one layer named after it, each content a digest of what was asked.
#[derive(Default)]
pub(super) struct AllKnown {
    images: std::cell::RefCell<std::collections::BTreeMap<ImageNeed, &'static ImageFact>>,
    contents: std::cell::RefCell<std::collections::BTreeMap<ContentNeed, &'static ContentFact>>,
    pub(super) config: ImageConfig,
}

impl Facts for AllKnown {
    fn image(&self, need: &ImageNeed) -> Option<&ImageFact> {
        let mut images = self.images.borrow_mut();
        let fact = images.entry(need.clone()).or_insert_with(|| {
            let mut config = self.config.clone();
            config.rootfs.diff_ids = vec![Digest::of(&need.reference)];
            config.os = need.platform.os.clone();
            config.architecture = need.platform.architecture.clone();
            Box::leak(Box::new(ImageFact { digest: Digest::of(format!("{need:?}")), config }))
        });
        Some(fact)
    }

    fn content(&self, need: &ContentNeed) -> Option<&ContentFact> {
        let mut contents = self.contents.borrow_mut();
        let fact = contents.entry(need.clone()).or_insert_with(|| {
            Box::leak(Box::new(ContentFact { digest: Digest::of(format!("{need:?}")), files: vec![] }))
        });
        Some(fact)
    }
}

pub(super) fn request() -> Request {
    Request::new("linux/amd64".parse::<Platform>().unwrap())
}

pub(super) fn graph_of(text: &str, request: &Request, facts: &dyn Facts) -> Result<Graph, Vec<String>> {
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    match lower(&parsed.file, &parsed.source, request, facts) {
        Ok(Lowered::Ready(graph)) => Ok(*graph),
        Ok(Lowered::Needs(needs)) => panic!("{needs:?}"),
        Err(problems) => Err(problems.into_iter().map(|p| p.message).collect()),
    }
}

pub(super) fn graph(text: &str) -> Graph {
    graph_of(text, &request(), &AllKnown::default()).unwrap()
}

pub(super) fn last(text: &str) -> Stage {
    graph(text).stages.pop().unwrap()
}

pub(super) fn problems(text: &str) -> Vec<String> {
    graph_of(text, &request(), &AllKnown::default()).unwrap_err()
}

pub(super) fn histories(stage: &Stage) -> Vec<&str> {
    stage.steps.iter().map(|step| step.history.created_by.as_deref().unwrap()).collect()
}

pub(super) fn runs(stage: &Stage) -> Vec<&RunOp> {
    let run = |op: &'_ Option<Op>| matches!(op, Some(Op::Run(_)));
    stage
        .steps
        .iter()
        .filter(|step| run(&step.op))
        .filter_map(|step| match &step.op {
            Some(Op::Run(op)) => Some(&**op),
            _ => None,
        })
        .collect()
}

pub(super) fn copies(stage: &Stage) -> Vec<&CopyOp> {
    stage
        .steps
        .iter()
        .filter_map(|step| match &step.op {
            Some(Op::Copy(op)) => Some(&**op),
            _ => None,
        })
        .collect()
}

pub(super) fn value<'e>(env: &'e [(String, String)], name: &str) -> Option<&'e str> {
    env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
