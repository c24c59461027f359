//! The end of a build: budgets, images, pushes.

use jiff::Timestamp;
use slipway_graph::ir::Output;
use slipway_oci::media::Flavour;
use slipway_protocol::report::{BuildReport, Failure, ImageReport, PlatformReport};
use slipway_protocol::request::BuildRequest;

use super::destination::Destination;
use super::reports::fail;
use super::wire::PlanFile;
use crate::assemble::AssembleError;
use crate::assemble::bundle::{Bundle, IndexNotes, Member};
use crate::assemble::image::{Parts, Style, assemble};
use crate::assemble::publish::Publisher;
use crate::engine::{Cause, Outcome};

/// Checks `spec.budgets.duration`.
pub(super) fn in_time(request: &BuildRequest, report: &BuildReport) -> Result<(), Box<Failure>> {
    if request.max_build_seconds <= 0.0 || report.build_seconds <= request.max_build_seconds {
        return Ok(());
    }
    let text = format!(
        "the stages took {:.1} s, more than spec.budgets.duration allows ({} s)",
        report.build_seconds, request.max_build_seconds
    );
    Err(fail("BudgetExceeded", text, false))
}

/// Makes all images, and pushes them only when every one of them is fine.
pub(super) fn finish(
    request: &BuildRequest,
    plan: &PlanFile,
    names: &[Destination],
    parts: &Parts<'_>,
    publisher: &Publisher<'_>,
    outcome: &Outcome,
    report: &mut BuildReport,
) -> Result<(), Box<Failure>> {
    let assembling = |error: AssembleError| fail("PushFailed", Cause::text(&error), error.is_retryable());
    let mut all: Vec<(&Destination, Bundle)> = Vec::new();
    for (destination, image) in names.iter().zip(&request.images) {
        let style = Style {
            epoch: plan.epoch.and_then(|seconds| Timestamp::from_second(seconds).ok()),
            labels: image.labels.clone(),
            annotations: image.annotations.clone(),
            ..Style::default()
        };
        let mut members = Vec::new();
        for output in &destination.outputs {
            let Output { target, stage, platform } = output;
            let tree = outcome.trees.get(stage.0).and_then(Option::as_ref).ok_or_else(|| {
                fail("BuildFailed", format!("`{target}` was not built, and nothing says why"), true)
            })?;
            let ready = assemble(parts, output, tree, &style).map_err(assembling)?;
            if request.max_image_size > 0 && ready.size() > request.max_image_size {
                let text = format!(
                    "the image of `{target}` for {platform} has {} bytes compressed, more than spec.budgets.imageSize allows ({})",
                    ready.size(),
                    request.max_image_size
                );
                return Err(fail("BudgetExceeded", text, false));
            }
            members.push(Member { platform: platform.clone(), stage: *stage, ready });
        }
        let notes = IndexNotes { index: image.annotations.clone(), ..IndexNotes::default() };
        all.push((
            destination,
            Bundle::new(parts.store, members, Flavour::default(), &notes).map_err(assembling)?,
        ));
    }
    for (destination, bundle) in &all {
        if let Some(repository) = &destination.repository {
            publisher.push_bundle(bundle, repository, &destination.tags).map_err(|error| {
                let retryable = error.is_retryable();
                fail("PushFailed", format!("{}: {}", repository.name(), Cause::text(&error)), retryable)
            })?;
        }
        report.images.extend(image_report(destination, bundle));
    }
    Ok(())
}

/// Tells of an image; of several platforms, the largest one's sizes count.
fn image_report(destination: &Destination, bundle: &Bundle) -> Option<ImageReport> {
    let top = bundle.top()?;
    let largest = bundle.members.iter().max_by_key(|member| member.ready.size())?;
    let pinned = destination.repository.as_ref().map(|repository| repository.pinned(top.digest).to_string());
    let platform = |member: &Member| PlatformReport {
        platform: member.platform.to_string(),
        digest: member.ready.digest.to_string(),
        size: member.ready.size(),
    };
    Some(ImageReport {
        target: destination.target.clone(),
        reference: pinned.unwrap_or_else(|| top.digest.to_string()),
        tags: destination.tags.clone(),
        size: largest.ready.size(),
        unpacked_size: largest.ready.unpacked,
        layers: largest.ready.layers.iter().map(|layer| layer.size).collect(),
        platforms: bundle.index.iter().flat_map(|_| bundle.members.iter().map(platform)).collect(),
    })
}
