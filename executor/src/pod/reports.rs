//! From what the engine knows to what the operator is told.

use slipway_protocol::report::{Failure, StageReport};

use crate::engine::{Failed, StageOutcome, StepState};

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
