//! A look at the cache before anything runs: what is there, and which stages will run user code.

use slipway_graph::ir::{Base, Graph, Op, StageId};

use super::Chain;
use super::explain;
use super::lookup::{Hits, file_steps, first_hits, renewed, stages_read};
use crate::cache::Shelf;

/// What is known of a stage before the build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Somebody needs it.
    pub wanted: bool,
    /// Its steps that make or change files.
    pub steps: usize,
    /// How many of them the cache has.
    pub cached: usize,
    /// How many of those are imported, and not here yet.
    pub imported: usize,
    /// One of its steps will run user code.
    pub runs: bool,
    /// Why its first step that is not cached is not.
    pub why: String,
}

/// Looks at the stages that the targets need.
pub fn survey(graph: &Graph, shelf: &Shelf<'_>, targets: &[StageId], subject: &str) -> Vec<Forecast> {
    let mut forecasts = vec![Forecast::default(); graph.stages.len()];
    for target in targets {
        if let Some(forecast) = forecasts.get_mut(target.0) {
            forecast.wanted = true;
        }
    }
    let found = hits(graph, shelf);
    for stage in graph.stages.iter().rev() {
        if !forecasts[stage.id.0].wanted {
            continue;
        }
        if let Base::Stage(id) = stage.base {
            forecasts[id.0].wanted = true;
        }
        let hits = found[stage.id.0].as_ref().map_or(&[][..], |hits| &hits.found);
        for (at, (number, step)) in file_steps(stage).enumerate() {
            if let Some((layer, _)) = hits.get(at) {
                let here = shelf.store.has_layer(layer);
                let forecast = &mut forecasts[stage.id.0];
                forecast.cached += 1;
                forecast.imported += usize::from(!here);
            } else {
                for id in stages_read(step) {
                    forecasts[id.0].wanted = true;
                }
                let forecast = &mut forecasts[stage.id.0];
                forecast.runs |= matches!(step.op, Some(Op::Run(_)));
                if forecast.why.is_empty() {
                    forecast.why = explain::why(shelf.store, subject, stage, number, step);
                }
            }
            forecasts[stage.id.0].steps += 1;
        }
    }
    forecasts
}

/// Returns what the cache has for the first steps of each stage; none where not even the tree below them is known.
pub(crate) fn hits(graph: &Graph, shelf: &Shelf<'_>) -> Vec<Option<Hits>> {
    let renewed = renewed(graph);
    // The trees of stages of which the cache has every step.
    let mut whole: Vec<Option<Chain>> = vec![None; graph.stages.len()];
    let mut all = Vec::new();
    for (at, stage) in graph.stages.iter().enumerate() {
        let start = match stage.base {
            Base::Scratch => Some(Chain::default()),
            Base::Image(image) => Some(Chain { image: Some(image), layers: vec![] }),
            Base::Stage(id) => whole.get(id.0).cloned().flatten(),
        };
        let hits = start.map(|start| first_hits(graph, shelf, (stage, &renewed), &start));
        whole[at] =
            hits.as_ref().filter(|hits| hits.found.len() == file_steps(stage).count()).map(Hits::tree);
        all.push(hits);
    }
    all
}
