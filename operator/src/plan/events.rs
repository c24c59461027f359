//! Events: one for each step that a build takes, found by comparing what was with what is.

use slipway_crds::status::{ImageBuildStatus, StageStatus};

use super::{Event, types};

/// Returns the events of a change of the status that nobody else tells.
pub(super) fn of_change(before: &ImageBuildStatus, after: &ImageBuildStatus) -> Vec<Event> {
    let nothing = ImageBuildStatus::default();
    let same_run = before.run == after.run;
    let before = if same_run { before } else { &nothing };
    let normal = |reason: &str, note: String| Event { warning: false, reason: reason.into(), note };
    let mut events = Vec::new();
    if before.started_at.is_none() && after.started_at.is_some() {
        events.push(normal("BuildStarted", format!("build {}", after.run)));
    }
    if after.phase == "Queued" && before.phase != "Queued" {
        let place = after.queue_position.unwrap_or_default();
        events.push(normal("BuildWaits", format!("build {}: place {place} in the queue", after.run)));
    }
    if after.attempt == before.attempt.max(1)
        && let Some(planned) = turned_true(before, after, types::PLANNED)
    {
        events.push(normal("BuildPlanned", planned));
    }
    for stage in &after.stages {
        let old = before.stages.iter().find(|old| old.name == stage.name);
        events.extend(stage_event(old, stage));
    }
    events
}

/// Returns a condition's message where it is true and was not.
fn turned_true(before: &ImageBuildStatus, after: &ImageBuildStatus, type_: &str) -> Option<String> {
    let find = |status: &ImageBuildStatus| {
        status.conditions.iter().find(|c| c.type_ == type_ && c.status == "True").map(|c| c.message.clone())
    };
    find(after).filter(|_| find(before).is_none())
}

fn stage_event(old: Option<&StageStatus>, new: &StageStatus) -> Option<Event> {
    let was = old.map_or("", |old| old.state.as_str());
    if was == new.state {
        return None;
    }
    let name = &new.name;
    let (reason, note) = match new.state.as_str() {
        "Running" => ("StageStarted", format!("stage {name} in pod {}", new.pod)),
        "Succeeded" => {
            let size = if new.size.is_empty() { "0B" } else { &new.size };
            ("StageSucceeded", format!("stage {name}: {:.1} s, {size}", new.seconds.unwrap_or_default()))
        }
        "Failed" => ("StageFailed", format!("stage {name} in pod {}", new.pod)),
        _ => return None,
    };
    Some(Event { warning: new.state == "Failed", reason: reason.into(), note })
}
