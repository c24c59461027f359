use serde_json::{Value, json};
use slipway_protocol::report::Failure;

use super::*;

/// A build pod as its kubelet shows it, with what it said itself.
fn pod(plan: &Value, conduct: &Value, said: &Value) -> PodView {
    let status = |name: &str, state: &Value| json!([{"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
    let pod = serde_json::from_value(json!({
        "metadata": {
            "name": "shop-1-build",
            "labels": {"slipway.dev/role": "build", "slipway.dev/run": "1", "slipway.dev/attempt": "1"},
            "annotations": said,
        },
        "status": {
            "initContainerStatuses": status("plan", plan), "containerStatuses": status("conduct", conduct),
        },
    }));
    PodView::of(&pod.unwrap()).unwrap()
}

fn planned(revision: &str) -> PlanReport {
    PlanReport { revision: revision.into(), ..PlanReport::default() }
}

fn built(retries: u32) -> BuildReport {
    BuildReport { retries, ..BuildReport::default() }
}

fn terminated<R: Message>(exit_code: i32, report: &R) -> Value {
    let (started, finished) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z");
    let message = message::encode(report);
    json!({"terminated": {
        "exitCode": exit_code, "reason": "Said", "message": message, "startedAt": started, "finishedAt": finished,
    }})
}

fn revision(view: &PodView) -> Option<&str> {
    match &view.plan {
        Progress::Ended(End { report: Ok(report), .. }) => Some(&report.revision),
        _ => None,
    }
}

fn retries(view: &PodView) -> Option<u32> {
    match &view.conduct {
        Progress::Ended(End { report: Ok(report), .. }) => Some(report.retries),
        _ => None,
    }
}

fn running() -> Value {
    json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}})
}

fn waiting() -> Value {
    json!({"waiting": {"reason": "PodInitializing"}})
}

fn said_plan() -> Value {
    json!({"slipway.dev/report.plan": message::encode(&planned("early"))})
}

#[test]
fn without_a_word_of_the_pod_the_kubelets_counts() {
    let none = json!({});
    let view = pod(&running(), &waiting(), &none);
    assert_eq!((&view.plan, &view.conduct), (&Progress::Running, &Progress::Waiting));
    let view = pod(&terminated(0, &planned("late")), &running(), &none);
    assert_eq!(
        (revision(&view), &view.conduct, view.conductor),
        (Some("late"), &Progress::Running, "conduct")
    );
    let view = pod(&terminated(0, &planned("late")), &terminated(0, &built(3)), &none);
    assert_eq!(retries(&view), Some(3));
    assert!(view.over && view.ended.is_some());
}

#[test]
fn whoever_said_the_plan_conducts() {
    let view = pod(&running(), &waiting(), &said_plan());
    assert_eq!((revision(&view), &view.conduct, view.conductor), (Some("early"), &Progress::Running, "plan"));
    assert!(view.started.is_some());
    // Its end is that of the build.
    let all = PlanReport { done: Some(Box::new(built(7))), ..planned("late") };
    let view = pod(&terminated(0, &all), &waiting(), &said_plan());
    assert_eq!((revision(&view), retries(&view)), (Some("early"), Some(7)));
    assert!(view.ended.is_some() && !view.over, "the pod has another container");
}

#[test]
fn a_bad_end_of_whoever_conducts_is_the_builds() {
    let failure = Failure { reason: "RunFailed".into(), ..Failure::default() };
    let done = BuildReport { failure: Some(failure.clone()), ..built(1) };
    let all = PlanReport { done: Some(Box::new(done)), ..planned("late") };
    let view = pod(&terminated(1, &all), &waiting(), &said_plan());
    assert_eq!(revision(&view), Some("early"));
    let Progress::Ended(End { exit_code: 1, report: Ok(report), .. }) = &view.conduct else {
        panic!("{:?}", view.conduct);
    };
    assert_eq!((report.retries, report.failure.as_ref()), (1, Some(&failure)));
    assert!(view.over, "nothing follows in this pod, so nobody needs to remove it, and its log stays");
    // It was killed.
    let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let view = pod(&killed, &waiting(), &said_plan());
    assert_eq!(revision(&view), Some("early"));
    assert!(
        matches!(&view.conduct, Progress::Ended(End { exit_code: 137, reason, report: Err(_) }) if reason == "OOMKilled")
    );
}

/// The operator took the report, and the pod did not hear that it did.
#[test]
fn who_only_planned_hands_over() {
    let view = pod(&terminated(0, &planned("late")), &running(), &said_plan());
    assert_eq!(
        (revision(&view), &view.conduct, view.conductor),
        (Some("early"), &Progress::Running, "conduct")
    );
}

#[test]
fn a_build_is_done_when_it_says_so() {
    let mut said = said_plan();
    said["slipway.dev/report.conduct"] = message::encode(&built(2)).into();
    assert_eq!(retries(&pod(&running(), &waiting(), &said)), Some(2));
    // The kubelet's word may be shorter.
    let all = PlanReport { done: Some(Box::new(built(7))), ..planned("late") };
    assert_eq!(retries(&pod(&terminated(0, &all), &waiting(), &said)), Some(2));
    // Nor does it matter how the container ends after it.
    let killed = json!({"terminated": {"exitCode": 137, "reason": "Error"}});
    assert_eq!(retries(&pod(&killed, &waiting(), &said)), Some(2));
    let only = json!({"slipway.dev/report.conduct": message::encode(&built(2))});
    assert_eq!(retries(&pod(&terminated(0, &planned("late")), &running(), &only)), Some(2));
}

#[test]
fn nothing_is_talked_away() {
    let stuck = json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
    assert!(matches!(pod(&stuck, &waiting(), &said_plan()).plan, Progress::Stuck(..)));
    let nonsense = json!({"slipway.dev/report.plan": "bye", "slipway.dev/report.conduct": "bye"});
    let view = pod(&running(), &waiting(), &nonsense);
    assert_eq!((&view.plan, &view.conduct), (&Progress::Running, &Progress::Waiting));
}

#[test]
fn what_was_built_at_once_is_built() {
    let all = PlanReport { done: Some(Box::new(built(7))), ..planned("all") };
    let said = json!({"slipway.dev/report.plan": message::encode(&all)});
    assert_eq!(pod(&running(), &waiting(), &said).built().map(|report| report.retries), Some(7));
    assert!(pod(&running(), &waiting(), &said_plan()).built().is_none());
}

/// Others put containers of their own into pods.
#[test]
fn only_the_end_of_our_own_first_container_is_the_pods() {
    let status = |name: &str| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 1}}});
    let pod = |name: &str| {
        let pod = json!({
            "metadata": {"name": "b", "labels": {"slipway.dev/role": "build", "slipway.dev/run": "1", "slipway.dev/attempt": "1"}},
            "status": {"initContainerStatuses": [status(name)]},
        });
        PodView::of(&serde_json::from_value(pod).unwrap()).unwrap()
    };
    assert!(pod("plan").over && !pod("mesh").over);
}
