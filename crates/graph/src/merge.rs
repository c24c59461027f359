//! Several platforms in one graph, so that what is the same for all of them is done once.
//!
//! Lowering makes a graph a platform. Here those become one: a stage that came out the same for several platforms
//! (`FROM --platform=$BUILDPLATFORM`) stands in it once. Of stages that begin the same and then differ, because they read
//! `TARGETARCH`, the beginning becomes a stage of its own that the others start from.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use slipway_oci::Platform;

use crate::ir::{Base, CopyItem, Graph, ImageId, Input, MountSource, Op, Output, Stage, StageId, VERSION};

/// Joins the graphs of one file and one request for different platforms. None of none.
pub fn merge(mut graphs: Vec<Graph>) -> Option<Graph> {
    if graphs.len() < 2 {
        return graphs.pop();
    }
    let mut merger = Merger::default();
    let images: Vec<Vec<ImageId>> = graphs.iter().map(|graph| merger.images(graph)).collect();
    let mut ids: Vec<HashMap<StageId, StageId>> = vec![HashMap::new(); graphs.len()];
    let mut indexes: Vec<usize> = graphs.iter().flat_map(|graph| &graph.stages).map(|s| s.index).collect();
    indexes.sort_unstable();
    indexes.dedup();
    // Whatever a stage takes stands above it in the file, so its own inputs are numbered by now.
    for index in indexes {
        let mut variants: Vec<Variant> = Vec::new();
        for (at, graph) in graphs.iter().enumerate() {
            // Stages stand in the order of the file.
            let Ok(place) = graph.stages.binary_search_by_key(&index, |stage| stage.index) else { continue };
            let stage = &graph.stages[place];
            let renumbered = renumber(stage, &ids[at], &images[at]);
            match variants.iter_mut().find(|variant| variant.stage == renumbered) {
                Some(same) => same.graphs.push((at, stage.id)),
                None => variants.push(Variant { stage: renumbered, graphs: vec![(at, stage.id)] }),
            }
        }
        merger.add(variants, &graphs, &mut ids);
    }
    let platforms: Vec<Platform> = graphs.iter().flat_map(|graph| graph.platforms.clone()).collect();
    let targets = graphs.first().map_or(0, |graph| graph.outputs.len());
    let mut outputs = Vec::with_capacity(targets * graphs.len());
    for target in 0..targets {
        for (graph, ids) in graphs.iter().zip(&ids) {
            let output = graph.outputs.get(target)?;
            outputs.push(Output { stage: *ids.get(&output.stage)?, ..output.clone() });
        }
    }
    Some(Graph { version: VERSION, platforms, stages: merger.stages, images: merger.images, outputs })
}

/// A stage as one or several platforms have it.
struct Variant {
    /// With the numbers of the joined graph, but without one of its own.
    stage: Stage,
    /// The graphs that have it, and its number there.
    graphs: Vec<(usize, StageId)>,
}

#[derive(Default)]
struct Merger {
    stages: Vec<Stage>,
    images: Vec<crate::ir::Image>,
}

impl Merger {
    /// Takes a graph's images, each once, and returns their numbers here.
    fn images(&mut self, graph: &Graph) -> Vec<ImageId> {
        let mut number = |image: &crate::ir::Image| {
            let known = self.images.iter().position(|known| known == image);
            ImageId(known.unwrap_or_else(|| {
                self.images.push(image.clone());
                self.images.len() - 1
            }))
        };
        graph.images.iter().map(&mut number).collect()
    }

    /// Adds the variants of one stage of the file.
    fn add(&mut self, mut variants: Vec<Variant>, graphs: &[Graph], ids: &mut [HashMap<StageId, StageId>]) {
        if let [only] = &mut variants[..] {
            let id = self.push(only.stage.clone());
            for (at, old) in &only.graphs {
                ids[*at].insert(*old, id);
            }
            return;
        }
        let shared = beginning(&variants);
        let trunk = (shared > 0).then(|| self.push(trunk(&variants[0].stage, shared)));
        for mut variant in variants {
            if let Some(trunk) = trunk {
                variant.stage.base = Base::Stage(trunk);
                variant.stage.steps.drain(..shared);
            }
            let platforms: Vec<String> = (variant.graphs.iter())
                .flat_map(|(at, _)| &graphs[*at].platforms)
                .map(ToString::to_string)
                .collect();
            variant.stage.name = format!("{}@{}", variant.stage.name, platforms.join("+"));
            let id = self.push(variant.stage);
            for (at, old) in variant.graphs {
                ids[at].insert(old, id);
            }
        }
    }

    fn push(&mut self, mut stage: Stage) -> StageId {
        stage.id = StageId(self.stages.len());
        self.stages.push(stage);
        StageId(self.stages.len() - 1)
    }
}

/// Returns how many steps all variants begin with; 0 where sharing them would spare nothing.
fn beginning(variants: &[Variant]) -> usize {
    let Some((first, others)) = variants.split_first() else { return 0 };
    let same_start = |other: &Variant| {
        other.stage.base == first.stage.base && other.stage.platform == first.stage.platform
    };
    if !others.iter().all(same_start) {
        return 0;
    }
    let steps = &first.stage.steps;
    let common = |other: &Variant| steps.iter().zip(&other.stage.steps).take_while(|(a, b)| a == b).count();
    let shared = others.iter().map(common).min().unwrap_or(0);
    // Up to the last step that makes files: what only sets the configuration may as well be said twice.
    steps.iter().take(shared).rposition(|step| step.op.is_some()).map_or(0, |last| last + 1)
}

/// Makes a stage of the first steps of another one. Nothing but stages comes out of it, so its configuration is of no use.
fn trunk(stage: &Stage, steps: usize) -> Stage {
    let mut trunk = stage.clone();
    trunk.steps.truncate(steps);
    if let Some(last) = trunk.steps.last() {
        trunk.key = last.key;
    }
    trunk
}

/// Gives what a stage reads the numbers of the joined graph.
fn renumber(stage: &Stage, stages: &HashMap<StageId, StageId>, images: &[ImageId]) -> Stage {
    let stage_of = |id: &StageId| stages.get(id).copied().unwrap_or(*id);
    let image_of = |id: &ImageId| images.get(id.0).copied().unwrap_or(*id);
    let input = |input: &mut Input| match input {
        Input::Stage(id) => *id = stage_of(id),
        Input::Image(id) => *id = image_of(id),
        Input::Context(_) | Input::Empty => {}
    };
    let mut stage = stage.clone();
    stage.id = StageId(0);
    match &mut stage.base {
        Base::Stage(id) => *id = stage_of(id),
        Base::Image(id) => *id = image_of(id),
        Base::Scratch => {}
    }
    for op in stage.steps.iter_mut().filter_map(|step| step.op.as_mut()) {
        match op {
            Op::Run(run) => {
                for mount in &mut run.mounts {
                    match &mut mount.source {
                        MountSource::Bind { input: read, .. } | MountSource::Cache { from: read, .. } => {
                            input(read);
                        }
                        MountSource::Tmpfs { .. } | MountSource::Secret { .. } | MountSource::Ssh { .. } => {}
                    }
                }
            }
            Op::Copy(copy) => {
                for item in &mut copy.items {
                    if let CopyItem::Path { input: read, .. } = item {
                        input(read);
                    }
                }
            }
            Op::Workdir(_) => {}
        }
    }
    stage
}
