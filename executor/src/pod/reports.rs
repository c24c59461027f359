//! From what the engine knows to what the operator is told.

use std::collections::BTreeMap;

use slipway_protocol::report::{Failure, StagePodReport, StageReport};
use slipway_sandbox::{Choice, Way};

use super::wire::{End, Kept, PlanFile};
use crate::engine::{Cause, Failed, StageOutcome, StepState};

/// Makes the report of a failure that is not a step's.
pub fn fail(reason: &str, message: impl Into<String>, retryable: bool) -> Box<Failure> {
    Box::new(Failure { reason: reason.into(), message: message.into(), retryable, ..Failure::default() })
}

/// The same for a store that cannot be read or written.
pub fn store_failed(error: &dyn std::error::Error) -> Box<Failure> {
    fail("StoreFailed", Cause::text(error), true)
}

/// Returns the report of a stage.
pub fn stage_report(outcome: &StageOutcome) -> StageReport {
    let count = |state| u32::try_from(outcome.count(state)).unwrap_or(u32::MAX);
    StageReport {
        name: outcome.name.clone(),
        started: outcome.started,
        finished: outcome.finished,
        waited: outcome.waited,
        ran: count(StepState::Ran) + count(StepState::Failed),
        cached: count(StepState::Cached),
        size: outcome.size(),
        slowest: outcome.slowest().map(|step| (u32::try_from(step.line).unwrap_or(0), step.seconds)),
        failure: None,
    }
}

/// Returns the report of a failed step.
pub fn failure(failed: &Failed) -> Failure {
    Failure {
        reason: failed.cause.reason().to_owned(),
        message: failed.cause.to_string(),
        retryable: failed.cause.is_retryable(),
        stage: failed.stage.clone(),
        line: u32::try_from(failed.line).unwrap_or(0),
        instruction: failed.title.clone(),
        exit_code: failed.exit_code(),
        tail: failed.tail().join("\n"),
    }
}

/// Returns the report of a stage pod: what `conduct` knows of its stages, and the failures that were seen here.
pub fn stage_pod_report(
    plan: &PlanFile,
    end: &End,
    failures: &BTreeMap<usize, Failure>,
    kept: &Kept,
) -> StagePodReport {
    let mut stages = end.stages.clone();
    for (stage, failure) in failures {
        let name = plan.graph.stages.get(*stage).map(|stage| stage.name.clone()).unwrap_or_default();
        match stages.iter_mut().find(|known| known.name == name) {
            Some(known) => known.failure = Some(failure.clone()),
            None => {
                stages.push(StageReport { name, failure: Some(failure.clone()), ..StageReport::default() });
            }
        }
    }
    StagePodReport { stages, isolation: kept.way.clone(), isolation_reason: kept.reason.clone() }
}

/// Returns how commands are kept in, in the words of reports.
pub fn kept(choice: &Choice) -> Kept {
    let way = match choice.way {
        Way::Granted => "Overlay (granted)",
        Way::Nested => "Overlay (nested)",
        Way::Container => "Root (container)",
        Way::Root => "Root (chroot)",
    };
    Kept { way: way.to_owned(), reason: choice.reason.clone() }
}
