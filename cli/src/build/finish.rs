//! The end of a build: images are assembled, written, pushed and told of.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use anyhow::Context as _;
use jiff::Timestamp;
use slipway_executor::assemble::bundle::{Bundle, Member};
use slipway_executor::assemble::image::{Parts, Style, assemble};
use slipway_executor::assemble::publish::{Publisher, Wanted};
use slipway_executor::assemble::{AssembleError, export};
use slipway_executor::cache::Shelf;
use slipway_executor::engine::{Chain, Outcome};
use slipway_executor::inputs::Inputs;
use slipway_executor::size;
use slipway_graph::Graph;
use slipway_graph::ir::Output;
use slipway_graph::request::Request;
use slipway_oci::Reference;

use super::args::Args;
use super::outputs::Outputs;
use super::progress::say;
use super::summary::{self, Image};

/// What the end of a build works with.
pub(super) struct Work<'a> {
    pub(super) args: &'a Args,
    pub(super) outputs: &'a Outputs,
    pub(super) names: &'a [Vec<Reference>],
    pub(super) request: &'a Request,
    pub(super) shelf: Shelf<'a>,
    pub(super) graph: &'a Graph,
    pub(super) inline_cache: bool,
}

impl Work<'_> {
    /// Tells whether a target becomes images, and not only a result in the cache.
    fn needs_image(&self, target: usize) -> bool {
        let asked = self.args.quiet || self.args.iidfile.is_some() || self.args.metadata_file.is_some();
        let last = target + 1 == self.names.len();
        !self.names[target].is_empty()
            || (last && (asked || self.outputs.exports.iter().any(export::Export::needs_blobs)))
    }

    /// Returns the images that layers are packed and uploaded for while the build runs.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let of = |(at, group): (usize, &[Output])| {
            let repositories = if self.outputs.push { self.names[at].clone() } else { vec![] };
            let wanted =
                move |output: &Output| Wanted { stage: output.stage, repositories: repositories.clone() };
            group.iter().map(wanted).collect::<Vec<_>>()
        };
        self.graph.targets().enumerate().filter(|(at, _)| self.needs_image(*at)).flat_map(of).collect()
    }

    /// Makes the images and brings them where they belong.
    pub(super) fn finish(
        &self,
        parts: &Parts<'_>,
        publisher: &Publisher<'_>,
        inputs: &Inputs<'_>,
        outcome: &Outcome,
    ) -> Result<Vec<Image>, AssembleError> {
        let mut images = Vec::new();
        let last = self.names.len().saturating_sub(1);
        for (at, group) in self.graph.targets().enumerate() {
            let exports = if at == last { self.outputs.exports.as_slice() } else { &[] };
            self.write_files(exports, group, inputs, outcome)?;
            if !self.needs_image(at) {
                continue;
            }
            let bundle = self.bundle(parts, group, outcome)?;
            if exports.iter().any(export::Export::needs_blobs) {
                for member in &bundle.members {
                    publisher.fetch_base(member.stage, &member.ready)?;
                }
                for export in exports {
                    export::image(self.shelf.store, export, &bundle, &self.names[at])?;
                }
            }
            if self.outputs.push {
                self.push(publisher, &bundle, &self.names[at])?;
            }
            let target = group.first().map(|output| output.target.clone()).unwrap_or_default();
            let pushed = self.outputs.push && !self.names[at].is_empty();
            images.extend(Image::new(target, &self.names[at], pushed, &bundle));
        }
        Ok(images)
    }

    /// Writes the outputs that are files and no image.
    fn write_files(
        &self,
        exports: &[export::Export],
        group: &[Output],
        inputs: &Inputs<'_>,
        outcome: &Outcome,
    ) -> Result<(), AssembleError> {
        if exports.iter().all(export::Export::needs_blobs) {
            return Ok(());
        }
        let stack = |output: &Output| {
            let tree = tree(outcome, output)?;
            let stack = inputs.stack(tree).map_err(AssembleError::Base)?;
            Ok::<_, AssembleError>((self.outputs.folder(&output.platform, group.len()), stack))
        };
        let stacks = group.iter().map(stack).collect::<Result<Vec<_>, _>>()?;
        let trees: Vec<export::Files<'_>> =
            stacks.iter().map(|(folder, stack)| export::Files { folder: folder.clone(), stack }).collect();
        exports.iter().try_for_each(|export| export::files(export, &trees, self.request.source_date_epoch))
    }

    /// Makes the images of a target, and the index over them where there are several.
    fn bundle(
        &self,
        parts: &Parts<'_>,
        group: &[Output],
        outcome: &Outcome,
    ) -> Result<Bundle, AssembleError> {
        let mut members = Vec::new();
        for output in group {
            let style = Style {
                flavour: self.outputs.flavour,
                epoch: self
                    .request
                    .source_date_epoch
                    .and_then(|seconds| Timestamp::from_second(seconds).ok()),
                labels: BTreeMap::new(),
                annotations: self.outputs.notes.manifest(&output.platform),
                inline_cache: self.inline_cache,
            };
            let ready = assemble(parts, output, tree(outcome, output)?, &style)?;
            members.push(Member { platform: output.platform.clone(), stage: output.stage, ready });
        }
        let notes = self.outputs.notes.index(&self.graph.platforms);
        Bundle::new(self.shelf.store, members, self.outputs.flavour, &notes)
    }

    /// Pushes to each repository once, with all its tags.
    fn push(
        &self,
        publisher: &Publisher<'_>,
        bundle: &Bundle,
        names: &[Reference],
    ) -> Result<(), AssembleError> {
        let mut repositories: BTreeMap<String, (Reference, Vec<String>)> = BTreeMap::new();
        for name in names {
            let (_, tags) = repositories.entry(name.name()).or_insert_with(|| (name.clone(), vec![]));
            tags.extend(name.tag().filter(|_| !self.outputs.by_digest).map(ToOwned::to_owned));
        }
        for (repository, tags) in repositories.values() {
            publisher.push_bundle(bundle, repository, tags)?;
        }
        Ok(())
    }

    /// Says how it went.
    pub(super) fn report(&self, outcome: &Outcome, images: &[Image], began: Instant) -> anyhow::Result<()> {
        let digest = images.last().map(|image| image.digest.as_str());
        let largest = size::largest_stage(self.graph, &self.shelf, outcome.trees.iter().flatten());
        if let Some(path) = &self.args.metadata_file {
            summary::metadata(path, images, largest)?;
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
        say("\n");
        say(&summary::stages(&outcome.stages));
        say(&summary::images(images, largest));
        let took = super::plain::seconds(began.elapsed().as_secs_f64());
        let kept = if images.is_empty() && self.outputs.exports.is_empty() {
            "; the result is in the cache (name it with --tag, write it with --output)"
        } else {
            ""
        };
        say(&format!("done in {took}{kept}\n"));
        Ok(())
    }
}

/// Returns what a target's stage made.
fn tree<'o>(outcome: &'o Outcome, output: &Output) -> Result<&'o Chain, AssembleError> {
    outcome.trees.get(output.stage.0).and_then(Option::as_ref).ok_or(AssembleError::Died)
}
