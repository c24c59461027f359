//! Conditions as kstatus, Argo CD and `kubectl wait` read them.
//!
//! Reconciling and Stalled exist only while they are true. Ready is Unknown while a build is under way, so that nobody takes
//! the last image for the one asked for; a failure that needs a change is Stalled, so that nobody waits for ever.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Inputs, Plan};

/// The types of conditions.
#[allow(missing_docs)]
pub mod types {
    pub const READY: &str = "Ready";
    pub const RECONCILING: &str = "Reconciling";
    pub const STALLED: &str = "Stalled";
    pub const SOURCE_READY: &str = "SourceReady";
    pub const PLANNED: &str = "Planned";
    pub const BUILT: &str = "Built";
    pub const PUSHED: &str = "Pushed";
}

/// The reasons of conditions, stable words.
#[allow(missing_docs)]
pub mod reasons {
    pub const PROGRESSING: &str = "Progressing";
    pub const RETRYING: &str = "ProgressingWithRetry";
    pub const QUEUED: &str = "Queued";
    pub const SUCCEEDED: &str = "Succeeded";
    pub const SUSPENDED: &str = "Suspended";
    pub const INVALID_SPEC: &str = "InvalidSpec";
    pub const MISSING_REFERENCE: &str = "MissingReference";
    pub const TIMEOUT: &str = "Timeout";
    pub const ISOLATION: &str = "IsolationUnavailable";
    pub const OUT_OF_MEMORY: &str = "OutOfMemory";
    pub const POD_LOST: &str = "PodLost";
    pub const POD_STUCK: &str = "PodStuck";
    pub const NO_REPORT: &str = "NoReport";
    pub const NO_USER_NAMESPACE: &str = "NoUserNamespace";
    pub const NO_ROOM: &str = "NoRoom";
    pub const POLL_FAILED: &str = "PollFailed";
    pub const REFUSED: &str = "Refused";
    pub const FAILED: &str = "BuildFailed";
}

/// Sets a condition; its transition time moves only with its status.
pub(super) fn set(plan: &mut Plan, inputs: &Inputs, type_: &str, status: &str, reason: &str, message: &str) {
    let mut message = message.to_owned();
    if message.len() > 4096 {
        message.truncate(message.floor_char_boundary(4090));
        message.push('…');
    }
    let conditions = &mut plan.status.conditions;
    let old = conditions.iter().position(|c| c.type_ == type_);
    let since = old
        .map(|at| &conditions[at])
        .filter(|c| c.status == status)
        .map_or(inputs.second(), |c| c.last_transition_time.clone());
    let condition = Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: inputs.build.metadata.generation,
        last_transition_time: since,
    };
    match old {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

fn remove(plan: &mut Plan, types: &[&str]) {
    plan.status.conditions.retain(|c| !types.contains(&c.type_.as_str()));
}

/// A build is under way or waits.
pub(super) fn waiting(plan: &mut Plan, inputs: &Inputs, reason: &str, message: &str) {
    remove(plan, &[types::STALLED]);
    if plan.status.started_at.is_none() {
        remove(plan, &[types::SOURCE_READY, types::PLANNED, types::BUILT, types::PUSHED]);
    }
    set(plan, inputs, types::READY, "Unknown", reason, message);
    set(plan, inputs, types::RECONCILING, "True", reason, message);
}

/// A build failed in a way that another try may mend.
pub(super) fn retrying(plan: &mut Plan, inputs: &Inputs, message: &str) {
    set(plan, inputs, types::READY, "False", reasons::RETRYING, message);
    set(plan, inputs, types::RECONCILING, "True", reasons::RETRYING, message);
    remove(plan, &[types::STALLED]);
}

/// Nothing more happens until the spec or the source changes.
pub(super) fn stalled(plan: &mut Plan, inputs: &Inputs, reason: &str, message: &str) {
    remove(plan, &[types::RECONCILING]);
    set(plan, inputs, types::READY, "False", reason, message);
    set(plan, inputs, types::STALLED, "True", reason, message);
}

/// The images are there.
pub(super) fn ready(plan: &mut Plan, inputs: &Inputs, message: &str) {
    remove(plan, &[types::RECONCILING, types::STALLED]);
    set(plan, inputs, types::READY, "True", reasons::SUCCEEDED, message);
}

/// Suspended with something to build: neither ready nor under way.
pub(super) fn suspended(plan: &mut Plan, inputs: &Inputs) {
    remove(plan, &[types::RECONCILING, types::STALLED]);
    set(
        plan,
        inputs,
        types::READY,
        "Unknown",
        reasons::SUSPENDED,
        "suspended: set spec.suspend to false to build",
    );
}

/// Nothing is to do: conditions stay as they are and speak of the present generation.
pub(super) fn keep(plan: &mut Plan, inputs: &Inputs, suspend: bool) {
    for condition in &mut plan.status.conditions {
        condition.observed_generation = inputs.build.metadata.generation;
    }
    if plan.status.phase == "Suspended" && !suspend {
        plan.status.phase = if plan.status.failure.is_some() { "Failed" } else { "Succeeded" }.into();
    }
}
