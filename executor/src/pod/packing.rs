//! Which stages share a pod. Pure.
//!
//! A pod runs its stages side by side, so where all pods are there at once any packing works. Where there is room for one pod
//! at a time, pods must have an order: no pod may wait for another that waits for it. So a stage joins a pod only where
//! nothing that it reads waits for that pod.

use std::collections::BTreeSet;

use slipway_protocol::request::PodPacking;

/// The most stage pods where nothing else is said.
const DEFAULT_MAX: u32 = 8;

/// What is known of a stage.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// It runs user code.
    pub runs: bool,
    /// The stage that it starts from.
    pub base: Option<usize>,
    /// The stages that it reads, its base too.
    pub needs: Vec<usize>,
    /// It asks for a node or resources of its own.
    pub apart: bool,
}

/// Returns the pod of each stage; none where none is needed.
pub fn pack(stages: &[Wish], packing: &PodPacking) -> Vec<Option<u32>> {
    let max = if packing.max == 0 { DEFAULT_MAX } else { packing.max };
    let running = stages.iter().filter(|stage| stage.runs).count();
    let single = packing.mode.eq_ignore_ascii_case("single");
    let chains = packing.mode.eq_ignore_ascii_case("auto") || running > max as usize;
    let mut packer = Packer { stages, pods: vec![None; stages.len()], waits: vec![] };
    let mut extended = vec![false; stages.len()];
    let mut shared: Vec<u32> = Vec::new();
    for (at, stage) in stages.iter().enumerate().filter(|(_, stage)| stage.runs) {
        let base = stage.base.filter(|base| chains && !stages[*base].apart && !extended[*base]);
        let chained = base.and_then(|base| packer.pods[base]).filter(|pod| packer.may_join(at, *pod));
        let full = packer.waits.len() >= max as usize;
        let joined = match chained {
            _ if stage.apart => None,
            Some(pod) if !single => {
                // A chain has one link each way: two children of a stage run side by side.
                extended[base.unwrap_or_default()] = true;
                Some(pod)
            }
            _ if single => shared.iter().copied().find(|pod| packer.may_join(at, *pod)),
            // All places are taken: spread over those that may be shared.
            _ if full => {
                let start = at % shared.len().max(1);
                let (later, first) = shared.split_at(start);
                first.iter().chain(later).copied().find(|pod| packer.may_join(at, *pod))
            }
            _ => None,
        };
        let pod = joined.unwrap_or_else(|| packer.new_pod());
        if joined.is_none() && !stage.apart {
            shared.push(pod);
        }
        packer.put(at, pod);
    }
    packer.pods
}

struct Packer<'a> {
    stages: &'a [Wish],
    pods: Vec<Option<u32>>,
    /// For each pod, those that it waits for, directly.
    waits: Vec<BTreeSet<u32>>,
}

impl Packer<'_> {
    fn new_pod(&mut self) -> u32 {
        self.waits.push(BTreeSet::new());
        u32::try_from(self.waits.len() - 1).unwrap_or(u32::MAX)
    }

    fn put(&mut self, stage: usize, pod: u32) {
        let read = self.read(stage);
        if let Some(waits) = self.waits.get_mut(pod as usize) {
            waits.extend(read.into_iter().filter(|other| *other != pod));
        }
        self.pods[stage] = Some(pod);
    }

    /// Tells whether the pods would still have an order with the stage in that pod.
    fn may_join(&self, stage: usize, pod: u32) -> bool {
        let mut ahead: Vec<u32> = self.read(stage).into_iter().filter(|other| *other != pod).collect();
        let mut seen = BTreeSet::new();
        while let Some(next) = ahead.pop() {
            if next == pod {
                return false;
            }
            if seen.insert(next) {
                ahead.extend(self.waits.get(next as usize).into_iter().flatten());
            }
        }
        true
    }

    /// Returns the pods that a stage reads from, also through stages without one.
    fn read(&self, stage: usize) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut ahead = self.stages[stage].needs.clone();
        while let Some(next) = ahead.pop() {
            match self.pods.get(next).copied().flatten() {
                _ if !seen.insert(next) => {}
                Some(pod) => {
                    found.insert(pod);
                }
                None => ahead.extend(self.stages.get(next).into_iter().flat_map(|stage| &stage.needs)),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packing(mode: &str, max: u32) -> PodPacking {
        PodPacking { mode: mode.into(), max, apart: vec![] }
    }

    fn run(base: Option<usize>) -> Wish {
        Wish { runs: true, base, needs: base.into_iter().collect(), apart: false }
    }

    #[test]
    fn each_running_stage_has_a_pod_of_its_own() {
        let stages = [run(None), Wish::default(), run(Some(0))];
        assert_eq!(pack(&stages, &packing("PerStage", 0)), [Some(0), None, Some(1)]);
    }

    #[test]
    fn auto_joins_chains_and_keeps_branches_apart() {
        let stages = [run(None), run(Some(0)), run(Some(0)), run(Some(1))];
        assert_eq!(pack(&stages, &packing("Auto", 0)), [Some(0), Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn a_hundred_stages_fit_into_sixteen_pods() {
        let stages = vec![run(None); 100];
        let pods = pack(&stages, &packing("PerStage", 16));
        assert!(pods.iter().flatten().all(|pod| *pod < 16));
        assert_eq!(pods.iter().flatten().collect::<BTreeSet<_>>().len(), 16);
    }

    #[test]
    fn single_puts_all_together_but_those_that_ask_for_more() {
        let stages = [run(None), Wish { apart: true, ..run(None) }, run(None)];
        assert_eq!(pack(&stages, &packing("Single", 16)), [Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn a_chain_does_not_close_a_circle_of_pods() {
        // 2 starts from 0 and reads 1, which reads 0: in one pod with 0 they would wait for one another's pods.
        let reads = Wish { needs: vec![0], ..run(None) };
        let stages = [run(None), reads, Wish { needs: vec![0, 1], ..run(Some(0)) }];
        assert_eq!(pack(&stages, &packing("Auto", 0)), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn pods_always_have_an_order() {
        let mut seed = 7_u64;
        let mut dice = move |sides: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap_or(0) % sides
        };
        for round in 0..500 {
            let stages: Vec<Wish> = (0..2 + dice(30))
                .map(|at| {
                    let needs: Vec<usize> =
                        if at == 0 { vec![] } else { (0..dice(4)).map(|_| dice(at)).collect() };
                    let base = needs.first().copied().filter(|_| dice(2) == 0);
                    Wish { runs: dice(4) > 0, base, needs, apart: dice(6) == 0 }
                })
                .collect();
            for mode in ["PerStage", "Auto", "Single"] {
                let pods = pack(&stages, &packing(mode, 1 + u32::try_from(round % 6).unwrap_or(0)));
                let packer = Packer { stages: &stages, pods: pods.clone(), waits: vec![] };
                let mut done: BTreeSet<u32> = BTreeSet::new();
                let all: BTreeSet<u32> = pods.iter().flatten().copied().collect();
                while done != all {
                    let can = |pod: &u32| {
                        (0..stages.len()).filter(|at| pods[*at] == Some(*pod)).all(|at| {
                            packer.read(at).iter().all(|other| other == pod || done.contains(other))
                        })
                    };
                    let next: Vec<u32> = all.difference(&done).copied().filter(can).collect();
                    assert!(!next.is_empty(), "round {round}, {mode}: {stages:?} in {pods:?}");
                    done.extend(next);
                }
            }
        }
    }
}
