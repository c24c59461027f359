//! A look at the cache before anything runs: what is there, and which stages will run user code.

use std::collections::BTreeMap;

use slipway_graph::ir::{Base, Graph, Op, StageId, Step};
use slipway_store::Store;

use super::Chain;
use super::explain;
use super::lookup::{below_name, file_steps, find, reads_renewed, renewed, stages_read};

/// What is known of a stage before the build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Somebody needs it.
    pub wanted: bool,
    /// Its steps that make or change files.
    pub steps: usize,
    /// How many of them the cache has.
    pub cached: usize,
    /// One of its steps will run user code.
    pub runs: bool,
    /// Why its first step that is not cached is not.
    pub why: String,
}

/// Looks at the stages that the targets need.
pub fn survey(graph: &Graph, store: &Store, targets: &[StageId], subject: &str) -> Vec<Forecast> {
    let mut forecasts = vec![Forecast::default(); graph.stages.len()];
    for target in targets {
        if let Some(forecast) = forecasts.get_mut(target.0) {
            forecast.wanted = true;
        }
    }
    let renewed = renewed(graph);
    // Tops known for sure: a stage's chain where all of it is cached.
    let mut whole: BTreeMap<StageId, Chain> = BTreeMap::new();
    // Bases first, to know the chains; wants spread backwards, so both passes go over all stages.
    let mut cached: Vec<Vec<bool>> = Vec::new();
    for stage in &graph.stages {
        let mut chain = match stage.base {
            Base::Scratch => Some(Chain::default()),
            Base::Image(image) => Some(Chain { image: Some(image), layers: vec![] }),
            Base::Stage(id) => whole.get(&id).cloned(),
        };
        let mut found = Vec::new();
        let by_content = |step: &Step| step.no_cache || reads_renewed(step, &renewed);
        for (_, step) in file_steps(stage) {
            let layer = chain.as_ref().filter(|_| !by_content(step)).and_then(|chain| {
                let (layer, _) = find(store, &step.key.0, &below_name(graph, chain))?;
                Some(layer)
            });
            found.push(layer.is_some());
            chain = match (chain, layer) {
                (Some(mut chain), Some(layer)) => {
                    chain.layers.push(layer);
                    Some(chain)
                }
                _ => None,
            };
        }
        if let Some(chain) = chain {
            whole.insert(stage.id, chain);
        }
        cached.push(found);
    }
    for stage in graph.stages.iter().rev() {
        if !forecasts[stage.id.0].wanted {
            continue;
        }
        if let Base::Stage(id) = stage.base {
            forecasts[id.0].wanted = true;
        }
        let found = &cached[stage.id.0];
        for ((number, step), hit) in file_steps(stage).zip(found) {
            if *hit {
                forecasts[stage.id.0].cached += 1;
            } else {
                for id in stages_read(step) {
                    forecasts[id.0].wanted = true;
                }
                let forecast = &mut forecasts[stage.id.0];
                forecast.runs |= matches!(step.op, Some(Op::Run(_)));
                if forecast.why.is_empty() {
                    forecast.why = explain::why(store, subject, stage, number, step);
                }
            }
            forecasts[stage.id.0].steps += 1;
        }
    }
    forecasts
}
