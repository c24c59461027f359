//! What was measured, as it is stored: `docs/benchmarks/results.json`.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{machine::Machine, meter::Sample, statistics};
use crate::host::folders;

/// Everything, raw, so that reports can be made again.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) cases: BTreeMap<String, CaseResult>,
    /// The same cases, built by pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) cluster: BTreeMap<String, CaseResult>,
    /// What grows, in words, with how the time grows with it.
    pub(super) scaling: BTreeMap<String, Growth>,
    /// Small figures with their targets.
    pub(super) figures: Vec<Figure>,
}

/// Medians of seconds against a count, for each builder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Growth {
    pub(super) builders: BTreeMap<String, Vec<(f64, f64)>>,
}

/// One figure that has a limit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) value: f64,
    pub(super) unit: String,
    pub(super) target: String,
    pub(super) met: bool,
}

/// One case.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CaseResult {
    pub(super) title: String,
    /// The ratio that is aimed at.
    pub(super) target: f64,
    /// What differs from the case as the documentation has it.
    pub(super) note: String,
    pub(super) date: String,
    pub(super) commit: String,
    /// How long one run of all builders took, with all that was not measured.
    pub(super) seconds_a_run: f64,
    pub(super) phases: Vec<PhaseResult>,
}

/// One phase of a case, for all builders.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PhaseResult {
    pub(super) name: String,
    pub(super) builders: BTreeMap<String, Outcome>,
}

/// What a builder did in a phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    pub(super) runs: Vec<Sample>,
    /// How it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

/// The builder that all others are compared with.
pub(super) const SUBJECT: &str = "slipway";

impl Outcome {
    pub(super) fn median(&self, of: fn(&Sample) -> f64) -> Option<f64> {
        statistics::median(self.runs.iter().map(of))
    }

    /// The median; none where any of the runs failed.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.median(|run| run.seconds).filter(|_| self.failure.is_none())
    }
}

impl PhaseResult {
    /// The fastest peer with its median.
    pub(super) fn fastest_peer(&self) -> Option<(&str, f64)> {
        let peers = self.builders.iter().filter(|(name, _)| *name != SUBJECT);
        let timed = peers.filter_map(|(name, outcome)| Some((name.as_str(), outcome.seconds()?)));
        timed.min_by(|left, right| left.1.total_cmp(&right.1))
    }

    /// Slipway's median, divided by that of the fastest peer.
    pub(super) fn ratio(&self) -> Option<f64> {
        Some(self.builders.get(SUBJECT)?.seconds()? / self.fastest_peer()?.1)
    }
}

impl CaseResult {
    pub(super) fn outcome(&mut self, phase: &str, builder: &str) -> &mut Outcome {
        let index = self.phases.iter().position(|known| known.name == phase).unwrap_or_else(|| {
            self.phases.push(PhaseResult { name: phase.to_owned(), ..PhaseResult::default() });
            self.phases.len() - 1
        });
        self.phases[index].builders.entry(builder.to_owned()).or_default()
    }
}

impl Results {
    /// Reads what was stored; nothing where nothing was.
    pub(super) fn read(file: &Path) -> Result<Self> {
        if !file.exists() {
            return Ok(Self::default());
        }
        let text = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} holds something else", file.display()))
    }

    /// Writes by a rename, so that a stop leaves the old or the new.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let half = file.with_extension("unfinished");
        folders::write(&half, serde_json::to_string_pretty(self)? + "\n")?;
        fs::rename(&half, file).with_context(|| format!("failed to write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(seconds: &[f64]) -> Outcome {
        let runs = seconds.iter().map(|seconds| Sample { seconds: *seconds, ..Sample::default() }).collect();
        Outcome { runs, failure: None }
    }

    #[test]
    fn the_ratio_is_to_the_fastest_peer_that_did_not_fail() {
        let mut case = CaseResult::default();
        *case.outcome("cold", "slipway") = runs(&[1.0, 3.0, 2.0]);
        *case.outcome("cold", "buildkit") = runs(&[4.0, 4.0, 9.0]);
        *case.outcome("cold", "buildah") = Outcome { failure: Some("no".into()), ..runs(&[1.0]) };
        let phase = &case.phases[0];
        assert_eq!(phase.fastest_peer(), Some(("buildkit", 4.0)));
        assert_eq!(phase.ratio(), Some(0.5));
        assert_eq!(PhaseResult::default().ratio(), None);
    }
}
