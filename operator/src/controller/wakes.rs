//! Which changes of pods are worth a reconcile: those that the policy could see. Kubelets write conditions, addresses and
//! times that it does not look at, and a reconcile asks the API server several things.
//!
//! kube's own `predicate_filter` would not do: it keeps a deletion back where the object looks as before.

use std::collections::HashMap;

use futures::Stream;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use kube::runtime::watcher::{Error, Event};

use super::filter::{fingerprint, passing};
use crate::objects::labels;
use crate::pod_view::PodView;

/// Passes on the pods that look different than before, and those that are gone.
pub(super) fn telling(
    events: impl Stream<Item = Result<Event<Pod>, Error>> + Send,
) -> impl Stream<Item = Result<Pod, Error>> + Send {
    let mut seen = Seen::default();
    passing(events, move |event| seen.look(event))
}

/// How each pod looked last, and whose it is, by its uid.
#[derive(Default)]
struct Seen {
    pods: HashMap<String, (u64, ObjectMeta)>,
    /// While a list is read: what was there before and is not on it so far.
    missing: HashMap<String, (u64, ObjectMeta)>,
}

impl Seen {
    fn look(&mut self, event: Event<Pod>) -> Vec<Pod> {
        match event {
            Event::Init => {
                // A list that broke off is begun again.
                self.missing.extend(self.pods.drain());
                vec![]
            }
            Event::InitApply(pod) => {
                self.missing.remove(&pod.uid().unwrap_or_default());
                self.is_new(&pod);
                vec![pod]
            }
            Event::InitDone => {
                let gone = self.missing.drain().map(|(_, (_, metadata))| metadata);
                gone.map(|metadata| Pod { metadata, ..Pod::default() }).collect()
            }
            Event::Apply(pod) => {
                if self.is_new(&pod) {
                    vec![pod]
                } else {
                    vec![]
                }
            }
            Event::Delete(pod) => {
                self.pods.remove(&pod.uid().unwrap_or_default());
                vec![pod]
            }
        }
    }

    fn is_new(&mut self, pod: &Pod) -> bool {
        let build = pod.labels().get(labels::BUILD);
        // The whole view: what is added to it is looked at here too. And by what a pod is found to be a build's.
        let look = fingerprint((PodView::of(pod), build, pod.owner_references()));
        let known = ObjectMeta {
            name: pod.metadata.name.clone(),
            namespace: pod.namespace(),
            owner_references: pod.metadata.owner_references.clone(),
            ..ObjectMeta::default()
        };
        self.pods
            .insert(pod.uid().unwrap_or_default(), (look, known))
            .is_none_or(|(before, _)| before != look)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(address: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "a-1-work", "namespace": "team", "uid": "1",
                "labels": {
                    "slipway.dev/role": "stage", "slipway.dev/pod": "0", "slipway.dev/run": "1", "slipway.dev/attempt": "1",
                },
                "ownerReferences": [{"apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild", "name": "a", "uid": "2"}],
            },
            "spec": {"containers": []},
            "status": {"phase": phase, "podIP": address},
        }))
        .expect("a pod")
    }

    #[test]
    fn what_the_policy_does_not_look_at_wakes_nobody() {
        assert!(PodView::of(&pod("", "Pending")).is_some(), "it is one of ours");
        let mut seen = Seen::default();
        assert_eq!(seen.look(Event::Apply(pod("", "Pending"))).len(), 1);
        assert_eq!(seen.look(Event::Apply(pod("10.0.0.7", "Pending"))).len(), 0);
        assert_eq!(seen.look(Event::Apply(pod("10.0.0.7", "Failed"))).len(), 1);
        assert_eq!(seen.look(Event::Apply(pod("10.0.0.7", "Failed"))).len(), 0);
        let mut adopted = pod("10.0.0.7", "Failed");
        adopted.metadata.owner_references = None;
        assert_eq!(seen.look(Event::Apply(adopted)).len(), 1);
    }

    #[test]
    fn what_is_gone_always_wakes() {
        let mut seen = Seen::default();
        assert_eq!(seen.look(Event::Apply(pod("", "Pending"))).len(), 1);
        // Without grace nothing is written before it goes.
        assert_eq!(seen.look(Event::Delete(pod("", "Pending"))).len(), 1);
        assert_eq!(seen.look(Event::Apply(pod("", "Pending"))).len(), 1, "another one");
        // It goes while nobody watches, and the list breaks off once.
        for event in [Event::Init, Event::Init] {
            assert_eq!(seen.look(event).len(), 0);
        }
        let gone = seen.look(Event::InitDone);
        assert_eq!(gone.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["a-1-work"]);
        assert_eq!(gone[0].owner_references()[0].name, "a");
    }

    #[test]
    fn a_new_list_wakes_the_owners_of_all() {
        let mut seen = Seen::default();
        assert_eq!(seen.look(Event::Apply(pod("", "Pending"))).len(), 1);
        assert_eq!(seen.look(Event::Init).len(), 0);
        assert_eq!(seen.look(Event::InitApply(pod("", "Pending"))).len(), 1);
        assert_eq!(seen.look(Event::InitDone).len(), 0);
        assert_eq!(seen.look(Event::Apply(pod("", "Pending"))).len(), 0);
    }
}
