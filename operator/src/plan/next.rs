//! When a resource is looked at again though nothing changes.

use std::collections::BTreeSet;

use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;
use slipway_crds::ImageBuild;

use super::{Inputs, Plan, plan};

/// Returns the time until the next look at a resource whose plan was carried out; none where only a change is worth one.
///
/// Nobody is woken by a status that the operator wrote itself, so what follows from the new one is found out here: its own
/// time to look again, or at once where it has more to do.
pub fn next_look(inputs: &Inputs, done: &Plan) -> Option<SignedDuration> {
    if done.crowded || inputs.build.status.as_ref() == Some(&done.status) {
        return done.requeue;
    }
    let build = ImageBuild { status: Some(done.status.clone()), ..inputs.build.clone() };
    let next = plan(&Inputs { build: &build, ..*inputs });
    if next.goes_beyond(done) {
        return Some(SignedDuration::ZERO);
    }
    [done.requeue, next.requeue].into_iter().flatten().min()
}

impl Plan {
    /// Tells whether there is something to make, to remove or to write that was not when the other was carried out.
    fn goes_beyond(&self, other: &Self) -> bool {
        fn gone(plan: &Plan) -> BTreeSet<&String> {
            plan.delete_pods.iter().chain(&plan.delete_requests).collect()
        }
        self.status != other.status
            || !self.objects.names().is_subset(&other.objects.names())
            || !gone(self).is_subset(&gone(other))
    }
}

impl super::Objects {
    fn names(&self) -> BTreeSet<String> {
        let claim = self.claim.iter().map(ResourceExt::name_any);
        let request = self.request.iter().map(ResourceExt::name_any);
        claim.chain(request).chain(self.pods.iter().map(ResourceExt::name_any)).collect()
    }
}
