//! Looks at a git source from time to time: a new revision is a new build.
//!
//! A look is a pod of its own with the source's credentials, no rights and no user code. It says which revision the ref has,
//! and is removed. Between looks nothing exists but the time of the last one in the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;
use slipway_crds::source::GitSource;
use slipway_crds::status::PollStatus;
use slipway_crds::validate::ValidBuild;
use slipway_oci::Digest;
use slipway_protocol::report::PollReport;

use super::{Attempt, Event, Inputs, Plan, reasons};
use crate::objects::pods::Blueprint;
use crate::pod_view::{End, PodView, Progress, Role};

/// How long a look may take, in seconds.
const LIMIT: f64 = 120.0;
/// The most doublings of the interval after failures.
const DOUBLINGS: i32 = 4;

/// Looks where it is time to. Returns the revision that a new build is due for.
pub(super) fn news(inputs: &Inputs, valid: &ValidBuild, plan: &mut Plan) -> Option<String> {
    let git = valid.source.as_ref().and_then(|source| source.git.as_ref());
    let (Some(git), Some(interval), false) = (git, valid.interval, valid.suspend) else {
        stop(inputs, plan);
        if valid.interval.is_none() {
            plan.status.poll = None;
        }
        return None;
    };
    match pod(inputs) {
        None => {
            let left = due(inputs, interval, plan) - inputs.now.seconds_since_1970();
            if left > 0.0 {
                plan.again_in(SignedDuration::from_secs_f64(left + 0.1));
            } else {
                look(inputs, valid, git, plan);
            }
            None
        }
        // The next look has the same name: it waits until this one is gone.
        Some(pod) if pod.deleting => None,
        Some(pod) => answer(inputs, pod, plan),
    }
}

/// No look may go on: a build is under way, or the source is not looked at any more.
pub(super) fn stop(inputs: &Inputs, plan: &mut Plan) {
    let pods = inputs.facts.pods.iter().filter(|pod| pod.role == Role::Poll && !pod.deleting);
    plan.delete_pods.extend(pods.map(|pod| pod.name.clone()));
}

fn pod<'a>(inputs: &'a Inputs) -> Option<&'a PodView> {
    inputs.facts.pods.iter().find(|pod| pod.role == Role::Poll)
}

/// Returns when the next look is due, in seconds since 1970: not at the same moment for all builds, and later after failures.
fn due(inputs: &Inputs, interval: f64, plan: &Plan) -> f64 {
    let status = &plan.status;
    let seconds = |time: &Option<MicroTime>| time.as_ref().map_or(0.0, |t| t.0.seconds_since_1970());
    let poll = status.poll.clone().unwrap_or_default();
    // A build looks at the source too, when it starts.
    let last = seconds(&poll.checked).max(seconds(&status.started_at));
    let doubled = interval * f64::from(1 << poll.failures.clamp(0, DOUBLINGS));
    let dice = Digest::of(format!("{} {last}", inputs.build.uid().unwrap_or_default()));
    last + doubled * (0.9 + 0.2 * f64::from(dice.bytes()[0]) / 256.0)
}

fn look(inputs: &Inputs, valid: &ValidBuild, git: &GitSource, plan: &mut Plan) {
    let Inputs { build, facts, settings, .. } = *inputs;
    let attempt = Attempt { run: plan.status.run, number: 1 };
    plan.objects.pods.push(Blueprint { build, valid, facts, settings, attempt }.poll_pod(git));
    plan.again_in(SignedDuration::from_secs_f64(LIMIT + 0.5));
}

/// Takes what a look found.
fn answer(inputs: &Inputs, pod: &PodView, plan: &mut Plan) -> Option<String> {
    let age = inputs.since(pod.created);
    let found = match &pod.poll {
        Progress::Ended(End { report: Ok(PollReport { failure: Some(failure), .. }), .. }) => {
            Err(failure.message.clone())
        }
        Progress::Ended(End { exit_code: 0, report: Ok(report), .. }) => Ok(report.revision.clone()),
        Progress::Ended(end) => {
            Err(format!("the pod ended with exit code {} ({})", end.exit_code, end.reason))
        }
        Progress::Stuck(reason, message) if age > LIMIT => {
            Err(format!("the pod {} cannot start: {reason}: {message}", pod.name))
        }
        _ if pod.disrupted.is_some() => Err(format!("the pod {} was lost", pod.name)),
        _ if age > LIMIT => Err(format!("no answer after {LIMIT} s")),
        _ => {
            plan.again_in(SignedDuration::from_secs_f64(LIMIT - age + 0.5));
            return None;
        }
    };
    plan.delete_pods.push(pod.name.clone());
    let status = plan.status.poll.get_or_insert_default();
    status.checked = Some(inputs.stamp());
    match found {
        Ok(revision) => {
            *status = PollStatus { revision, failures: 0, message: String::new(), ..status.clone() };
            let built = plan.status.source.as_ref().map(|source| source.revision.as_str());
            let status = plan.status.poll.as_ref()?;
            (built != Some(status.revision.as_str()) && status.acted != status.revision)
                .then(|| status.revision.clone())
        }
        Err(message) => {
            status.failures = status.failures.saturating_add(1);
            if status.message != message {
                status.message.clone_from(&message);
                plan.events.push(Event { warning: true, reason: reasons::POLL_FAILED.into(), note: message });
            }
            None
        }
    }
}

/// The cluster does not take the pod of a look: that is a look that failed, and nothing of the last build changes.
pub(super) fn refused(inputs: &Inputs, plan: &mut Plan, why: &str) {
    plan.objects.pods.clear();
    let status = plan.status.poll.get_or_insert_default();
    status.checked = Some(inputs.stamp());
    status.failures = status.failures.saturating_add(1);
    why.clone_into(&mut status.message);
    plan.again_in(SignedDuration::from_secs(30));
}

/// Seconds since 1970 with their fraction.
trait Seconds {
    fn seconds_since_1970(&self) -> f64;
}

impl Seconds for k8s_openapi::jiff::Timestamp {
    #[allow(clippy::cast_precision_loss)] // milliseconds since 1970 fit into 53 bits
    fn seconds_since_1970(&self) -> f64 {
        self.as_millisecond() as f64 / 1000.0
    }
}
