//! Which images a build makes, and where they go.

use slipway_graph::ir::Output;
use slipway_oci::Reference;
use slipway_oci::reference::InvalidReference;
use slipway_protocol::report::Failure;
use slipway_protocol::request::{BuildRequest, ImageRequest};

use super::reports::fail;
use super::tags::SourceNames;
use super::wire::PlanFile;

/// Where an image goes.
pub(super) struct Destination {
    /// The stage's name.
    pub(super) target: String,
    /// One a platform.
    pub(super) outputs: Vec<Output>,
    /// None where the image is only made.
    pub(super) repository: Option<Reference>,
    /// What it is called there.
    pub(super) tags: Vec<String>,
}

/// Returns the destinations of a request's images, in their order.
pub(super) fn destinations(
    request: &BuildRequest,
    plan: &PlanFile,
) -> Result<Vec<Destination>, Box<Failure>> {
    let names = SourceNames::of(&plan.revision);
    request.images.iter().map(|image| destination(image, plan, &names)).collect()
}

fn destination(
    image: &ImageRequest,
    plan: &PlanFile,
    names: &SourceNames,
) -> Result<Destination, Box<Failure>> {
    let wrong = |message: String| fail("SpecInvalid", message, false);
    let named = |outputs: &&[Output]| {
        outputs.first().is_some_and(|output| output.target.eq_ignore_ascii_case(&image.target))
    };
    let mut groups = plan.graph.targets();
    let found = plan.graph.targets().find(named);
    let outputs = found
        .or_else(|| groups.next_back().filter(|_| image.target.is_empty()))
        .ok_or_else(|| wrong(format!("the plan has no target `{}`", image.target)))?;
    let target = outputs.first().map(|output| output.target.clone()).unwrap_or_default();
    let outputs = outputs.to_vec();
    if image.name.is_empty() {
        return Ok(Destination { target, outputs, repository: None, tags: vec![] });
    }
    let repository: Reference =
        image.name.parse().map_err(|error: InvalidReference| wrong(error.to_string()))?;
    let mut tags = Vec::new();
    for template in &image.tags {
        let tag = names.fill(template).map_err(wrong)?;
        if let Err(error) = repository.with_tag(&tag) {
            return Err(wrong(format!("tag `{template}`: {error}")));
        }
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if tags.is_empty() {
        tags.extend(repository.tag().map(ToOwned::to_owned));
    }
    Ok(Destination { target, outputs, repository: Some(repository), tags })
}
