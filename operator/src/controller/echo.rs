//! Which changes of ImageBuilds are worth a reconcile: all but the statuses that this operator has just written itself. What
//! follows from those is known when they are written: see [`crate::plan::next_look`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use kube::runtime::watcher::{Error, Event};
use kube::{Resource, ResourceExt};
use slipway_crds::{ImageBuild, ImageBuildStatus};

use super::Guarded;
use super::filter::{fingerprint, passing};

/// The status that was written last, by the resource's uid.
#[derive(Default)]
pub(super) struct Written(Mutex<HashMap<String, u64>>);

impl Written {
    /// Remembers a status before it is written: the watch may show it before the API server has answered.
    pub(super) fn expect(&self, uid: &str, status: &ImageBuildStatus) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(uid.to_owned(), fingerprint(Some(status)));
    }

    fn is_own(&self, uid: &str, build: &ImageBuild) -> bool {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(uid).is_some_and(|written| *written == fingerprint(build.status.as_ref()))
    }

    /// Forgets all others.
    pub(super) fn keep(&self, uids: &HashSet<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| uids.contains(uid));
    }

    pub(super) fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Passes on the resources that somebody else changed, and all when a list is read anew.
pub(super) fn foreign(
    events: impl Stream<Item = Result<Event<Guarded>, Error>> + Send,
    written: Arc<Written>,
) -> impl Stream<Item = Result<Guarded, Error>> + Send {
    let mut seen = Seen::new(written);
    passing(events, move |event| seen.look(event))
}

/// How each resource looked last, but for its status, by its uid.
struct Seen {
    rest: HashMap<String, u64>,
    /// While a list is read: who is on it. The store that reconciles read from has them when the list is complete.
    listed: Vec<Guarded>,
    written: Arc<Written>,
}

impl Seen {
    fn new(written: Arc<Written>) -> Self {
        Self { rest: HashMap::new(), listed: vec![], written }
    }

    fn look(&mut self, event: Event<Guarded>) -> Vec<Guarded> {
        match event {
            Event::Init => {
                self.listed.clear();
                vec![]
            }
            Event::InitApply(build) => {
                self.listed.push(build);
                vec![]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.rest.clear();
                for build in &listed {
                    self.is_new(build);
                }
                listed
            }
            Event::Apply(build) => {
                let is_new = self.is_new(&build);
                let is_own = build.0.as_ref().is_ok_and(|read| self.written.is_own(&uid(&build), read));
                if is_new || !is_own { vec![build] } else { vec![] }
            }
            Event::Delete(build) => {
                self.rest.remove(&uid(&build));
                self.written.forget(&uid(&build));
                vec![]
            }
        }
    }

    fn is_new(&mut self, build: &Guarded) -> bool {
        let of = |build: &Guarded| {
            let metadata = build.meta();
            // The generation stands for the spec.
            fingerprint((
                metadata.generation,
                &metadata.annotations,
                &metadata.labels,
                &metadata.owner_references,
                &metadata.deletion_timestamp,
            ))
        };
        let now = of(build);
        self.rest.insert(uid(build), now) != Some(now)
    }
}

fn uid(build: &Guarded) -> String {
    build.uid().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn build(generation: i64, phase: &str, annotations: &Value) -> Guarded {
        serde_json::from_value(json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild",
            "metadata": {"name": "a", "namespace": "team", "uid": "1", "generation": generation, "annotations": annotations},
            "spec": {"dockerfile": {"inline": "FROM scratch"}},
            "status": {"phase": phase},
        }))
        .expect("an ImageBuild")
    }

    fn status(phase: &str) -> ImageBuildStatus {
        ImageBuildStatus { phase: phase.into(), ..ImageBuildStatus::default() }
    }

    #[test]
    fn only_the_echo_of_what_was_written_wakes_nobody() {
        let written = Arc::new(Written::default());
        let mut seen = Seen::new(written.clone());
        let mut wakes = |event| !seen.look(event).is_empty();
        let none = json!({});
        assert!(wakes(Event::Apply(build(1, "", &none))), "it is new");
        written.expect("1", &status("Planning"));
        assert!(!wakes(Event::Apply(build(1, "Planning", &none))), "our own");
        assert!(wakes(Event::Apply(build(1, "Edited", &none))), "somebody wrote a status");
        assert!(!wakes(Event::Apply(build(1, "Planning", &none))), "and we wrote ours again");
        assert!(wakes(Event::Apply(build(2, "Planning", &none))), "the spec");
        assert!(
            wakes(Event::Apply(build(2, "Planning", &json!({"slipway.dev/rebuild": "1"})))),
            "an annotation"
        );
        assert!(!wakes(Event::Delete(build(2, "Planning", &none))), "nothing is left to do");
        assert!(wakes(Event::Apply(build(2, "Planning", &none))), "another one");
    }

    #[test]
    fn a_new_list_wakes_all_when_it_is_complete() {
        let written = Arc::new(Written::default());
        let mut seen = Seen::new(written.clone());
        written.expect("1", &status("Planning"));
        let listed = || Event::InitApply(build(1, "Planning", &json!({})));
        // One that breaks off is begun again.
        for event in [Event::Init, listed(), Event::Init, listed()] {
            assert_eq!(seen.look(event).len(), 0);
        }
        assert_eq!(seen.look(Event::InitDone).len(), 1);
        assert_eq!(seen.look(Event::Apply(build(1, "Planning", &json!({})))).len(), 0, "our own");
    }

    #[test]
    fn nothing_is_kept_of_those_that_went_while_nobody_watched() {
        let mut seen = Seen::new(Arc::default());
        seen.look(Event::Apply(build(1, "", &json!({}))));
        assert_eq!(seen.rest.len(), 1);
        for event in [Event::Init, Event::InitDone] {
            seen.look(event);
        }
        assert_eq!(seen.rest.len(), 0);
    }
}
