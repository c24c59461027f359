//! The time that counts for `spec.timeout`: from the moment when a try has a node to its end, over all tries. Waiting in the
//! queue, for a node, and between tries does not count.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::SignedDuration;
use slipway_crds::validate::ValidBuild;

use super::{Attempt, Inputs, Plan, progress};

/// How soon a try without a node is looked at again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Returns how long the run may still take, a little more than nothing so that the check after it fires; none where its time
/// is over.
pub(super) fn time_left(
    inputs: &Inputs,
    valid: &ValidBuild,
    attempt: Attempt,
    plan: &mut Plan,
) -> Option<SignedDuration> {
    if let Some(pod) = progress::build_pod(inputs.facts, attempt) {
        if pod.unschedulable.is_some() {
            stop(inputs, plan);
            return Some(LOOK_AGAIN);
        }
        if plan.status.placed_at.is_none()
            && let Some(scheduled) = pod.scheduled
        {
            // A clock of another machine must not give a try more time than there was.
            let began = plan.status.started_at.as_ref().map_or(scheduled, |t| t.0);
            plan.status.placed_at = Some(MicroTime(scheduled.max(began).min(inputs.stamp().0)));
        }
    }
    let left = valid.timeout - spent(inputs, plan);
    (left > 0.0).then(|| SignedDuration::from_secs_f64(left + 0.5))
}

/// Returns the seconds that count.
fn spent(inputs: &Inputs, plan: &Plan) -> f64 {
    let since = |at: &MicroTime| inputs.now.duration_since(at.0).as_secs_f64().max(0.0);
    plan.status.spent + plan.status.placed_at.as_ref().map_or(0.0, since)
}

/// The try ends, or has lost its node: what it took is added to what counts.
pub(super) fn stop(inputs: &Inputs, plan: &mut Plan) {
    if plan.status.placed_at.is_some() {
        plan.status.spent = progress::round(spent(inputs, plan));
        plan.status.placed_at = None;
    }
}
