//! Takes what build pods report themselves, by HTTP, and writes it on the pod as an annotation: so it is there for whoever leads,
//! and wakes the reconcile of its build. Who reports is what the API server says of the token: a pod, by namespace, name and uid.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::routing::post;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use slipway_protocol::early::{AUDIENCE, Early, LIMIT, PATH};
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::objects::labels;

/// How many reports are taken at once: anybody may knock here, and each knock is a question to the API server.
const AT_ONCE: usize = 16;

/// How long a report may take. After that the kubelet has spoken anyway.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the handler works with.
#[derive(Clone)]
pub struct Intake {
    client: Client,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
}

/// Who reports.
#[derive(Debug, PartialEq, Eq)]
struct Reporter {
    namespace: String,
    pod: String,
    uid: String,
}

/// Why a report is not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("no bearer token")]
    NoToken,
    #[error("not a report")]
    NotUnderstood,
    #[error("too many reports at once")]
    Busy,
    #[error("the token is not valid here")]
    NotValid,
    #[error("the token is not of a pod")]
    NotOfAPod,
    #[error("it took too long")]
    Late,
    #[error("the pod does not keep its report: something in the cluster takes annotations away")]
    NotKept,
    #[error("the API server refused")]
    Api(#[from] kube::Error),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::NotValid => StatusCode::UNAUTHORIZED,
            Self::NotUnderstood => StatusCode::BAD_REQUEST,
            Self::NotOfAPod => StatusCode::FORBIDDEN,
            Self::Busy | Self::Late | Self::NotKept | Self::Api(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Intake {
    /// Makes an intake; every replica may have one.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, metrics, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Serves until the process ends.
    pub async fn serve(self, address: SocketAddr) -> std::io::Result<()> {
        axum::serve(tokio::net::TcpListener::bind(address).await?, self.router()).await
    }

    fn router(self) -> Router {
        Router::new().route(PATH, post(answer)).with_state(self)
    }

    /// Takes a report.
    async fn take(&self, headers: &HeaderMap, body: Body) -> Result<(), Refusal> {
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .ok_or(Refusal::NoToken)?;
        let _place = self.places.try_acquire().map_err(|_| Refusal::Busy)?;
        let work = async {
            // A report is JSON in JSON: quotes take a byte more each.
            let body = to_bytes(body, 2 * LIMIT).await.map_err(|_| Refusal::NotUnderstood)?;
            let early: Early = serde_json::from_slice(&body).map_err(|_| Refusal::NotUnderstood)?;
            if early.report.len() > LIMIT {
                return Err(Refusal::NotUnderstood);
            }
            let reporter = self.reporter(token).await?;
            self.note(&reporter, &early).await
        };
        tokio::time::timeout(PATIENCE, work).await.map_err(|_| Refusal::Late)?
    }

    /// Asks the API server whose token it is.
    async fn reporter(&self, token: &str) -> Result<Reporter, Refusal> {
        let audiences = Some(vec![AUDIENCE.to_owned()]);
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let review = reviews.create(&PostParams::default(), &review).await?;
        let status = review.status.unwrap_or_default();
        // An authenticator that knows nothing of audiences says nothing of them, and takes any token.
        let for_us = status.audiences.iter().flatten().any(|audience| audience == AUDIENCE);
        let user = status.user.filter(|_| status.authenticated == Some(true) && for_us);
        Reporter::of(&user.ok_or(Refusal::NotValid)?).ok_or(Refusal::NotOfAPod)
    }

    /// Writes a report on the pod, where it is still the same pod.
    async fn note(&self, reporter: &Reporter, early: &Early) -> Result<(), Refusal> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &reporter.namespace);
        let name = labels::report(early.part);
        let patch = json!({"metadata": {"uid": reporter.uid, "annotations": {&name: early.report}}});
        let patched =
            pods.patch_metadata(&reporter.pod, &PatchParams::default(), &Patch::Merge(patch)).await?;
        let kept = patched.annotations().get(&name) == Some(&early.report);
        if kept { Ok(()) } else { Err(Refusal::NotKept) }
    }
}

impl Reporter {
    /// Returns the pod that a token is bound to; none where it is bound to none.
    fn of(user: &UserInfo) -> Option<Self> {
        let account = user.username.as_deref()?.strip_prefix("system:serviceaccount:")?;
        let (namespace, _) = account.split_once(':')?;
        let extra = |name: &str| {
            let values = user.extra.as_ref()?.get(&format!("authentication.kubernetes.io/{name}"))?;
            values.first().cloned()
        };
        Some(Self { namespace: namespace.to_owned(), pod: extra("pod-name")?, uid: extra("pod-uid")? })
    }
}

async fn answer(State(intake): State<Intake>, request: Request<Body>) -> (StatusCode, String) {
    let (head, body) = request.into_parts();
    let refusal = match intake.take(&head.headers, body).await {
        Ok(()) => {
            intake.metrics.reported("taken");
            return (StatusCode::OK, String::new());
        }
        Err(refusal) => refusal,
    };
    let error = std::error::Error::source(&refusal).map(ToString::to_string);
    match &refusal {
        Refusal::Api(_) | Refusal::NotKept | Refusal::Late => {
            intake.metrics.reported("failed");
            tracing::warn!(error, "a report of a build pod is left to its kubelet: {refusal}");
        }
        // Strangers may come here as often as they like.
        _ => {
            intake.metrics.reported("refused");
            tracing::debug!("a report is refused: {refusal}");
        }
    }
    (refusal.status(), format!("{refusal}\n"))
}

#[cfg(test)]
mod tests;
