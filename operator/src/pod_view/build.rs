//! A build pod as it is seen: by what it said itself (`crate::intake`), and by what its kubelet says of its containers.
//!
//! One container plans and conducts. That there is a plan is said three times: by the pod, by the small container beside it when
//! that ends, and by the last words of the whole, each later and perhaps shorter than the one before.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use slipway_protocol::early::Part;
use slipway_protocol::message::{self, Message};
use slipway_protocol::report::{BuildReport, PlanReport};

use super::{End, Progress, progress, times};
use crate::objects::labels;

/// How a build pod stands.
pub(super) struct View {
    pub(super) plan: Progress<PlanReport>,
    pub(super) conduct: Progress<BuildReport>,
    /// Where nobody would hear of a plan any more: since when, and why.
    pub(super) silent: Option<(Timestamp, String)>,
}

/// Reads how planning stands, and what follows it.
pub(super) fn view(pod: &Pod, build: Option<&ContainerStatus>, report: Option<&ContainerStatus>) -> View {
    let whole: Progress<PlanReport> = progress(build);
    let beside: Progress<PlanReport> = progress(report);
    let Some(plan) = said(pod, Part::Plan).or_else(|| planned(&beside)).or_else(|| planned(&whole)) else {
        let (started, _) = build.map_or((None, None), times);
        let (_, ended) = report.map_or((None, None), times);
        let silent = match (&whole, beside) {
            (Progress::Running, Progress::Ended(end)) => {
                let why = end.report.err().unwrap_or_default();
                ended.map(|since| {
                    (since, format!("it ended with exit code {} ({}): {why}", end.exit_code, end.reason))
                })
            }
            (Progress::Running, Progress::Stuck(reason, message)) => {
                started.map(|since| (since, format!("it cannot start: {reason}: {message}")))
            }
            _ => None,
        };
        return View { plan: whole, conduct: Progress::Waiting, silent };
    };
    // Said when all is pushed: whatever becomes of the container after it changes nothing, and its last words are shorter.
    let conduct = match said(pod, Part::Build).or_else(|| plan.done.as_deref().cloned()) {
        Some(built) if built.failure.is_none() => ended(built),
        _ => match whole {
            Progress::Ended(end) => Progress::Ended(conducted(end)),
            Progress::Running => Progress::Running,
            Progress::Stuck(reason, message) => Progress::Stuck(reason, message),
            Progress::Waiting => Progress::Waiting,
        },
    };
    View { plan: ended(PlanReport { done: None, ..plan }), conduct, silent: None }
}

/// Reads what the pod said of a part of its work.
fn said<R: Message>(pod: &Pod, part: Part) -> Option<R> {
    message::decode(pod.annotations().get(&labels::report(part))?).ok()
}

/// Returns the plan in last words.
fn planned(progress: &Progress<PlanReport>) -> Option<PlanReport> {
    match progress {
        Progress::Ended(End { report: Ok(report), .. }) if report.failure.is_none() => Some(report.clone()),
        _ => None,
    }
}

/// A good end.
fn ended<R>(report: R) -> Progress<R> {
    Progress::Ended(End { exit_code: 0, reason: "Completed".into(), report: Ok(report) })
}

/// What the end of the container says of the conducting.
fn conducted(end: End<PlanReport>) -> End<BuildReport> {
    let without = || "the container ended without a report of the build".to_owned();
    let report = end.report.and_then(|report| report.done.map(|done| *done).ok_or_else(without));
    End { exit_code: end.exit_code, reason: end.reason, report }
}
