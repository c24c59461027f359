//! Which stages share a pod. Pure. Any packing is safe: a pod runs its stages side by side, so none waits for another's place.

use slipway_protocol::request::PodPacking;

/// The most stage pods where nothing else is said.
const DEFAULT_MAX: u32 = 16;

/// What is known of a stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// It runs user code.
    pub runs: bool,
    /// The stage that it starts from.
    pub base: Option<usize>,
    /// It asks for a node or resources of its own.
    pub apart: bool,
}

/// Returns the pod of each stage; none where none is needed.
pub fn pack(stages: &[Wish], packing: &PodPacking) -> Vec<Option<u32>> {
    let max = if packing.max == 0 { DEFAULT_MAX } else { packing.max };
    let running = stages.iter().filter(|stage| stage.runs).count();
    let single = packing.mode.eq_ignore_ascii_case("single");
    let chains = packing.mode.eq_ignore_ascii_case("auto") || running > max as usize;
    let mut pods: Vec<Option<u32>> = vec![None; stages.len()];
    let mut shared: Vec<u32> = Vec::new();
    let mut next = 0;
    let mut common = None;
    let mut extended = vec![false; stages.len()];
    for (at, stage) in stages.iter().enumerate().filter(|(_, stage)| stage.runs) {
        let chained = stage.base.filter(|base| {
            chains && !stage.apart && !stages[*base].apart && !extended[*base] && pods[*base].is_some()
        });
        let pod = match (chained, common) {
            (_, Some(pod)) if single && !stage.apart => pod,
            (Some(base), _) => {
                // A chain has one link each way: two children of a stage run side by side.
                extended[base] = true;
                pods[base].unwrap_or(next)
            }
            _ if next < max || stage.apart || shared.is_empty() => {
                next += 1;
                if !stage.apart {
                    shared.push(next - 1);
                }
                next - 1
            }
            // All places are taken: spread over those that may be shared.
            _ => shared[at % shared.len()],
        };
        if single && !stage.apart {
            common = Some(pod);
        }
        pods[at] = Some(pod);
    }
    pods
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packing(mode: &str, max: u32) -> PodPacking {
        PodPacking { mode: mode.into(), max, apart: vec![] }
    }

    fn run(base: Option<usize>) -> Wish {
        Wish { runs: true, base, apart: false }
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
        assert_eq!(pods.iter().flatten().collect::<std::collections::BTreeSet<_>>().len(), 16);
    }

    #[test]
    fn single_puts_all_together_but_those_that_ask_for_more() {
        let stages = [run(None), Wish { apart: true, ..run(None) }, run(None)];
        assert_eq!(pack(&stages, &packing("Single", 16)), [Some(0), Some(1), Some(0)]);
    }
}
