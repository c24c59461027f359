//! What starts a build: a changed spec, a new revision of a Flux source, an annotation. Nothing else.

use kube::ResourceExt;
use slipway_crds::status::{ImageBuildStatus, PollStatus, SourceStatus};
use slipway_crds::{ImageBuild, ImageBuildSpec, REBUILD_ANNOTATION, RECONCILE_ANNOTATION};
use slipway_oci::Digest;

use super::{Event, Inputs, Plan, conditions};
use crate::observe::Facts;

/// Returns a digest of all that decides whether a build is due.
pub(super) fn digest(build: &ImageBuild, facts: &Facts) -> String {
    parts(build, facts).map(|(_, part)| Digest::of(part).hex()[..16].to_owned()).join("-")
}

/// Tells whether a digest differs only because another version of the operator reads the same spec: fields come, and get
/// defaults, with an upgrade. Whether a person changed anything is what the generation says. An upgrade must not build
/// everything anew.
///
/// A suspended build may owe a run of which only the difference is left, so it is never taken for one.
pub(super) fn is_reread(inputs: &Inputs, wanted: &str) -> bool {
    let Some(status) = &inputs.build.status else { return false };
    let generation = inputs.build.metadata.generation;
    let besides_the_spec = |digest: &str| digest.split_once('-').map(|(_, rest)| rest.to_owned());
    generation.is_some()
        && status.observed_generation == generation
        && status.phase != "Suspended"
        && !status.trigger_digest.is_empty()
        && besides_the_spec(&status.trigger_digest) == besides_the_spec(wanted)
}

/// The parts of the digest, each with the words for people.
fn parts(build: &ImageBuild, facts: &Facts) -> [(&'static str, String); 4] {
    // Suspending, keeping and placing do not change what comes out.
    let mut spec = ImageBuildSpec { suspend: false, history: None, ..build.spec.clone() };
    if let Some(git) = spec.source.as_mut().and_then(|source| source.git.as_mut()) {
        git.interval = None;
    }
    let annotation = |name: &str| build.annotations().get(name).cloned().unwrap_or_default();
    [
        ("spec changed", serde_json::to_string(&spec).unwrap_or_default()),
        ("annotation slipway.dev/rebuild", annotation(REBUILD_ANNOTATION)),
        ("annotation reconcile.fluxcd.io/requestedAt", annotation(RECONCILE_ANNOTATION)),
        ("new source revision", facts.artifact.as_ref().map(|a| a.digest.clone()).unwrap_or_default()),
    ]
}

/// Starts a new run; what still runs of an older one is given up. `moved` is the revision of a git source that was seen.
pub(super) fn start(inputs: &Inputs, wanted: String, moved: Option<String>, plan: &mut Plan) {
    let old = &plan.status;
    let reason = match (&moved, old.run) {
        (Some(_), _) => "new source revision",
        (None, 0) => "created",
        _ => changed(inputs, &old.trigger_digest, &wanted),
    };
    // A run that was never started has made nothing: the new one takes its number.
    let run = if old.run > 0 && old.started_at.is_none() && old.finished_at.is_none() {
        old.run
    } else {
        old.run + 1
    };
    let status = ImageBuildStatus {
        observed_generation: old.observed_generation,
        phase: "Pending".into(),
        conditions: old.conditions.clone(),
        run,
        attempt: 1,
        trigger: reason.into(),
        trigger_digest: wanted,
        last_handled_reconcile_at: inputs.build.annotations().get(RECONCILE_ANNOTATION).cloned(),
        queued_at: Some(inputs.stamp()),
        history: old.history.clone(),
        poll: old.poll.clone().map(|poll| PollStatus { acted: moved.unwrap_or_default(), ..poll }),
        // The last good image stays in sight while the next one is made.
        images: old.images.clone(),
        digest: old.digest.clone(),
        size: old.size.clone(),
        source: Some(SourceStatus {
            revision: inputs.facts.artifact.as_ref().map(|a| a.revision.clone()).unwrap_or_default(),
            ..SourceStatus::default()
        })
        .filter(|s| !s.revision.is_empty()),
        ..ImageBuildStatus::default()
    };
    plan.events.push(Event {
        warning: false,
        reason: "BuildQueued".into(),
        note: format!("build {}: {reason}", status.run),
    });
    plan.status = status;
    conditions::waiting(
        plan,
        inputs,
        conditions::reasons::PROGRESSING,
        &format!("build {} is starting: {reason}", plan.status.run),
    );
}

/// Says which part of the digest changed.
fn changed(inputs: &Inputs, old: &str, new: &str) -> &'static str {
    let names = parts(inputs.build, inputs.facts).map(|(name, _)| name);
    old.split('-')
        .zip(new.split('-'))
        .zip(names)
        .find(|((old, new), _)| old != new)
        .map_or("spec changed", |(_, name)| name)
}
