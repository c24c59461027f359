//! Stage pods one after another: what happens where there is no room for all of them at once.
//!
//! Stage pods start together and wait for one another, so on a full node those that wait may hold the room that those they wait
//! for need. Once a pod has found no room, only pods whose inputs are there are made, and pods that still wait for others give
//! their place up. Which pod waits for which has no circle (the packing sees to that), so there is always one that can go, and
//! room for a single stage pod is enough.

use std::collections::{BTreeMap, BTreeSet};

use slipway_protocol::report::PlanReport;

use super::{Attempt, Event, Inputs, Plan, progress, reasons};
use crate::pod_view::{PodView, Role};

/// How long a pod may find no room before the others are held back, in seconds.
const PATIENCE: f64 = 4.0;

/// Returns the numbers of the stage pods that should be there now. Pods that hold room for nothing are planned to go.
pub(super) fn wanted(
    inputs: &Inputs,
    report: &PlanReport,
    attempt: Attempt,
    plan: &mut Plan,
) -> BTreeSet<u32> {
    let needs = needs(report);
    if plan.status.in_order.is_empty() {
        let Some(why) = no_room(inputs, attempt) else { return needs.into_keys().collect() };
        begin(plan, &why);
    }
    let pods: BTreeMap<u32, &PodView> = progress::of_attempt(inputs.facts, attempt)
        .filter_map(|pod| match pod.role {
            Role::Stage(number) => Some((number, pod)),
            _ => None,
        })
        .collect();
    let over = |number: &u32| pods.get(number).is_some_and(|pod| pod.over);
    let ready: BTreeSet<u32> =
        needs.iter().filter(|(_, needs)| needs.iter().all(over)).map(|(number, _)| *number).collect();
    let lacks_room =
        |number: &u32| pods.get(number).is_none_or(|pod| pod.unschedulable.is_some() && !pod.over);
    if ready.iter().any(lacks_room) {
        let idle = pods.iter().filter(|(number, pod)| !ready.contains(*number) && !pod.over && !pod.deleting);
        plan.delete_pods.extend(idle.map(|(_, pod)| pod.name.clone()));
    }
    ready
}

/// From now on, and until the run ends, pods go in order.
pub(super) fn begin(plan: &mut Plan, why: &str) {
    why.clone_into(&mut plan.status.in_order);
    plan.events.push(Event {
        warning: true,
        reason: reasons::NO_ROOM.into(),
        note: format!("no room for all stage pods at once, they start one after another: {why}"),
    });
}

/// Says why a stage pod has had no room for a while, where one has.
fn no_room(inputs: &Inputs, attempt: Attempt) -> Option<String> {
    progress::of_attempt(inputs.facts, attempt)
        .filter(|pod| matches!(pod.role, Role::Stage(_)) && !pod.over && !pod.deleting)
        .filter(|pod| inputs.since(pod.created) > PATIENCE)
        .find_map(|pod| pod.unschedulable.clone())
}

/// Returns for each stage pod the pods that it waits for, also through stages that need none.
fn needs(report: &PlanReport) -> BTreeMap<u32, BTreeSet<u32>> {
    let mut all: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for stage in &report.stages {
        let Some(own) = stage.pod else { continue };
        let mut seen = BTreeSet::new();
        let mut ahead = stage.needs.clone();
        let found = all.entry(own).or_default();
        while let Some(next) = ahead.pop() {
            let Some(needed) = report.stages.get(next as usize).filter(|_| seen.insert(next)) else {
                continue;
            };
            match needed.pod {
                Some(pod) => {
                    found.insert(pod);
                }
                None => ahead.extend(&needed.needs),
            }
        }
        found.remove(&own);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_protocol::report::PlannedStage;

    #[test]
    fn needs_go_through_stages_without_a_pod() {
        let stage =
            |pod, needs: &[u32]| PlannedStage { pod, needs: needs.to_vec(), ..PlannedStage::default() };
        let stages = vec![stage(Some(0), &[]), stage(None, &[0]), stage(Some(1), &[1]), stage(Some(0), &[0])];
        let found = needs(&PlanReport { stages, ..PlanReport::default() });
        assert_eq!(found, BTreeMap::from([(0, BTreeSet::new()), (1, BTreeSet::from([0]))]));
    }
}
