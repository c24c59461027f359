//! The last step of a reconcile: the status, and events for each transition.

use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use slipway_crds::ImageBuild;

use crate::objects::labels;
use crate::plan::Plan;

/// Why the status could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write the status")]
pub struct ReportError(#[from] kube::Error);

/// Writes the status where it changed, then the events. Returns the resource as it stands after that.
pub async fn report(
    client: &Client,
    recorder: &Recorder,
    build: &ImageBuild,
    plan: &Plan,
) -> Result<Option<ImageBuild>, ReportError> {
    let mut written = None;
    if build.status.as_ref() != Some(&plan.status) {
        let api: Api<ImageBuild> = Api::namespaced(client.clone(), &build.namespace().unwrap_or_default());
        let patch = json!({
            "apiVersion": ImageBuild::api_version(&()),
            "kind": ImageBuild::kind(&()),
            "metadata": { "name": build.name_any() },
            "status": plan.status,
        });
        let params = PatchParams::apply(labels::MANAGER).force();
        match api.patch_status(&build.name_any(), &params, &Patch::Apply(patch)).await {
            Ok(object) => written = Some(object),
            // Deleted meanwhile: nobody is left to tell.
            Err(kube::Error::Api(error)) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    let publishing = plan.events.iter().map(async |event| {
        let mut note = event.note.clone();
        note.truncate(note.floor_char_boundary(1000));
        let event = Event {
            type_: if event.warning { EventType::Warning } else { EventType::Normal },
            reason: event.reason.clone(),
            note: Some(note),
            action: "Build".into(),
            secondary: None,
        };
        // An event that is lost loses nothing: the status holds the truth.
        if let Err(error) = recorder.publish(&event, &build.object_ref(&())).await {
            tracing::debug!(%error, "an event was not taken");
        }
    });
    futures::future::join_all(publishing).await;
    Ok(written)
}
