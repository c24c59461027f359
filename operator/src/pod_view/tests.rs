use serde_json::{Value, json};
use slipway_protocol::report::Failure;

use super::*;

/// A build pod as its kubelet shows it: the build and the container beside it; with what it said itself.
fn pod(build: &Value, report: &Value, said: &Value) -> PodView {
    let status = |name: &str, state: &Value| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let pod = serde_json::from_value(json!({
        "metadata": {
            "name": "shop-1-build",
            "labels": {"slipway.dev/role": "build", "slipway.dev/run": "1", "slipway.dev/attempt": "1"},
            "annotations": said,
        },
        "status": {"containerStatuses": [status("report", report), status("build", build), status("mesh", &terminated(1, &built(9)))]},
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

/// What a build leaves at its end.
fn all(revision: &str, done: BuildReport) -> PlanReport {
    PlanReport { done: Some(Box::new(done)), ..planned(revision) }
}

#[test]
fn without_a_word_of_the_pod_the_kubelets_counts() {
    let none = json!({});
    let view = pod(&running(), &waiting(), &none);
    assert_eq!((&view.plan, &view.conduct), (&Progress::Running, &Progress::Waiting));
    assert!(view.started.is_some());
    // The container beside the build ends when there is a plan.
    let said = terminated(0, &planned("beside"));
    let view = pod(&running(), &said, &none);
    assert_eq!((revision(&view), &view.conduct), (Some("beside"), &Progress::Running));
    assert!(!view.over);
    let view = pod(&terminated(0, &all("end", built(3))), &said, &none);
    assert_eq!((revision(&view), retries(&view)), (Some("beside"), Some(3)));
    assert!(view.over && view.ended.is_some());
    // The build was faster.
    let view = pod(&terminated(0, &all("end", built(3))), &waiting(), &none);
    assert_eq!((revision(&view), retries(&view)), (Some("end"), Some(3)));
}

#[test]
fn what_the_pod_says_comes_first() {
    let view = pod(&running(), &waiting(), &said_plan());
    assert_eq!((revision(&view), &view.conduct), (Some("early"), &Progress::Running));
    let view = pod(&terminated(0, &all("end", built(7))), &terminated(0, &planned("beside")), &said_plan());
    assert_eq!((revision(&view), retries(&view)), (Some("early"), Some(7)));
}

#[test]
fn a_build_is_done_when_it_says_so() {
    let mut said = said_plan();
    said["slipway.dev/report.build"] = message::encode(&built(2)).into();
    assert_eq!(retries(&pod(&running(), &waiting(), &said)), Some(2));
    // The kubelet's word may be shorter.
    assert_eq!(retries(&pod(&terminated(0, &all("end", built(7))), &waiting(), &said)), Some(2));
    // Nor does it matter how the container ends after it.
    let killed = json!({"terminated": {"exitCode": 137, "reason": "Error"}});
    let view = pod(&killed, &waiting(), &said);
    assert_eq!((retries(&view), view.built().map(|report| report.retries)), (Some(2), Some(2)));
    // Where nobody waited for the plan, all is said at once.
    let said = json!({"slipway.dev/report.plan": message::encode(&all("all", built(7)))});
    let view = pod(&running(), &waiting(), &said);
    assert_eq!((revision(&view), view.built().map(|report| report.retries)), (Some("all"), Some(7)));
    assert!(pod(&running(), &waiting(), &said_plan()).built().is_none());
}

#[test]
fn a_bad_end_has_its_reason() {
    let failure = Failure { reason: "RunFailed".into(), ..Failure::default() };
    // Planning failed.
    let report = PlanReport { failure: Some(failure.clone()), ..PlanReport::default() };
    let view = pod(&terminated(1, &report), &waiting(), &json!({}));
    assert!(
        matches!(&view.plan, Progress::Ended(End { exit_code: 1, report: Ok(report), .. }) if report.failure.is_some())
    );
    assert_eq!(view.conduct, Progress::Waiting);
    // What was planned failed, whether it was heard of before or not.
    let done = BuildReport { failure: Some(failure.clone()), ..built(1) };
    for (said, expected) in [(json!({}), "end"), (said_plan(), "early")] {
        let view = pod(&terminated(1, &all("end", done.clone())), &waiting(), &said);
        assert_eq!(revision(&view), Some(expected));
        let Progress::Ended(End { exit_code: 1, report: Ok(report), .. }) = &view.conduct else {
            panic!("{:?}", view.conduct);
        };
        assert_eq!((report.retries, report.failure.as_ref()), (1, Some(&failure)));
        assert!(view.over, "its log stays, so nobody needs to remove it");
    }
    // It was killed, before there was a plan and after.
    let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let view = pod(&killed, &waiting(), &json!({}));
    assert!(matches!(&view.plan, Progress::Ended(End { exit_code: 137, report: Err(_), .. })));
    let view = pod(&killed, &waiting(), &said_plan());
    assert_eq!(revision(&view), Some("early"));
    assert!(
        matches!(&view.conduct, Progress::Ended(End { exit_code: 137, reason, report: Err(_) }) if reason == "OOMKilled")
    );
}

#[test]
fn nothing_is_talked_away() {
    let stuck = json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
    let none = json!({});
    assert!(matches!(pod(&stuck, &waiting(), &none).plan, Progress::Stuck(..)));
    let nonsense = json!({"slipway.dev/report.plan": "bye", "slipway.dev/report.build": "bye"});
    let view = pod(&running(), &waiting(), &nonsense);
    assert_eq!((&view.plan, &view.conduct), (&Progress::Running, &Progress::Waiting));
}

/// The container beside the build ends without a word where the build does; where that goes on, something is wrong.
#[test]
fn a_build_of_which_nobody_would_hear_is_noticed() {
    let none = json!({});
    let stuck = json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
    let killed =
        json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:00:09Z"}});
    // A kubelet cuts what is too long.
    let cut = json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": "gz:H4sI", "finishedAt": "2026-01-01T00:00:09Z"}});
    for (beside, word) in [(&stuck, "no such image"), (&killed, "OOMKilled"), (&cut, "Completed")] {
        let view = pod(&running(), beside, &none);
        assert_eq!(view.plan, Progress::Running);
        assert!(view.silent.as_ref().is_some_and(|(_, why)| why.contains(word)), "{:?}", view.silent);
        let view = pod(&running(), beside, &said_plan());
        assert_eq!((revision(&view), &view.silent), (Some("early"), &None));
        assert_eq!(pod(&terminated(0, &all("end", built(3))), beside, &none).silent, None);
    }
    assert_eq!(pod(&running(), &running(), &none).silent, None);
}

/// A pod that is deleted before it ran ends as `Failed` too.
#[test]
fn who_is_deleted_is_not_lost() {
    let pod = json!({
        "metadata": {"name": "s", "deletionTimestamp": "2026-01-01T00:00:00Z", "labels": {"slipway.dev/role": "stage", "slipway.dev/pod": "0", "slipway.dev/run": "1", "slipway.dev/attempt": "1"}},
        "status": {"phase": "Failed"},
    });
    let view = PodView::of(&serde_json::from_value(pod).unwrap()).unwrap();
    assert!(view.deleting && view.disrupted.is_none());
}

#[test]
fn a_pod_that_a_kubelet_does_not_take_is_lost() {
    let pod = |status: Value| {
        let pod = json!({
            "metadata": {"name": "s", "labels": {"slipway.dev/role": "stage", "slipway.dev/pod": "0", "slipway.dev/run": "1", "slipway.dev/attempt": "1"}},
            "status": status,
        });
        PodView::of(&serde_json::from_value(pod).unwrap()).unwrap()
    };
    let refused = pod(
        json!({"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough resource: cpu"}),
    );
    assert_eq!(refused.disrupted.as_deref(), Some("OutOfcpu: Node didn't have enough resource: cpu"));
    let mesh = json!([{"name": "mesh", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 7}}}]);
    let waiting = json!([{"name": "stage", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}]);
    let others = pod(json!({"phase": "Failed", "initContainerStatuses": mesh, "containerStatuses": waiting}));
    assert_eq!(others.disrupted.as_deref(), Some("its container mesh ended with exit code 7"));
    let ran = json!([{"name": "stage", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 1}}}]);
    assert_eq!(pod(json!({"phase": "Failed", "containerStatuses": ran})).disrupted, None);
    assert_eq!(pod(json!({"phase": "Pending"})).disrupted, None);
}
