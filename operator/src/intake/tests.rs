use std::sync::Mutex;

use axum::body::Bytes;
use axum::extract::Path;
use axum::routing::patch;
use serde_json::Value;

use super::*;

/// An API server that knows the token of the pod `build` in the namespace `ci`; it keeps what pods are patched with.
async fn intake() -> (Intake, Arc<Mutex<Vec<Value>>>) {
    let user = |pod: Option<&str>| {
        let extra = pod.map(|pod| {
            json!({"authentication.kubernetes.io/pod-name": [pod], "authentication.kubernetes.io/pod-uid": ["p1"]})
        });
        json!({"username": "system:serviceaccount:ci:default", "extra": extra})
    };
    let review = move |body: Bytes| async move {
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let spec = &asked["spec"];
        let status = match spec["token"].as_str().unwrap() {
            "of-the-pod" => {
                json!({"authenticated": true, "audiences": spec["audiences"], "user": user(Some("build"))})
            }
            "of-another" => {
                json!({"authenticated": true, "audiences": spec["audiences"], "user": user(Some("gone"))})
            }
            "of-no-pod" => json!({"authenticated": true, "audiences": spec["audiences"], "user": user(None)}),
            "for-anybody" => json!({"authenticated": true, "user": user(Some("build"))}),
            _ => json!({"authenticated": false, "error": "unknown"}),
        };
        axum::Json(json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": spec, "status": status,
        }))
    };
    let patches = Arc::new(Mutex::new(Vec::new()));
    let kept = patches.clone();
    let note = move |Path(pod): Path<String>, body: Bytes| async move {
        if pod != "build" {
            let status = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "not found", "code": 404});
            return (StatusCode::NOT_FOUND, axum::Json(status));
        }
        let patch: Value = serde_json::from_slice(&body).unwrap();
        let mut annotations = patch["metadata"]["annotations"].clone();
        if annotations.to_string().contains("unwanted") {
            annotations = json!({});
        }
        kept.lock().unwrap().push(patch);
        let object = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": pod, "annotations": annotations},
        });
        (StatusCode::OK, axum::Json(object))
    };
    let server = Router::new()
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(review))
        .route("/api/v1/namespaces/ci/pods/{pod}", patch(note));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, server).await });
    (intake_of(&address), patches)
}

fn intake_of(address: &str) -> Intake {
    let client = Client::try_from(kube::Config::new(address.parse().unwrap())).unwrap();
    Intake::new(client, Arc::default())
}

async fn status(intake: &Intake, token: &str, body: &str) -> u16 {
    let mut request = Request::builder();
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    answer(State(intake.clone()), request).await.0.as_u16()
}

const REPORT: &str = r#"{"part": "plan", "report": "{}"}"#;

#[tokio::test]
async fn a_pod_is_believed_what_it_says_of_itself_and_nobody_else() {
    let (intake, patches) = intake().await;
    assert_eq!(status(&intake, "", REPORT).await, 401);
    assert_eq!(status(&intake, "made-up", REPORT).await, 401);
    // Valid for the API server, which says nothing of audiences: it may be any token.
    assert_eq!(status(&intake, "for-anybody", REPORT).await, 401);
    assert_eq!(status(&intake, "of-no-pod", REPORT).await, 403);
    assert_eq!(status(&intake, "of-the-pod", "{}").await, 400);
    assert_eq!(status(&intake, "of-the-pod", r#"{"part": "shell", "report": ""}"#).await, 400);
    let long = json!({"part": "plan", "report": "x".repeat(LIMIT + 1)}).to_string();
    assert_eq!(status(&intake, "of-the-pod", &long).await, 400);
    assert!(patches.lock().unwrap().is_empty());
    assert_eq!(status(&intake, "of-the-pod", REPORT).await, 200);
    let expected = json!({"metadata": {"uid": "p1", "annotations": {"slipway.dev/report.plan": "{}"}}});
    assert_eq!(*patches.lock().unwrap(), [expected]);
    let text = intake.metrics.text().unwrap();
    assert!(text.contains(r#"slipway_pod_reports_total{result="taken"} 1"#), "{text}");
    assert!(text.contains(r#"slipway_pod_reports_total{result="refused"} 7"#), "{text}");
}

/// The pod then goes on as if there were no operator to tell.
#[tokio::test]
async fn what_could_not_be_kept_is_not_taken() {
    let (intake, _) = intake().await;
    assert_eq!(status(&intake, "of-another", REPORT).await, 503);
    // An admission webhook takes it away.
    let unwanted = r#"{"part": "plan", "report": "unwanted"}"#;
    assert_eq!(status(&intake, "of-the-pod", unwanted).await, 503);
    let nobody = intake_of("http://127.0.0.1:1");
    assert_eq!(status(&nobody, "of-the-pod", REPORT).await, 503);
    assert!(nobody.metrics.text().unwrap().contains(r#"{result="failed"} 1"#));
}

#[tokio::test]
async fn a_crowd_does_not_reach_the_api_server() {
    let (intake, _) = intake().await;
    let all = intake.places.clone().acquire_many_owned(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
    assert_eq!(status(&intake, "of-the-pod", REPORT).await, 503);
    drop(all);
    assert_eq!(status(&intake, "of-the-pod", REPORT).await, 200);
}
