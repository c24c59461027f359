//! Follows the pods of a try: from what they say to the status, and to the end.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use slipway_crds::quantity;
use slipway_crds::status::{IsolationStatus, SourceStatus, StageStatus};
use slipway_crds::validate::ValidBuild;
use slipway_protocol::paths::{BUILD_CONTAINER, REPORT_CONTAINER, STAGE_CONTAINER};
use slipway_protocol::report::{BuildReport, PlanReport, PlannedStage, StagePodReport, StageReport};

use super::conditions::{self, reasons, types};
use super::result::{self, failure};
use super::{Attempt, Inputs, Plan};
use crate::observe::Facts;
use crate::pod_view::{End, PodView, Progress, Role};

/// How long a pod may be stuck before the build gives up: image pulls and missing keys do not mend themselves.
const STUCK_LIMIT: f64 = 120.0;
/// How long a pod with a user namespace may take to start before it is tried without.
const USER_NAMESPACE_LIMIT: f64 = 45.0;
/// How long a stage pod that was stopped may wait for the failure that it follows.
const STOPPED_LIMIT: f64 = 20.0;
/// How long a build may go on of which no kubelet will say that it has a plan; and how long where it may say so itself.
const SILENCE_LIMITS: (f64, f64) = (120.0, 600.0);
/// How long the end waits for the last words of stage pods.
const LAST_WORDS: f64 = 5.0;

/// Returns the plan of a try once there is one.
pub(super) fn plan_report(facts: &Facts, attempt: Attempt) -> Option<&PlanReport> {
    match &build_pod(facts, attempt)?.plan {
        Progress::Ended(End { exit_code: 0, report: Ok(report), .. }) => Some(report),
        _ => None,
    }
}

pub(super) fn build_pod(facts: &Facts, attempt: Attempt) -> Option<&PodView> {
    of_attempt(facts, attempt).find(|p| p.role == Role::Build)
}

pub(super) fn of_attempt(facts: &Facts, attempt: Attempt) -> impl Iterator<Item = &PodView> {
    facts.pods.iter().filter(move |p| p.run == attempt.run && p.attempt == attempt.number)
}

/// Reads the pods of a try and moves the status on.
pub(super) fn follow(inputs: &Inputs, valid: &ValidBuild, attempt: Attempt, plan: &mut Plan) {
    if plan.status.finished_at.is_some() {
        return; // something above has ended it
    }
    let Some(pod) = build_pod(inputs.facts, attempt) else {
        plan.status.phase = "Planning".into();
        return conditions::waiting(plan, inputs, reasons::PROGRESSING, "the build pod is being made");
    };
    // What was pushed stays pushed, whatever becomes of the pods.
    let built = pod.built().is_some();
    if let Some(why) = lost(pod).filter(|_| !built) {
        return result::retry(
            inputs,
            valid,
            plan,
            failure(reasons::POD_LOST, &format!("the build pod {} was lost: {why}", pod.name)),
        );
    }
    match &pod.plan {
        Progress::Ended(End { exit_code: 0, report: Ok(report), .. }) => {
            planned(inputs, report, plan);
        }
        Progress::Ended(end) => {
            let failed = end.report.as_ref().ok().and_then(|report| report.failure.clone());
            return result::ended(
                inputs,
                valid,
                plan,
                pod,
                BUILD_CONTAINER,
                &end.reason,
                end.exit_code,
                failed,
            );
        }
        other => {
            let limit = if inputs.settings.reports.is_some() { SILENCE_LIMITS.1 } else { SILENCE_LIMITS.0 };
            if let Some((since, why)) = &pod.silent
                && inputs.since(Some(*since)) > limit
            {
                let message = format!(
                    "the {REPORT_CONTAINER} container of {} says no plan ({why}), and the pod itself was not heard",
                    pod.name
                );
                return result::retry(inputs, valid, plan, failure(reasons::NO_REPORT, &message));
            }
            return starting(inputs, valid, pod, other, plan);
        }
    }
    for stage_pod in of_attempt(inputs.facts, attempt) {
        let Some(number) = stage_pod.number() else { continue };
        stage(inputs, number, stage_pod, plan);
        if !built && trouble(inputs, valid, stage_pod, plan) {
            return;
        }
    }
    count(plan);
    match &pod.conduct {
        Progress::Ended(End { exit_code: 0, report: Ok(report), .. }) => {
            let talking = last_words(inputs, attempt, report, plan);
            let since = inputs.since(pod.ended);
            if talking && since < LAST_WORDS {
                plan.again_in(SignedDuration::from_millis(300));
                running(inputs, attempt, plan);
            } else {
                result::succeed(inputs, valid, plan, report);
            }
        }
        Progress::Ended(end) => {
            let failed = end.report.as_ref().ok().and_then(|r| r.failure.clone());
            result::ended(inputs, valid, plan, pod, BUILD_CONTAINER, &end.reason, end.exit_code, failed);
        }
        Progress::Stuck(..) => starting(inputs, valid, pod, &pod.conduct, plan),
        Progress::Waiting | Progress::Running => running(inputs, attempt, plan),
    }
}

/// Takes over what the build pod says that stage pods will say. Returns whether others are yet to say something.
fn last_words(inputs: &Inputs, attempt: Attempt, report: &BuildReport, plan: &mut Plan) -> bool {
    let mut talking = false;
    for pod in of_attempt(inputs.facts, attempt) {
        let Some(number) = pod.number() else { continue };
        if matches!(&pod.stage, Progress::Ended(End { report: Ok(_), .. })) {
            continue;
        }
        match report.pods.get(&number) {
            Some(said) => heard(inputs, number, pod, said, plan),
            None => talking |= !pod.over,
        }
    }
    talking
}

/// Why a pod is lost, where it is.
fn lost(pod: &PodView) -> Option<String> {
    pod.disrupted.clone().or_else(|| (pod.deleting && !pod.over).then(|| "it was deleted".to_owned()))
}

/// The plan is there: the stages come into the status.
fn planned(inputs: &Inputs, report: &PlanReport, plan: &mut Plan) {
    let status = &mut plan.status;
    status.source =
        Some(SourceStatus { revision: report.revision.clone(), digest: report.source_digest.clone() });
    status.pruned_stages = i32::try_from(report.pruned).unwrap_or(i32::MAX);
    status.warnings.clone_from(&report.warnings);
    status.timing.get_or_insert_default().plan = round(report.seconds);
    let numbers = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    status.stages = report
        .stages
        .iter()
        .map(|stage| StageStatus {
            name: stage.name.clone(),
            state: if stage.steps == stage.cached { "Cached" } else { "Waiting" }.into(),
            steps: numbers(stage.steps),
            cached: numbers(stage.cached),
            why: stage.why.clone(),
            ..StageStatus::default()
        })
        .collect();
    let cache = status.cache.get_or_insert_default();
    cache.steps = numbers(report.stages.iter().map(|s| s.steps).sum());
    cache.hits = numbers(report.stages.iter().map(|s| s.cached).sum());
    cache.imported = numbers(report.imported);
    let revision =
        if report.revision.is_empty() { "the source is there".to_owned() } else { report.revision.clone() };
    conditions::set(plan, inputs, types::SOURCE_READY, "True", reasons::SUCCEEDED, &revision);
    let planned =
        format!("{} stages, {} of {} steps cached", report.stages.len(), cache_hits(plan), cache_steps(plan));
    conditions::set(plan, inputs, types::PLANNED, "True", reasons::SUCCEEDED, &planned);
}

fn cache_hits(plan: &Plan) -> i32 {
    plan.status.cache.as_ref().map_or(0, |c| c.hits)
}

fn cache_steps(plan: &Plan) -> i32 {
    plan.status.cache.as_ref().map_or(0, |c| c.steps)
}

/// How a stage pod stands comes into the status.
fn stage(inputs: &Inputs, number: u32, pod: &PodView, plan: &mut Plan) {
    let attempt = Attempt { run: pod.run, number: pod.attempt };
    if let Progress::Ended(End { report: Ok(report), .. }) = &pod.stage {
        return heard(inputs, number, pod, report, plan);
    }
    for planned in stages_of(inputs.facts, attempt, number) {
        let Some(status) = plan.status.stages.iter_mut().find(|s| s.name == planned.name) else { continue };
        status.pod.clone_from(&pod.name);
        match &pod.stage {
            Progress::Running => {
                status.state = "Running".into();
                status.started = pod.stage_started.map(MicroTime);
            }
            Progress::Ended(_) => status.state = "Failed".into(),
            Progress::Waiting | Progress::Stuck(..) => {}
        }
    }
}

/// What a stage pod says comes into the status.
fn heard(inputs: &Inputs, number: u32, pod: &PodView, report: &StagePodReport, plan: &mut Plan) {
    let attempt = Attempt { run: pod.run, number: pod.attempt };
    for planned in stages_of(inputs.facts, attempt, number) {
        let Some(status) = plan.status.stages.iter_mut().find(|s| s.name == planned.name) else { continue };
        status.pod.clone_from(&pod.name);
        if let Some(said) = report.stages.iter().find(|s| s.name == planned.name) {
            fill(status, said);
        }
    }
    if !report.isolation.is_empty()
        && plan.status.isolation.as_ref().is_none_or(|i| i.reason != reasons::NO_USER_NAMESPACE)
    {
        plan.status.isolation =
            Some(IsolationStatus { way: report.isolation.clone(), reason: report.isolation_reason.clone() });
    }
}

/// Returns the stages that a pod runs.
fn stages_of(facts: &Facts, attempt: Attempt, number: u32) -> impl Iterator<Item = &PlannedStage> {
    let report = plan_report(facts, attempt);
    report.into_iter().flat_map(|report| &report.stages).filter(move |stage| stage.pod == Some(number))
}

/// Writes a stage's report into its status.
pub(super) fn fill(status: &mut StageStatus, said: &StageReport) {
    let time = |seconds: f64| {
        #[allow(clippy::cast_possible_truncation)] // microseconds since 1970 fit
        Timestamp::from_microsecond((seconds * 1e6) as i64).ok().filter(|_| seconds > 0.0).map(MicroTime)
    };
    status.state = if said.failure.is_some() {
        "Failed"
    } else if said.ran == 0 {
        "Cached"
    } else {
        "Succeeded"
    }
    .into();
    status.started = time(said.started);
    status.finished = time(said.finished);
    status.seconds = Some(round(said.finished - said.started));
    status.waited = (said.waited >= 0.01).then(|| round(said.waited));
    status.cached = i32::try_from(said.cached).unwrap_or(i32::MAX);
    status.size = quantity::human(said.size);
}

/// Cuts seconds to milliseconds; what is no time is none.
pub(super) fn round(seconds: f64) -> f64 {
    let rounded = (seconds.max(0.0) * 1000.0).round() / 1000.0;
    if rounded.is_finite() { rounded } else { 0.0 }
}

/// Looks for what is wrong with a stage pod. Returns true where that ended the try.
fn trouble(inputs: &Inputs, valid: &ValidBuild, pod: &PodView, plan: &mut Plan) -> bool {
    if pod.deleting && !plan.status.in_order.is_empty() {
        // It gave its room up to one that goes before it, and is made again when its turn comes.
        return false;
    }
    if let Some(why) = pod.disrupted.clone() {
        let message = format!("the stage pod {} was lost: {why}", pod.name);
        result::retry(inputs, valid, plan, failure(reasons::POD_LOST, &message));
        return true;
    }
    let age = age(inputs, pod);
    match &pod.stage {
        Progress::Ended(end) if end.exit_code != 0 => {
            let failed =
                end.report.as_ref().ok().and_then(|r| r.stages.iter().find_map(|s| s.failure.clone()));
            // A stage that was told to stop only follows another failure, which has or will have its own words.
            if failed.is_none() && end.exit_code == i32::from(slipway_protocol::paths::EXIT_CANCELLED) {
                let since = inputs.since(pod.stage_ended);
                if since < STOPPED_LIMIT {
                    plan.again_in(SignedDuration::from_secs(5));
                    return false;
                }
                let message =
                    format!("the stage pod {} was stopped, and the build goes on without it", pod.name);
                result::retry(inputs, valid, plan, failure(reasons::POD_LOST, &message));
                return true;
            }
            // In one pod, the build has a moment to end by itself: a pod that is removed has no log.
            let since = inputs.since(pod.stage_ended);
            if pod.one && !matches!(pod.conduct, Progress::Ended(_)) && since < LAST_WORDS {
                plan.again_in(SignedDuration::from_millis(300));
                return false;
            }
            result::ended(inputs, valid, plan, pod, STAGE_CONTAINER, &end.reason, end.exit_code, failed);
            true
        }
        Progress::Stuck(reason, message) if age > STUCK_LIMIT => {
            let message = format!("the stage pod {} cannot start: {reason}: {message}", pod.name);
            result::fail(inputs, valid, plan, failure(reasons::POD_STUCK, &message));
            true
        }
        Progress::Waiting
            if pod.user_namespace
                && !pod.one
                && pod.unschedulable.is_none()
                && age > USER_NAMESPACE_LIMIT
                && !pod.deleting =>
        {
            plan.status.isolation =
                Some(IsolationStatus { way: String::new(), reason: reasons::NO_USER_NAMESPACE.into() });
            plan.delete_pods.push(pod.name.clone());
            false
        }
        Progress::Waiting | Progress::Stuck(..) => {
            plan.again_in(SignedDuration::from_secs(5));
            false
        }
        _ => false,
    }
}

/// Returns the seconds since a node took the pod, or since it was made.
fn age(inputs: &Inputs, pod: &PodView) -> f64 {
    inputs.since(pod.scheduled.or(pod.created))
}

/// The build pod has not got to its work yet.
fn starting<R>(inputs: &Inputs, valid: &ValidBuild, pod: &PodView, progress: &Progress<R>, plan: &mut Plan) {
    plan.status.phase = "Planning".into();
    let age = age(inputs, pod);
    if pod.silent.is_some() {
        plan.again_in(SignedDuration::from_secs(5));
    }
    let message = match (progress, &pod.unschedulable) {
        (Progress::Stuck(reason, message), _) => {
            let text = format!("the build pod {} cannot start: {reason}: {message}", pod.name);
            if age > STUCK_LIMIT {
                return result::fail(inputs, valid, plan, failure(reasons::POD_STUCK, &text));
            }
            plan.again_in(SignedDuration::from_secs(10));
            text
        }
        (Progress::Waiting, None) if pod.user_namespace && age > USER_NAMESPACE_LIMIT && !pod.deleting => {
            plan.status.isolation =
                Some(IsolationStatus { way: String::new(), reason: reasons::NO_USER_NAMESPACE.into() });
            plan.delete_pods.push(pod.name.clone());
            "the node gives the build pod no user namespace: it is made without".to_owned()
        }
        (_, Some(why)) => format!("no node takes the build pod: {why}"),
        (Progress::Running, None) => "the build is being planned".to_owned(),
        _ => {
            if pod.user_namespace {
                plan.again_in(SignedDuration::from_secs(10));
            }
            "the build pod is starting".to_owned()
        }
    };
    conditions::waiting(plan, inputs, reasons::PROGRESSING, &message);
}

fn running(inputs: &Inputs, attempt: Attempt, plan: &mut Plan) {
    let open: Vec<&str> = plan.status.stages.iter().filter(|s| !done(s)).map(|s| s.name.as_str()).collect();
    let message = if open.is_empty() {
        plan.status.phase = "Pushing".into();
        "all stages are done; the images are being written".to_owned()
    } else {
        plan.status.phase = "Running".into();
        let homeless = of_attempt(inputs.facts, attempt)
            .filter(|pod| !pod.over)
            .find_map(|pod| Some(format!("; no node takes {}: {}", pod.name, pod.unschedulable.as_ref()?)));
        let done = &plan.status.progress;
        format!("stages done: {done}; to do: {}{}", open.join(", "), homeless.unwrap_or_default())
    };
    conditions::waiting(plan, inputs, reasons::PROGRESSING, &message);
}

fn done(stage: &StageStatus) -> bool {
    matches!(stage.state.as_str(), "Succeeded" | "Cached")
}

/// Counts the stages that are done.
pub(super) fn count(plan: &mut Plan) {
    let done = plan.status.stages.iter().filter(|s| done(s)).count();
    plan.status.progress = format!("{done}/{}", plan.status.stages.len());
}
