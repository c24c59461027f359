//! How a try ends: another try, a failure that stays, or images.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::SignedDuration;
use slipway_crds::quantity;
use slipway_crds::status::{FailureStatus, HistoryEntry, ImagePlatform, ImageStatus};
use slipway_crds::validate::ValidBuild;
use slipway_protocol::paths::BUILD_CONTAINER;
use slipway_protocol::report::{BuildReport, Failure, ImageReport};

use super::conditions::{self, reasons, types};
use super::{Attempt, Event, Inputs, Plan, clock, progress, stop_pods};
use crate::pod_view::{PodView, Progress, Role};

/// A failure of which only the reason and a sentence are known.
pub(super) fn failure(reason: &str, message: &str) -> FailureStatus {
    FailureStatus { reason: reason.into(), message: message.into(), ..FailureStatus::default() }
}

/// A container ended badly: by its report, or by what the kubelet says of it.
#[allow(clippy::too_many_arguments)] // the words of one termination
pub(super) fn ended(
    inputs: &Inputs,
    valid: &ValidBuild,
    plan: &mut Plan,
    pod: &PodView,
    what: &str,
    kubelet_reason: &str,
    exit_code: i32,
    said: Option<Failure>,
) {
    let name = &pod.name;
    if let Some(said) = said {
        let retryable = said.retryable;
        let failed = FailureStatus { pod: name.clone(), ..told(said) };
        return if retryable {
            retry(inputs, valid, plan, failed);
        } else {
            fail(inputs, valid, plan, failed);
        };
    }
    let whose = if what == BUILD_CONTAINER {
        "buildPods.resources, a setting of the installation"
    } else {
        "the stage or of spec.pod"
    };
    if kubelet_reason == "OOMKilled" && !pod.memory_limited.iter().any(|limited| limited == what) {
        // No limit of its own: the node ran out, which another try, there or elsewhere, need not see again.
        let message = format!(
            "the {what} container of {name} was killed since its node has no memory left: ask for what it needs with resources.requests.memory of {whose}"
        );
        let failed = FailureStatus {
            exit_code: Some(exit_code),
            pod: name.clone(),
            ..failure(reasons::OUT_OF_MEMORY, &message)
        };
        return retry(inputs, valid, plan, failed);
    }
    if kubelet_reason == "OOMKilled" {
        let message = format!(
            "the {what} container of {name} was killed for its memory limit: raise resources.limits.memory of {whose}"
        );
        let failed = FailureStatus {
            exit_code: Some(exit_code),
            pod: name.clone(),
            ..failure(reasons::OUT_OF_MEMORY, &message)
        };
        return fail(inputs, valid, plan, failed);
    }
    let message = format!(
        "the {what} container of {name} ended with exit code {exit_code} ({kubelet_reason}) and no report: see `kubectl logs {name} -c {what}`"
    );
    retry(
        inputs,
        valid,
        plan,
        FailureStatus {
            exit_code: Some(exit_code),
            pod: name.clone(),
            ..failure(reasons::NO_REPORT, &message)
        },
    );
}

/// Takes over what an executor said.
fn told(said: Failure) -> FailureStatus {
    FailureStatus {
        reason: if said.reason.is_empty() { reasons::FAILED.into() } else { said.reason },
        message: said.message,
        stage: said.stage,
        instruction: said.instruction,
        line: i32::try_from(said.line).ok().filter(|line| *line > 0),
        exit_code: said.exit_code,
        tail: said.tail,
        pod: String::new(),
    }
}

/// Returns the seconds before the next try. A lost pod is made again at once; a registry or a server that is away may need
/// a while, and all tries together should outlast a minute of it.
fn pause(reason: &str, tried: i32) -> i64 {
    let pauses: [i64; 3] = match reason {
        reasons::POD_LOST | reasons::NO_REPORT | reasons::OUT_OF_MEMORY => [1, 5, 20],
        _ => [5, 60, 120],
    };
    pauses[usize::try_from(tried - 1).unwrap_or(0).min(2)]
}

/// A fault of the infrastructure: another try where there is one left. Layers that were committed are found again.
pub(super) fn retry(inputs: &Inputs, valid: &ValidBuild, plan: &mut Plan, failed: FailureStatus) {
    let tried = plan.status.attempt.max(1);
    if tried > valid.retries {
        let message = format!("{} (tried {tried} times)", failed.message);
        return fail(inputs, valid, plan, FailureStatus { message, ..failed });
    }
    stop_pods(inputs, plan);
    clock::stop(inputs, plan);
    let wait = pause(&failed.reason, tried);
    plan.status.retry_at = Some(MicroTime(inputs.stamp().0 + SignedDuration::from_secs(wait)));
    plan.again_in(SignedDuration::from_secs(wait));
    plan.status.attempt = tried + 1;
    plan.status.phase = "Pending".into();
    plan.events.push(Event { warning: true, reason: "BuildRetried".into(), note: failed.message.clone() });
    conditions::retrying(plan, inputs, &format!("try {} follows: {}", tried + 1, failed.message));
}

/// The build failed and stays so until the spec or the source changes.
pub(super) fn fail(inputs: &Inputs, valid: &ValidBuild, plan: &mut Plan, failed: FailureStatus) {
    stop_pods(inputs, plan);
    for stage in &mut plan.status.stages {
        if stage.name == failed.stage {
            stage.state = "Failed".into();
        } else if matches!(stage.state.as_str(), "Running" | "Waiting") {
            stage.state = "Cancelled".into();
        }
    }
    progress::count(plan);
    let (type_, reason) = match failed.reason.as_str() {
        reason @ "SourceFailed" => (types::SOURCE_READY, reason),
        reason @ ("PushFailed" | "CacheExportFailed") => (types::PUSHED, reason),
        reason @ ("DockerfileInvalid" | "ChecksFailed" | "ImageNotFound" | "PlanFailed") => {
            (types::PLANNED, reason)
        }
        reason => (types::BUILT, reason),
    };
    let message = sentence(&failed);
    conditions::set(plan, inputs, type_, "False", reason, &message);
    conditions::stalled(plan, inputs, reason, &message);
    plan.events.push(Event { warning: true, reason: reason.to_owned(), note: message });
    finish(inputs, valid, plan, "Failed", &failed.reason);
    plan.status.failure = Some(failed);
}

/// One line that says stage, line and message.
fn sentence(failed: &FailureStatus) -> String {
    let place = match (failed.stage.as_str(), failed.line) {
        ("", None) => String::new(),
        ("", Some(line)) => format!("line {line}: "),
        (stage, None) => format!("stage {stage}: "),
        (stage, Some(line)) => format!("stage {stage}, line {line}: "),
    };
    format!("{place}{}", failed.message)
}

/// The images are there.
pub(super) fn succeed(inputs: &Inputs, valid: &ValidBuild, plan: &mut Plan, report: &BuildReport) {
    for said in &report.stages {
        if let Some(status) = plan.status.stages.iter_mut().find(|s| s.name == said.name) {
            progress::fill(status, said);
        }
    }
    for stage in plan.status.stages.iter_mut().filter(|s| matches!(s.state.as_str(), "Running" | "Waiting")) {
        stage.state = "Succeeded".into();
    }
    progress::count(plan);
    let status = &mut plan.status;
    status.images = report.images.iter().map(|image| image_status(image, report.largest_stage)).collect();
    if let Some(first) = report.images.first() {
        status.size = quantity::human(first.size);
        first.reference.rsplit('@').next().unwrap_or_default().clone_into(&mut status.digest);
    }
    let cache = status.cache.get_or_insert_default();
    cache.bytes_reused = bytes(report.bytes_reused);
    cache.store_used = bytes(report.store_used);
    cache.store_free = bytes(report.store_free);
    let timing = status.timing.get_or_insert_default();
    timing.build = progress::round(report.build_seconds);
    timing.push = progress::round(report.push_seconds);
    status.registry_retries = i32::try_from(report.retries).unwrap_or(i32::MAX);
    status.failure = None;
    let pushed: Vec<&str> =
        report.images.iter().filter(|i| i.reference.contains('@')).map(|i| i.reference.as_str()).collect();
    let message = if pushed.is_empty() {
        "built; nothing was to be pushed".to_owned()
    } else {
        format!("pushed {}", pushed.join(", "))
    };
    let built = format!("{} stages", plan.status.stages.len());
    conditions::set(plan, inputs, types::BUILT, "True", reasons::SUCCEEDED, &built);
    if !pushed.is_empty() {
        conditions::set(plan, inputs, types::PUSHED, "True", reasons::SUCCEEDED, &message);
    }
    conditions::ready(plan, inputs, &message);
    plan.events.push(Event { warning: false, reason: "BuildSucceeded".into(), note: message });
    finish(inputs, valid, plan, "Succeeded", "");
}

fn image_status(image: &ImageReport, largest_stage: u64) -> ImageStatus {
    #[allow(clippy::cast_precision_loss)] // one decimal is shown
    let reduction = match largest_stage {
        0 => String::new(),
        largest if image.unpacked_size >= largest => String::new(),
        largest => format!("{:.1}%", 100.0 * (1.0 - image.unpacked_size as f64 / largest as f64)),
    };
    ImageStatus {
        target: image.target.clone(),
        reference: image.reference.clone(),
        tags: image.tags.clone(),
        size: quantity::human(image.size),
        size_bytes: bytes(image.size),
        unpacked_bytes: bytes(image.unpacked_size),
        layers: image.layers.iter().map(|size| bytes(*size)).collect(),
        reduction,
        platforms: image
            .platforms
            .iter()
            .map(|one| ImagePlatform {
                platform: one.platform.clone(),
                digest: one.digest.clone(),
                size: quantity::human(one.size),
            })
            .collect(),
    }
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Closes the run: times, phase, history.
fn finish(inputs: &Inputs, valid: &ValidBuild, plan: &mut Plan, result: &str, reason: &str) {
    let status = &mut plan.status;
    let seconds = |from: &Option<MicroTime>, to| {
        from.as_ref().map_or(0.0, |t: &MicroTime| progress::round(span(t, to)))
    };
    status.finished_at = Some(inputs.stamp());
    status.phase = result.into();
    status.queue_position = None;
    status.retry_at = None;
    status.placed_at = None;
    status.spent = 0.0;
    let total = seconds(&status.queued_at, inputs.now);
    let queued = match (&status.queued_at, &status.started_at) {
        (Some(queued), Some(started)) => progress::round(span(queued, started.0)),
        _ => total,
    };
    let timing = status.timing.get_or_insert_default();
    timing.total = total;
    timing.queued = queued;
    status.duration = quantity::human_seconds(total - queued);
    let entry = HistoryEntry {
        run: status.run,
        result: result.into(),
        reason: reason.into(),
        trigger: status.trigger.clone(),
        revision: status.source.as_ref().map(|s| s.revision.clone()).unwrap_or_default(),
        digest: if result == "Succeeded" { status.digest.clone() } else { String::new() },
        seconds: total,
        finished: status.finished_at.clone(),
    };
    status.history.retain(|old| old.run != entry.run);
    status.history.insert(0, entry);
    status.history.truncate(valid.history_limit);
    // Stage pods that are still open say nothing more that counts. The build pod ends by itself, as do those that it
    // spoke for, and keep their logs.
    if result == "Succeeded" {
        plan.objects = super::Objects::default();
        let open: Vec<String> = inputs
            .facts
            .pods
            .iter()
            .filter(|p| !p.over && !p.deleting && p.role != Role::Build && !leaves(inputs, p))
            .map(|p| p.name.clone())
            .collect();
        plan.delete_pods
            .extend(open.into_iter().filter(|name| !plan.delete_pods.contains(name)).collect::<Vec<_>>());
    }
    plan.requeue = Some(k8s_openapi::jiff::SignedDuration::from_secs_f64(valid.ttl + 0.5));
}

/// Tells whether a stage pod ends by itself: the build pod has told it to, and has said what it will say. One that was made again,
/// and waits for a node or an image, would start for nothing.
fn leaves(inputs: &Inputs, pod: &PodView) -> bool {
    let Role::Stage(number) = pod.role else { return false };
    if pod.scheduled.is_none() || matches!(pod.stage, Progress::Stuck(..)) {
        return false;
    }
    let attempt = Attempt { run: pod.run, number: pod.attempt };
    let build = progress::build_pod(inputs.facts, attempt);
    build.and_then(PodView::built).is_some_and(|report| report.pods.contains_key(&number))
}

fn span(from: &MicroTime, to: k8s_openapi::jiff::Timestamp) -> f64 {
    to.duration_since(from.0).as_secs_f64()
}
