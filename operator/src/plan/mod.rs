//! The whole policy as one pure function of the resource, what was observed, and the time.
//!
//! The status is the only memory: which run, which try, since when. Everything else is read anew from pods each time, so
//! the operator may be restarted between any two lines.

mod clock;
mod conditions;
mod events;
mod next;
mod order;
mod poll;
mod progress;
mod result;
mod scope;
mod trigger;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use slipway_crds::build::{CacheType, ImageBuild};
use slipway_crds::status::{FailureStatus, ImageBuildStatus};
use slipway_crds::validate::{FieldProblem, ValidBuild};

use crate::objects::pods::Blueprint;
use crate::objects::{claim, isolation, request};
use crate::observe::Facts;
use crate::pod_view::Role;
use crate::queue::Slot;
use crate::settings::Settings;

pub use conditions::{reasons, types};
pub use next::next_look;
pub use scope::first_scope;

#[cfg(test)]
mod tests;

/// One try of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The run's number.
    pub run: i64,
    /// The try's number, from 1.
    pub number: i32,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Objects that must exist, in the order to make them.
    pub objects: Objects,
    /// Pods that must not exist.
    pub delete_pods: Vec<String>,
    /// ConfigMaps of the operator's that must not exist.
    pub delete_requests: Vec<String>,
    /// The whole status.
    pub status: ImageBuildStatus,
    /// What to tell people, once each.
    pub events: Vec<Event>,
    /// When to look again though nothing changes.
    pub requeue: Option<SignedDuration>,
    /// The cluster had no room for what was planned first: to plan it again at once would be in vain.
    pub crowded: bool,
}

impl Plan {
    /// Looks again after this time, or earlier.
    fn again_in(&mut self, after: SignedDuration) {
        self.requeue = Some(self.requeue.map_or(after, |already| already.min(after)));
    }
}

/// Objects that must exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// The namespace's claim, first.
    pub claim: Option<PersistentVolumeClaim>,
    /// The request.
    pub request: Option<ConfigMap>,
    /// The build pod, then stage pods.
    pub pods: Vec<Pod>,
}

/// A Kubernetes event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// True for a warning.
    pub warning: bool,
    /// A stable word.
    pub reason: String,
    /// A sentence.
    pub note: String,
}

/// Everything that the policy works from.
pub struct Inputs<'a> {
    /// The resource.
    pub build: &'a ImageBuild,
    /// Its checked spec.
    pub valid: Result<&'a ValidBuild, &'a [FieldProblem]>,
    /// What was observed besides.
    pub facts: &'a Facts,
    /// The installation's settings.
    pub settings: &'a Settings,
    /// The time.
    pub now: Timestamp,
}

impl Inputs<'_> {
    /// The time as the status keeps it, in whole microseconds: what is written must be equal to what is read again.
    fn stamp(&self) -> MicroTime {
        MicroTime(Timestamp::from_microsecond(self.now.as_microsecond()).unwrap_or(self.now))
    }

    /// The time as conditions keep it, in whole seconds.
    fn second(&self) -> Time {
        Time(Timestamp::from_second(self.now.as_second()).unwrap_or(self.now))
    }

    /// Returns the seconds since something happened; 0 where it has not.
    fn since(&self, time: Option<Timestamp>) -> f64 {
        time.map_or(0.0, |time| self.now.duration_since(time).as_secs_f64())
    }
}

/// Decides.
pub fn plan(inputs: &Inputs) -> Plan {
    let mut plan = Plan { status: inputs.build.status.clone().unwrap_or_default(), ..Plan::default() };
    plan.status.observed_generation = inputs.build.metadata.generation;
    match inputs.valid {
        Err(problems) => refuse(inputs, problems, &mut plan),
        Ok(valid) => decide(inputs, valid, &mut plan),
    }
    let before = inputs.build.status.clone().unwrap_or_default();
    plan.events.extend(events::of_change(&before, &plan.status));
    plan
}

/// A spec that cannot be built: nothing runs, and the condition names the fields.
fn refuse(inputs: &Inputs, problems: &[FieldProblem], plan: &mut Plan) {
    let message = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if is_active(&plan.status) {
        plan.status.finished_at = Some(inputs.stamp());
    }
    clock::stop(inputs, plan);
    stop_pods(inputs, plan);
    plan.status.phase = "Failed".into();
    plan.status.queue_position = None;
    // A corrected spec must differ from this one to start anything, also from the one that last ran.
    plan.status.trigger_digest = String::new();
    plan.status.failure = Some(FailureStatus {
        reason: reasons::INVALID_SPEC.into(),
        message: message.clone(),
        ..FailureStatus::default()
    });
    conditions::stalled(plan, inputs, reasons::INVALID_SPEC, &message);
}

fn decide(inputs: &Inputs, valid: &ValidBuild, plan: &mut Plan) {
    let wanted = trigger::digest(inputs.build, inputs.facts);
    if trigger::is_reread(inputs, &wanted) {
        plan.status.trigger_digest.clone_from(&wanted);
    }
    if wanted != plan.status.trigger_digest {
        if valid.suspend {
            return suspended(inputs, plan);
        }
        trigger::start(inputs, wanted, None, plan);
    } else if !is_active(&plan.status)
        && let Some(revision) = poll::news(inputs, valid, plan)
    {
        trigger::start(inputs, wanted, Some(revision), plan);
    }
    if is_active(&plan.status) {
        drive(inputs, valid, plan);
    } else {
        settle(inputs, valid, plan);
    }
}

/// Suspended with something to build: says so and keeps the last result.
fn suspended(inputs: &Inputs, plan: &mut Plan) {
    poll::stop(inputs, plan);
    plan.status.phase = "Suspended".into();
    conditions::suspended(plan, inputs);
}

/// Whether a run is waiting or running.
fn is_active(status: &ImageBuildStatus) -> bool {
    status.run > 0 && status.finished_at.is_none()
}

/// Moves an active run on.
fn drive(inputs: &Inputs, valid: &ValidBuild, plan: &mut Plan) {
    let attempt = Attempt { run: plan.status.run, number: plan.status.attempt.max(1) };
    remove_others(inputs, attempt, plan);
    if let Some(at) = plan.status.retry_at.as_ref().map(|at| at.0) {
        if at > inputs.now {
            plan.again_in(at.duration_since(inputs.now) + SignedDuration::from_millis(50));
            return;
        }
        plan.status.retry_at = None;
    }
    if plan.status.started_at.is_none() {
        if let Some(problem) = inputs.facts.problems.first() {
            // A missing object may still come: wait for it, say so, and ask again.
            conditions::waiting(plan, inputs, reasons::MISSING_REFERENCE, problem);
            plan.requeue = Some(SignedDuration::from_secs(10));
            return;
        }
        match &inputs.facts.slot {
            Slot::Wait(place, why) => {
                plan.status.queue_position = Some(*place);
                plan.status.phase = "Queued".into();
                conditions::waiting(
                    plan,
                    inputs,
                    reasons::QUEUED,
                    &format!("place {place} in the queue: {why}"),
                );
                plan.requeue = Some(SignedDuration::from_secs(2));
                return;
            }
            Slot::Go => {
                plan.status.queue_position = None;
                plan.status.started_at = Some(inputs.stamp());
            }
        }
    }
    if let Some(left) = clock::time_left(inputs, valid, attempt, plan) {
        plan.requeue = Some(left);
    } else {
        let message =
            format!("the build took longer than {}", slipway_crds::quantity::human_seconds(valid.timeout));
        let failure = FailureStatus { reason: reasons::TIMEOUT.into(), message, ..FailureStatus::default() };
        return result::fail(inputs, valid, plan, failure);
    }
    if progress::build_pod(inputs.facts, attempt).is_none()
        && progress::of_attempt(inputs.facts, attempt).any(|pod| matches!(pod.role, Role::Stage(_)))
    {
        // Its stage pods were told to stop when it went, and would take no orders from another one.
        let lost = result::failure(reasons::POD_LOST, "the build pod was deleted");
        return result::retry(inputs, valid, plan, lost);
    }
    make_objects(inputs, valid, attempt, plan);
    progress::follow(inputs, valid, attempt, plan);
}

/// The objects of a try: all that can be made from what is known.
fn make_objects(inputs: &Inputs, valid: &ValidBuild, attempt: Attempt, plan: &mut Plan) {
    let Inputs { build, facts, settings, .. } = *inputs;
    let blueprint = Blueprint { build, valid, facts, settings, attempt };
    let one = valid.cache.kind == CacheType::None;
    let user_namespace = settings.user_namespaces
        && plan.status.isolation.as_ref().is_none_or(|i| i.reason != reasons::NO_USER_NAMESPACE);
    let rung = isolation::choose(valid.isolation, facts.level, settings.user_namespaces);
    if valid.cache.managed && !facts.claim_exists && !one {
        plan.objects.claim =
            Some(claim::claim(&build.namespace().unwrap_or_default(), &valid.cache, settings));
    }
    let here = |role: Role| {
        facts.pods.iter().any(|p| p.role == role && p.run == attempt.run && p.attempt == attempt.number)
    };
    if !here(Role::Build) {
        plan.objects.request = Some(request::config_map(build, valid, facts, settings, attempt));
        let together = rung.ok().filter(|_| one).map(|rung| (rung, user_namespace));
        plan.objects.pods.push(blueprint.build_pod(together));
        return;
    }
    let Some(report) = progress::plan_report(facts, attempt) else { return };
    let rung = match rung {
        Ok(_) if one => return,
        Ok(rung) => rung,
        Err(why) if report.stages.iter().any(|s| s.pod.is_some()) => {
            return result::fail(inputs, valid, plan, result::failure(reasons::ISOLATION, &why));
        }
        Err(_) => return,
    };
    let numbers = order::wanted(inputs, report, attempt, plan);
    for number in numbers.into_iter().filter(|n| !here(Role::Stage(*n))) {
        let stages: Vec<_> = report.stages.iter().filter(|s| s.pod == Some(number)).collect();
        plan.objects.pods.push(blueprint.stage_pod(number, &stages, rung, user_namespace));
    }
}

/// Pods of earlier runs and tries must go.
fn remove_others(inputs: &Inputs, attempt: Attempt, plan: &mut Plan) {
    for pod in &inputs.facts.pods {
        let current = pod.run == attempt.run && pod.attempt == attempt.number && pod.role != Role::Poll;
        if !current && !pod.deleting {
            plan.delete_pods.push(pod.name.clone());
        }
    }
}

/// No pod may go on.
fn stop_pods(inputs: &Inputs, plan: &mut Plan) {
    for pod in inputs.facts.pods.iter().filter(|p| !p.over && !p.deleting) {
        if !plan.delete_pods.contains(&pod.name) {
            plan.delete_pods.push(pod.name.clone());
        }
    }
    plan.objects = Objects::default();
}

/// How often the artifact of a Flux source is looked at.
const FLUX_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// After the end: pods are kept for their logs for a while, then removed.
fn settle(inputs: &Inputs, valid: &ValidBuild, plan: &mut Plan) {
    conditions::keep(plan, inputs, valid.suspend);
    if !valid.suspend && valid.source.as_ref().is_some_and(|source| source.flux.is_some()) {
        // Flux's kinds are not watched, since a cluster need not have them.
        plan.again_in(FLUX_INTERVAL);
    }
    let Some(finished) = plan.status.finished_at.as_ref().map(|t| t.0) else { return };
    let age = inputs.now.duration_since(finished).as_secs_f64();
    let pods = || inputs.facts.pods.iter().filter(|pod| pod.role != Role::Poll);
    if age >= valid.ttl {
        plan.delete_pods.extend(pods().filter(|p| !p.deleting).map(|p| p.name.clone()));
        plan.delete_requests.extend(inputs.facts.requests.iter().cloned());
    } else if pods().next().is_some() || !inputs.facts.requests.is_empty() {
        plan.again_in(SignedDuration::from_secs_f64(valid.ttl - age + 0.5));
    }
}

/// The namespace's quota has no room for a pod. It may have later: stage pods go in order, a build pod waits.
pub fn crowded(inputs: &Inputs, why: &str) -> Plan {
    Plan { crowded: true, ..without_room(inputs, why) }
}

fn without_room(inputs: &Inputs, why: &str) -> Plan {
    let mut again = plan(inputs);
    if !is_active(&again.status) {
        poll::refused(inputs, &mut again, why);
        return again;
    }
    let attempt = Attempt { run: again.status.run, number: again.status.attempt.max(1) };
    if progress::build_pod(inputs.facts, attempt).is_none() {
        // Nothing was made, so nothing has started: also the time does not count.
        if attempt.number == 1 {
            again.status.started_at = None;
        }
        clock::stop(inputs, &mut again);
        again.events.retain(|event| event.reason != "BuildStarted");
        conditions::waiting(&mut again, inputs, reasons::NO_ROOM, why);
        again.again_in(SignedDuration::from_secs(5));
        return again;
    }
    if again.status.in_order.is_empty() {
        let mut build = inputs.build.clone();
        why.clone_into(&mut build.status.get_or_insert_default().in_order);
        again = plan(&Inputs { build: &build, ..*inputs });
        order::begin(&mut again, why);
    }
    again.again_in(SignedDuration::from_secs(2));
    again
}

/// The API server refused an object by a rule, such as PodSecurity or a quota: the build fails with its words.
pub fn refused(inputs: &Inputs, valid: &ValidBuild, refusal: &str) -> Plan {
    let mut again = plan(inputs);
    if !is_active(&again.status) {
        poll::refused(inputs, &mut again, refusal);
        return again;
    }
    again.events.clear();
    result::fail(inputs, valid, &mut again, result::failure(reasons::REFUSED, refusal));
    again
}
