//! Which changes of pods are worth a reconcile: those that the policy could see. Kubelets write conditions, addresses and
//! times that it does not look at, and a reconcile asks the API server several things.

use std::collections::HashMap;
use std::future::ready;
use std::hash::{DefaultHasher, Hash, Hasher};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher::{Error, Event};

use crate::pod_view::PodView;

/// Passes on the pods that look different than before, and those that are gone.
pub(super) fn telling(
    events: impl Stream<Item = Result<Event<Pod>, Error>> + Send,
) -> impl Stream<Item = Result<Pod, Error>> + Send {
    let mut seen = Seen::default();
    events.filter_map(move |event| ready(event.map(|event| seen.look(event)).transpose()))
}

/// How each pod looked last, by its uid.
#[derive(Default)]
struct Seen(HashMap<String, u64>);

impl Seen {
    fn look(&mut self, event: Event<Pod>) -> Option<Pod> {
        match event {
            // A new list does not say what has gone since the last one, so whoever has pods on it looks himself.
            Event::Init => {
                self.0.clear();
                None
            }
            Event::InitDone => None,
            Event::InitApply(pod) => {
                self.is_new(&pod);
                Some(pod)
            }
            Event::Apply(pod) => self.is_new(&pod).then_some(pod),
            Event::Delete(pod) => {
                self.0.remove(&pod.uid().unwrap_or_default());
                Some(pod)
            }
        }
    }

    fn is_new(&mut self, pod: &Pod) -> bool {
        let mut look = DefaultHasher::new();
        // The whole view: what is added to it is looked at here too.
        format!("{:?}", PodView::of(pod)).hash(&mut look);
        let look = look.finish();
        self.0.insert(pod.uid().unwrap_or_default(), look) != Some(look)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(address: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "a-1-work", "uid": "1", "labels": {
                "slipway.dev/role": "stage", "slipway.dev/pod": "0", "slipway.dev/run": "1", "slipway.dev/attempt": "1",
            }},
            "spec": {"containers": []},
            "status": {"phase": phase, "podIP": address},
        }))
        .expect("a pod")
    }

    #[test]
    fn what_the_policy_does_not_look_at_wakes_nobody() {
        assert!(PodView::of(&pod("", "Pending")).is_some(), "it is one of ours");
        let mut seen = Seen::default();
        assert!(seen.look(Event::Apply(pod("", "Pending"))).is_some());
        assert!(seen.look(Event::Apply(pod("10.0.0.7", "Pending"))).is_none());
        assert!(seen.look(Event::Apply(pod("10.0.0.7", "Failed"))).is_some());
        assert!(seen.look(Event::Apply(pod("10.0.0.7", "Failed"))).is_none());
    }

    #[test]
    fn what_is_gone_or_listed_anew_always_wakes() {
        let mut seen = Seen::default();
        assert!(seen.look(Event::Apply(pod("", "Pending"))).is_some());
        // Without grace nothing is written before it goes.
        assert!(seen.look(Event::Delete(pod("", "Pending"))).is_some());
        assert!(seen.look(Event::Apply(pod("", "Pending"))).is_some(), "another one");
        assert!(seen.look(Event::Init).is_none());
        assert!(seen.look(Event::InitApply(pod("", "Pending"))).is_some());
        assert!(seen.look(Event::InitDone).is_none());
        assert!(seen.look(Event::Apply(pod("", "Pending"))).is_none());
    }
}
