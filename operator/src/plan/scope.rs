//! How much has to be observed: mostly the pods are all that matters.

use slipway_crds::{ImageBuild, ImageBuildStatus};

use super::{Inputs, Objects, Plan};
use crate::observe::Scope;

/// Returns what to observe first. Once a run of the spec as it is now has started, little is left to be made.
pub fn first_scope(build: &ImageBuild) -> Scope {
    let started = build.status.as_ref().is_some_and(|status| {
        status.started_at.is_some() && status.observed_generation == build.metadata.generation
    });
    if started { Scope::Pods } else { Scope::All }
}

impl Plan {
    /// Tells whether it rests on more than the pods: where something is made, where a run begins, knows its stages or ends, and where
    /// no node takes a pod, which may lack its claim.
    pub fn asks_for_all(&self, inputs: &Inputs) -> bool {
        let point =
            |status: &ImageBuildStatus| (status.run, status.stages.is_empty(), status.finished_at.is_some());
        let over = self.status.finished_at.is_some();
        self.objects != Objects::default()
            || inputs.build.status.as_ref().map(point) != Some(point(&self.status))
            || (!over && self.is_homeless(inputs))
    }

    /// Tells whether no node takes a pod of the current try.
    fn is_homeless(&self, inputs: &Inputs) -> bool {
        let (run, attempt) = (self.status.run, self.status.attempt);
        let mut pods = inputs.facts.pods.iter().filter(|pod| pod.run == run && pod.attempt == attempt);
        pods.any(|pod| pod.unschedulable.is_some() && !pod.over && !pod.deleting)
    }
}
