//! Lowering: from a Dockerfile, a request and facts to the [`Graph`] that is run.
//!
//! It evaluates everything that the Dockerfile language has (variables, scopes, inheritance, triggers), so that nothing
//! below knows of it. It fetches nothing: what it does not know, it asks for and is called again.

mod files;
mod metadata;
mod parts;
mod paths;
mod run;
mod stage;
#[cfg(test)]
mod tests;
mod values;
mod variables;

use std::collections::{BTreeMap, HashMap, HashSet};

use slipway_dockerfile::ast::{Dockerfile, Instruction};
use slipway_dockerfile::diagnostic::{Diagnostic, Severity};
use slipway_dockerfile::span::Span;
use slipway_oci::Platform;

use crate::facts::{ContentNeed, Facts, ImageNeed, Needs};
use crate::ir::{Graph, Image, ImageId, Output, StageId, VERSION};
use crate::outline::{Origin, Resolved, Triggers, resolve};
use crate::request::Request;

/// What lowering made.
#[derive(Clone, Debug, PartialEq)]
pub enum Lowered {
    /// The graph.
    Ready(Box<Graph>),
    /// What must be known first. More may be asked for then: an image can bring triggers along.
    Needs(Needs),
}

/// Makes the graph of a build, or returns everything that is wrong with it.
pub fn lower(
    file: &Dockerfile,
    source: &str,
    request: &Request,
    facts: &dyn Facts,
) -> Result<Lowered, Vec<Diagnostic>> {
    let mut triggers = Triggers::default();
    loop {
        let resolved = resolve(file, source, request, &triggers)?;
        let found = image_triggers(&resolved, file, facts, &triggers)?;
        if found.is_empty() {
            return Lowering::new(request, facts, &resolved).graph();
        }
        drop(resolved);
        triggers.extend(found);
    }
}

/// Makes one graph for several platforms; [`Request::platform`] counts where none is given. What is missing is asked for together, and
/// what is wrong is told once.
pub fn lower_all(
    file: &Dockerfile,
    source: &str,
    request: &Request,
    platforms: &[Platform],
    facts: &dyn Facts,
) -> Result<Lowered, Vec<Diagnostic>> {
    let platforms = if platforms.is_empty() { std::slice::from_ref(&request.platform) } else { platforms };
    let mut request = request.clone();
    let mut graphs = Vec::new();
    let mut needs = Needs::default();
    let mut problems: Vec<Diagnostic> = Vec::new();
    for platform in platforms {
        request.platform.clone_from(platform);
        match lower(file, source, &request, facts) {
            Ok(Lowered::Ready(graph)) => graphs.push(*graph),
            Ok(Lowered::Needs(more)) => needs.add(more),
            Err(more) => {
                for problem in more {
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    match crate::merge::merge(graphs) {
        Some(graph) if needs.is_empty() => Ok(Lowered::Ready(Box::new(graph))),
        _ => Ok(Lowered::Needs(needs)),
    }
}

/// Returns the triggers of base images that are known by now and were not read yet.
fn image_triggers(
    resolved: &Resolved<'_>,
    file: &Dockerfile,
    facts: &dyn Facts,
    known: &Triggers,
) -> Result<Triggers, Vec<Diagnostic>> {
    let mut found = Triggers::default();
    let mut problems = vec![];
    for &at in &resolved.outline.order {
        let stage = &resolved.outline.stages[at];
        let Origin::Image(reference) = &stage.base else { continue };
        let need = ImageNeed { reference: reference.clone(), platform: stage.platform.clone() };
        let Some(image) = facts.image(&need) else { continue };
        if stage.replaced || known.contains_key(&at) || image.config.config.on_build.is_empty() {
            continue;
        }
        let span = file.stages[at].from.span;
        let parsed: Result<Vec<Instruction>, Diagnostic> =
            image.config.config.on_build.iter().map(|text| parse_trigger(text, reference, span)).collect();
        match parsed {
            Ok(instructions) => drop(found.insert(at, instructions)),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

fn parse_trigger(text: &str, reference: &str, span: Span) -> Result<Instruction, Diagnostic> {
    let parsed = slipway_dockerfile::parse(format!("FROM scratch\n{text}\n").as_bytes());
    let bad = |reason: &str| {
        let message =
            format!("the image {reference} has a trigger `{text}` that is not an instruction: {reason}");
        Diagnostic::error("bad-trigger", span, message)
            .help("use another base, or rebuild it without that ONBUILD")
    };
    if let Some(problem) = parsed.diagnostics.iter().find(|problem| problem.severity == Severity::Error) {
        return Err(bad(&problem.message));
    }
    match parsed.file.stages.into_iter().next().map(|stage| stage.instructions) {
        Some(mut instructions) if instructions.len() == 1 => Ok(instructions.remove(0)),
        _ => Err(bad("it must be a single one")),
    }
}

/// The state of one lowering.
struct Lowering<'l> {
    request: &'l Request,
    facts: &'l dyn Facts,
    resolved: &'l Resolved<'l>,
    needs: Needs,
    /// The contents in `needs`, to find them fast.
    asked: HashSet<ContentNeed>,
    problems: Vec<Diagnostic>,
    /// True after the budget of expansions ran out: nothing more can be evaluated.
    exhausted: bool,
    images: Vec<Image>,
    image_ids: BTreeMap<ImageNeed, ImageId>,
    /// Stages by their number in the file.
    ids: HashMap<usize, StageId>,
    /// What children inherit, by number in the file; none for stages that wait for a fact.
    ends: HashMap<usize, stage::End>,
}

impl<'l> Lowering<'l> {
    fn new(request: &'l Request, facts: &'l dyn Facts, resolved: &'l Resolved<'l>) -> Self {
        let order = &resolved.outline.order;
        let ids = order.iter().enumerate().map(|(id, index)| (*index, StageId(id))).collect();
        Self {
            request,
            facts,
            resolved,
            needs: Needs::default(),
            asked: HashSet::new(),
            problems: vec![],
            exhausted: false,
            images: vec![],
            image_ids: BTreeMap::new(),
            ids,
            ends: HashMap::new(),
        }
    }

    fn graph(mut self) -> Result<Lowered, Vec<Diagnostic>> {
        let mut stages = Vec::with_capacity(self.resolved.outline.order.len());
        for &at in &self.resolved.outline.order {
            stages.extend(self.stage(at));
            if self.exhausted {
                break;
            }
        }
        if self.problems.iter().any(|problem| problem.severity == Severity::Error) {
            self.problems.sort_by_key(|problem| problem.span);
            return Err(self.problems);
        }
        if !self.needs.is_empty() {
            return Ok(Lowered::Needs(self.needs));
        }
        let outputs: Vec<Output> = self
            .resolved
            .outline
            .targets
            .iter()
            .map(|target| Output {
                target: target.name.clone(),
                stage: self.ids[&target.stage],
                platform: self.request.platform.clone(),
            })
            .collect();
        for output in &outputs {
            stages[output.stage.0].config.config.labels.extend(self.request.labels.clone());
        }
        Ok(Lowered::Ready(Box::new(Graph {
            version: VERSION,
            platforms: vec![self.request.platform.clone()],
            stages,
            images: self.images,
            outputs,
        })))
    }

    /// Returns the number of an image, or asks for it.
    fn image(&mut self, reference: &str, platform: &Platform) -> Option<ImageId> {
        let need = ImageNeed { reference: reference.to_owned(), platform: platform.clone() };
        if let Some(id) = self.image_ids.get(&need) {
            return Some(*id);
        }
        let Some(fact) = self.facts.image(&need) else {
            if !self.needs.images.contains(&need) {
                self.needs.images.push(need);
            }
            return None;
        };
        let id = ImageId(self.images.len());
        self.images.push(Image {
            reference: reference.to_owned(),
            digest: fact.digest,
            config: fact.config.clone(),
        });
        self.image_ids.insert(need, id);
        Some(id)
    }
}
