//! The fourth step of a reconcile: objects that must exist are made, pods that must not are removed.

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use slipway_crds::ImageBuild;

use crate::objects::labels;
use crate::plan::{Objects, Plan};

/// Why the cluster did not take what was planned.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server refused.
    #[error("failed to create {kind} {name}")]
    Create {
        /// The kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// Somebody else's object has the name.
    #[error("a {kind} named {name} exists and does not belong to this ImageBuild")]
    Foreign {
        /// The kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The API server refused.
    #[error("failed to delete {name}")]
    Delete {
        /// The object's name.
        name: String,
        /// Why.
        source: kube::Error,
    },
}

/// What the API server says of a pod that it may take later.
const NOT_YET: [&str; 2] = ["exceeded quota", "serviceaccount \"default\" not found"];

impl ApplyError {
    /// Returns what the API server said where it may take the pod later: a quota has no room now, or the namespace was made a
    /// moment ago and has no account yet.
    pub fn no_room(&self) -> Option<String> {
        match self {
            Self::Create { source: kube::Error::Api(error), kind: "Pod", .. }
                if error.code == 403 && NOT_YET.iter().any(|words| error.message.contains(words)) =>
            {
                Some(error.message.clone())
            }
            _ => None,
        }
    }

    /// Tells whether the namespace turns out to enforce PodSecurity `restricted`, which not every operator may read.
    pub fn is_restricted(&self) -> bool {
        matches!(
            self,
            Self::Create { source: kube::Error::Api(error), kind: "Pod", .. }
                if error.code == 403 && error.message.contains("violates PodSecurity \"restricted")
        )
    }

    /// Returns what an admission rule said, where that was the reason: no retry mends it.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Create { source: kube::Error::Api(error), kind, name }
                if matches!(error.code, 400 | 403 | 422) =>
            {
                Some(format!("the API server refused {kind} {name}: {}", error.message))
            }
            Self::Foreign { .. } => Some(self.to_string()),
            _ => None,
        }
    }
}

/// Brings the cluster to what the plan says.
pub async fn apply(client: &Client, build: &ImageBuild, plan: &Plan) -> Result<(), ApplyError> {
    let namespace = build.namespace().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    // User code of a run that is given up must not outlive it by a grace period.
    let at_once = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::default() };
    let gone = plan.delete_pods.iter().map(|name| delete(&pods, name, &at_once));
    futures::future::try_join_all(gone).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    for name in &plan.delete_requests {
        delete(&maps, name, &DeleteParams::default()).await?;
    }
    // The order matters: pods name the claim and the request.
    let Objects { claim, request, pods: wanted } = &plan.objects;
    if let Some(claim) = claim {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
        create(&claims, claim, "PersistentVolumeClaim", None).await?;
    }
    if let Some(request) = request {
        create(&maps, request, "ConfigMap", build.uid()).await?;
    }
    let made = wanted.iter().map(|pod| create(&pods, pod, "Pod", build.uid()));
    let results = futures::future::join_all(made).await;
    // A pod without room is the least of what may be wrong.
    let errors = results.into_iter().filter_map(Result::err);
    errors.min_by_key(|error| error.no_room().is_some()).map_or(Ok(()), Err)
}

/// Makes an object that has a deterministic name: one that is there already is the same one, if it has the same owner.
async fn create<K>(
    api: &Api<K>,
    object: &K,
    kind: &'static str,
    owner: Option<String>,
) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let name = object.name_any();
    let params = PostParams { field_manager: Some(labels::MANAGER.into()), ..PostParams::default() };
    match api.create(&params, object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(error)) if error.is_already_exists() => {
            match api.get_metadata_opt(&name).await {
                Ok(Some(found))
                    if owner.is_some()
                        && !found.owner_references().iter().any(|o| Some(&o.uid) == owner.as_ref()) =>
                {
                    Err(ApplyError::Foreign { kind, name })
                }
                Ok(_) => Ok(()),
                Err(source) => Err(ApplyError::Create { kind, name, source }),
            }
        }
        Err(source) => Err(ApplyError::Create { kind, name, source }),
    }
}

async fn delete<K>(api: &Api<K>, name: &str, params: &DeleteParams) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    match api.delete(name, params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(error)) if error.is_not_found() => Ok(()),
        Err(source) => Err(ApplyError::Delete { name: name.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_may_be_taken_later_is_not_refused_for_good() {
        let later = |message: &str| {
            let status = kube::core::Status::failure(message, "Forbidden").with_code(403);
            let source = kube::Error::Api(status.boxed());
            ApplyError::Create { kind: "Pod", name: "a-1-build".into(), source }.no_room()
        };
        let account = "pods \"a-1-build\" is forbidden: error looking up service account ns/default: serviceaccount \"default\" not found";
        assert_eq!(later(account).as_deref(), Some(account));
        assert!(later("exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2").is_some());
        assert!(later("violates PodSecurity \"restricted:latest\"").is_none());
    }
}
