//! What a build pod said itself, before its kubelet did (`crate::intake`). The kubelet's words are the same, later and perhaps
//! shortened; but how a container ended badly is its to say.
//!
//! A container that planned and was heard goes on and conducts. For whoever reads the view, planning is over then, and what
//! the kubelet says of this container is said of the conducting.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use slipway_protocol::message::{self, Message};
use slipway_protocol::paths::{CONDUCT_CONTAINER, PLAN_CONTAINER};
use slipway_protocol::report::{BuildReport, PlanReport};

use super::{End, PodView, Progress, times};
use crate::objects::labels;

/// Puts into the view what the pod said.
pub(super) fn amend(view: &mut PodView, pod: &Pod, planner: Option<&ContainerStatus>) {
    if let Some(report) = said::<PlanReport>(pod, PLAN_CONTAINER) {
        match std::mem::take(&mut view.plan) {
            Progress::Waiting | Progress::Running => {
                conducts(view, Progress::Running, planner);
                view.plan = ended(report);
            }
            Progress::Ended(end) if !handed_over(&end) => {
                conducts(view, Progress::Ended(conducted(end)), planner);
                view.plan = ended(report);
            }
            // The next container conducts. The kubelet has the same plan, perhaps shortened.
            Progress::Ended(_) => view.plan = ended(report),
            stuck @ Progress::Stuck(..) => view.plan = stuck,
        }
    }
    // Said when all is pushed: whatever becomes of the container after it changes nothing, and its last words are shorter.
    if let Some(report) = said::<BuildReport>(pod, CONDUCT_CONTAINER) {
        view.conduct = ended(report);
    }
}

/// Reads what a container said.
fn said<R: Message>(pod: &Pod, container: &str) -> Option<R> {
    message::decode(pod.annotations().get(&labels::report(container))?).ok()
}

/// A good end, as the container said itself.
fn ended<R>(report: R) -> Progress<R> {
    Progress::Ended(End { exit_code: 0, reason: "Completed".into(), report: Ok(report) })
}

/// The container that planned is the one that conducts.
fn conducts(view: &mut PodView, conduct: Progress<BuildReport>, planner: Option<&ContainerStatus>) {
    view.conduct = conduct;
    view.conductor = PLAN_CONTAINER;
    (view.started, view.ended) = planner.map_or((None, None), times);
}

/// Tells whether the container only planned: the next one conducts.
fn handed_over(end: &End<PlanReport>) -> bool {
    end.exit_code == 0 && end.report.as_ref().is_ok_and(|report| report.done.is_none())
}

/// What the end of the container that planned says of the conducting.
fn conducted(end: End<PlanReport>) -> End<BuildReport> {
    let report = end.report.and_then(|report| {
        report
            .done
            .map(|done| *done)
            .ok_or_else(|| "the container ended without a report of the build".to_owned())
    });
    End { exit_code: end.exit_code, reason: end.reason, report }
}
