//! The end of a build: images are assembled, written, pushed and told of.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use anyhow::Context as _;
use jiff::Timestamp;
use slipway_executor::assemble::export;
use slipway_executor::assemble::image::{Parts, Style};
use slipway_executor::assemble::publish::{Publisher, Wanted};
use slipway_executor::engine::Outcome;
use slipway_executor::inputs::Inputs;
use slipway_executor::{assemble, size};
use slipway_graph::Graph;
use slipway_graph::ir::StageId;
use slipway_graph::request::Request;
use slipway_oci::Reference;
use slipway_store::Store;

use super::args::Args;
use super::inputs;
use super::outputs::Outputs;
use super::progress::say;
use super::summary::{self, Image};

/// What the end of a build works with.
pub(super) struct Work<'a> {
    pub(super) args: &'a Args,
    pub(super) outputs: &'a Outputs,
    pub(super) names: &'a [Vec<Reference>],
    pub(super) request: &'a Request,
    pub(super) store: &'a Store,
    pub(super) graph: &'a Graph,
}

impl Work<'_> {
    /// Tells whether an output of the graph becomes an image, and not only a result in the cache.
    fn needs_image(&self, at: usize) -> bool {
        let asked = self.args.quiet || self.args.iidfile.is_some() || self.args.metadata_file.is_some();
        let last = at + 1 == self.graph.outputs.len();
        !self.names[at].is_empty()
            || (last && (asked || self.outputs.exports.iter().any(export::Export::needs_blobs)))
    }

    /// Returns the images that layers are packed and uploaded for while the build runs.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let of = |(at, output): (usize, &slipway_graph::ir::Output)| Wanted {
            stage: output.stage,
            repositories: if self.outputs.push { self.names[at].clone() } else { vec![] },
        };
        self.graph.outputs.iter().enumerate().filter(|(at, _)| self.needs_image(*at)).map(of).collect()
    }

    /// Makes the images and brings them where they belong.
    pub(super) fn finish(
        &self,
        parts: &Parts<'_>,
        publisher: &Publisher<'_>,
        inputs: &Inputs<'_>,
        outcome: &Outcome,
    ) -> Result<Vec<Image>, assemble::AssembleError> {
        let mut images = Vec::new();
        let last = self.graph.outputs.len().saturating_sub(1);
        for (at, output) in self.graph.outputs.iter().enumerate() {
            let Some(tree) = outcome.trees.get(output.stage.0).and_then(Option::as_ref) else { continue };
            let exports = if at == last { self.outputs.exports.as_slice() } else { &[] };
            if exports.iter().any(|export| !export.needs_blobs()) {
                let stack = inputs.stack(tree).map_err(assemble::AssembleError::Base)?;
                for export in exports {
                    export::files(export, &stack, self.request.source_date_epoch)?;
                }
            }
            if !self.needs_image(at) {
                continue;
            }
            let style = Style {
                flavour: self.outputs.flavour,
                epoch: self
                    .request
                    .source_date_epoch
                    .and_then(|seconds| Timestamp::from_second(seconds).ok()),
                labels: BTreeMap::new(),
                annotations: self.annotations(),
            };
            let ready = assemble::image::assemble(parts, output.stage, tree, &style)?;
            if exports.iter().any(export::Export::needs_blobs) {
                publisher.fetch_base(output.stage, &ready)?;
                for export in exports {
                    export::image(self.store, export, &ready, &self.graph.platform, &self.names[at])?;
                }
            }
            if self.outputs.push {
                self.push(publisher, output.stage, &ready, &self.names[at])?;
            }
            images.push(Image {
                target: output.target.clone(),
                names: self.names[at].iter().map(Reference::familiar).collect(),
                pushed: self.outputs.push && !self.names[at].is_empty(),
                digest: ready.digest.to_string(),
                config_digest: ready.config.digest.to_string(),
                media_type: ready.media_type.clone(),
                manifest_size: ready.manifest.len() as u64,
                size: ready.size(),
                unpacked: ready.unpacked,
                layers: ready.layers.iter().map(|layer| layer.size).collect(),
            });
        }
        Ok(images)
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let given = inputs::pairs(&self.args.annotations, "--annotation").unwrap_or_default();
        given.into_iter().chain(self.outputs.annotations.iter().cloned()).collect()
    }

    /// Pushes to each repository once, with all its tags.
    fn push(
        &self,
        publisher: &Publisher<'_>,
        stage: StageId,
        ready: &assemble::Ready,
        names: &[Reference],
    ) -> Result<(), assemble::AssembleError> {
        let mut repositories: BTreeMap<String, (Reference, Vec<String>)> = BTreeMap::new();
        for name in names {
            let (_, tags) = repositories.entry(name.name()).or_insert_with(|| (name.clone(), vec![]));
            tags.extend(name.tag().filter(|_| !self.outputs.by_digest).map(ToOwned::to_owned));
        }
        for (repository, tags) in repositories.values() {
            publisher.push(stage, ready, repository, tags)?;
        }
        Ok(())
    }

    /// Says how it went.
    pub(super) fn report(&self, outcome: &Outcome, images: &[Image], began: Instant) -> anyhow::Result<()> {
        let digest = images.last().map(|image| image.digest.as_str());
        if let Some(path) = &self.args.metadata_file {
            summary::metadata(path, images)?;
        }
        if let (Some(path), Some(image)) = (&self.args.iidfile, images.last()) {
            std::fs::write(path, &image.digest)
                .with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        if self.args.quiet {
            if let Some(digest) = digest {
                writeln!(io::stdout().lock(), "{digest}")?;
            }
            return Ok(());
        }
        let largest = (0..self.graph.stages.len())
            .filter_map(|at| outcome.trees[at].as_ref())
            .map(|tree| size::unpacked(self.graph, self.store, tree))
            .max()
            .unwrap_or(0);
        say("\n");
        say(&summary::stages(&outcome.stages));
        say(&summary::images(images, largest));
        let took = super::plain::seconds(began.elapsed().as_secs_f64());
        let kept = if images.is_empty() {
            "; the result is in the cache (name it with --tag, write it with --output)"
        } else {
            ""
        };
        say(&format!("done in {took}{kept}\n"));
        Ok(())
    }
}
