use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use serde_json::{Value, json};

use super::*;

const NOWHERE: &str = "http://127.0.0.1:1";

fn context(address: &str) -> Arc<Context> {
    let server = kube::Config::new(address.parse().unwrap());
    let client = Client::try_from(server).unwrap();
    let reporter = Reporter { controller: labels::MANAGER.into(), instance: None };
    Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        settings: Settings::default(),
        metrics: Arc::default(),
        builds: vec![kube::runtime::reflector::store().0],
        granted: Mutex::default(),
        latest: Mutex::default(),
        written: Arc::default(),
        failures: Mutex::default(),
    })
}

/// Definitions change between versions, and objects of another one may be stored.
#[tokio::test]
async fn an_object_that_cannot_be_read_stops_neither_the_list_nor_the_reconciles() {
    let list: kube::core::ObjectList<Guarded> = serde_json::from_value(json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuildList", "metadata": {},
        "items": [
            {"metadata": {"name": "odd"}, "spec": {"images": "many", "retries": "often"}},
            {"metadata": {"name": "fine"}, "spec": {"dockerfile": {"inline": "FROM scratch"}}},
        ],
    }))
    .unwrap();
    let [odd, fine] = <[Guarded; 2]>::try_from(list.items).ok().unwrap();
    assert!(fine.0.is_ok());
    assert_eq!(odd.name_any(), "odd");
    // It is left alone without a word to the API server, which is not there.
    let action = reconcile(Arc::new(odd), context(NOWHERE)).await.unwrap();
    assert_eq!(action, Action::await_change());
    assert!(reconcile(Arc::new(fine), context(NOWHERE)).await.is_err());
}

/// Serves on this machine; returns the address.
async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// An API server that knows nothing, takes what it is given, and lets nobody read a namespace. Like a real one it refuses pods
/// that do not keep to `restricted`, in the words of Kubernetes 1.36.
async fn restricted_server(taken: Arc<Mutex<Vec<Value>>>) -> String {
    let answer = move |method: Method, uri: Uri, body: Bytes| {
        let taken = taken.clone();
        async move {
            let status = |code: StatusCode, reason: &str, message: &str| {
                let body = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": message, "reason": reason, "code": code.as_u16(),
                });
                (code, axum::Json(body))
            };
            let path = uri.path();
            let collection =
                ["pods", "configmaps", "persistentvolumeclaims"].iter().any(|kind| path.ends_with(kind));
            match method {
                Method::GET if path == "/api/v1/namespaces/ci" => {
                    status(StatusCode::FORBIDDEN, "Forbidden", "namespaces \"ci\" is forbidden")
                }
                Method::GET if collection => {
                    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []});
                    (StatusCode::OK, axum::Json(list))
                }
                Method::GET => status(StatusCode::NOT_FOUND, "NotFound", "not found"),
                _ => {
                    let mut object: Value = serde_json::from_slice(&body).unwrap_or_default();
                    let lax = object["spec"]["containers"][0]["securityContext"]["runAsNonRoot"] != true;
                    if path.ends_with("/pods") && lax {
                        let name = object["metadata"]["name"].as_str().unwrap_or_default();
                        let message = format!(
                            "pods {name:?} is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation \
                             != false (container \"build\" must set securityContext.allowPrivilegeEscalation=false)"
                        );
                        return status(StatusCode::FORBIDDEN, "Forbidden", &message);
                    }
                    object["metadata"]["namespace"] = "ci".into();
                    if method == Method::PATCH {
                        // What was written before is not remembered, but an ImageBuild without a spec is none.
                        object["spec"] = json!({});
                    }
                    taken.lock().unwrap().push(object.clone());
                    (StatusCode::CREATED, axum::Json(object))
                }
            }
        }
    };
    serve(axum::Router::new().fallback(answer)).await
}

#[tokio::test]
async fn a_level_that_may_not_be_read_is_learnt_from_the_refusal() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let context = context(&restricted_server(taken.clone()).await);
    let build: Guarded = serde_json::from_value(json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild",
        "metadata": {"name": "shop", "namespace": "ci", "uid": "u1", "generation": 1, "resourceVersion": "1"},
        "spec": {"dockerfile": {"inline": "FROM scratch"}},
    }))
    .unwrap();
    reconcile(Arc::new(build), context).await.unwrap();
    let taken = taken.lock().unwrap();
    let pods: Vec<&Value> = taken.iter().filter(|object| object["kind"] == "Pod").collect();
    assert_eq!(pods.len(), 1, "{taken:#?}");
    let pod = &pods[0]["spec"];
    for container in pod["containers"].as_array().unwrap() {
        assert_eq!(container["securityContext"]["runAsNonRoot"], true);
        assert_eq!(container["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    }
    let status = taken.iter().find(|object| object["status"]["phase"].is_string()).unwrap();
    assert_eq!(status["status"]["phase"], "Planning", "{status:#}");
}

/// An API server on which a build has its build pod, and nothing to be made. Says what it was asked.
async fn server_of_a_running_build(asked: Arc<Mutex<Vec<String>>>) -> String {
    let pod = json!({
        "metadata": {
            "name": "shop-1-build", "namespace": "ci", "uid": "p1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"slipway.dev/role": "build", "slipway.dev/run": "1", "slipway.dev/attempt": "1"},
            "ownerReferences": [{"apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild", "name": "shop", "uid": "u1"}],
        },
        "spec": {"containers": []},
        "status": {"phase": "Running"},
    });
    let answer = move |method: Method, uri: Uri, body: Bytes| {
        asked.lock().unwrap().push(format!("{method} {}", uri.path()));
        let mut object: Value = serde_json::from_slice(&body).unwrap_or_default();
        object["spec"] = json!({});
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": [pod]});
        std::future::ready(axum::Json(if method == Method::GET { list } else { object }))
    };
    serve(axum::Router::new().fallback(answer)).await
}

#[tokio::test]
async fn a_build_under_way_asks_for_its_pods_alone() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let context = context(&server_of_a_running_build(asked.clone()).await);
    let build = |started: Option<&str>| {
        let nothing = "e3b0c44298fc1c14";
        let build: Guarded = serde_json::from_value(json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild",
            "metadata": {"name": "shop", "namespace": "ci", "uid": "u1", "generation": 1, "resourceVersion": "1"},
            "spec": {"dockerfile": {"inline": "FROM scratch"}},
            "status": {
                "observedGeneration": 1, "run": 1, "attempt": 1, "phase": "Planning",
                "triggerDigest": format!("spec-{nothing}-{nothing}-{nothing}"),
                "startedAt": started,
            },
        }))
        .unwrap();
        Arc::new(build)
    };
    let gets = || {
        let all = std::mem::take(&mut *asked.lock().unwrap());
        all.into_iter().filter(|line| line.starts_with("GET")).collect::<Vec<_>>()
    };
    let now = Timestamp::now().to_string();
    reconcile(build(Some(&now)), context.clone()).await.unwrap();
    assert_eq!(gets(), ["GET /api/v1/namespaces/ci/pods"]);
    context.latest.lock().unwrap().clear();
    // Of the claim this server has nothing to say that could be read.
    assert!(reconcile(build(None), context).await.is_err());
    assert!(gets().contains(&"GET /api/v1/namespaces/ci/persistentvolumeclaims/slipway-cache".to_owned()));
}
