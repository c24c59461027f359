//! Compares a short measurement with the stored one.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::{
    Options,
    cases::Case,
    measure::Bench,
    results::{CaseResult, Results},
};

/// Cases that take seconds, and that between them go through most of the engine.
pub(super) const SHORT: &[&str] =
    &["a-hello", "f2-chain", "h-nothing-changed", "l-context", "n-hundred-stages"];

/// How much larger a ratio may be than the stored one.
const MARGIN: f64 = 1.25;

/// Measures the cases, those that got slower a second time, and fails if they are slower again.
pub(super) fn run(bench: &Bench, chosen: &[&Case], options: &Options, stored: &Path) -> Result<()> {
    let stored = Results::read(&stored.join("results.json"))?;
    let (mut slower, mut compared) = (Vec::new(), 0);
    for case in chosen {
        let Some(before) = stored.cases.get(case.name) else {
            println!("   {}: nothing is stored, so there is nothing to compare with", case.name);
            continue;
        };
        compared += 1;
        let mut complaints = compare(case.name, before, &bench.case(case, options)?);
        if !complaints.is_empty() {
            println!("   {}: slower, so once more", case.name);
            complaints = compare(case.name, before, &bench.case(case, options)?);
        }
        slower.extend(complaints);
    }
    ensure!(compared > 0, "nothing is stored to compare with: measure with `cargo xtask bench`");
    if slower.is_empty() {
        println!("no ratio is more than 25 % above the stored one");
        return Ok(());
    }
    bail!("{} ratios are more than 25 % above the stored ones:\n{}", slower.len(), slower.join("\n"))
}

/// What got slower against the peers, in words.
fn compare(name: &str, before: &CaseResult, now: &CaseResult) -> Vec<String> {
    let mut complaints = Vec::new();
    for phase in &now.phases {
        let stored = before.phases.iter().find(|known| known.name == phase.name);
        match (stored.and_then(super::results::PhaseResult::ratio), phase.ratio()) {
            (Some(stored), Some(ratio)) if ratio > stored * MARGIN => {
                complaints.push(format!("{name}, {}: {ratio:.2}, stored is {stored:.2}", phase.name));
            }
            (Some(stored), None) => {
                complaints.push(format!("{name}, {}: failed, stored is {stored:.2}", phase.name));
            }
            _ => {}
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speed::{cases, meter::Sample};

    fn case(slipway: f64) -> CaseResult {
        let mut case = CaseResult::default();
        for (builder, seconds) in [("slipway", slipway), ("buildkit", 1.0)] {
            case.outcome("cold", builder).runs.push(Sample { seconds, ..Sample::default() });
        }
        case
    }

    #[test]
    fn a_ratio_may_rise_by_a_quarter_and_no_more() {
        assert!(compare("a", &case(0.5), &case(0.62)).is_empty());
        assert_eq!(compare("a", &case(0.5), &case(0.63)), ["a, cold: 0.63, stored is 0.50"]);
        assert!(compare("a", &CaseResult::default(), &case(9.0)).is_empty());
    }

    #[test]
    fn the_short_cases_exist() {
        let known: Vec<&str> = cases::all().iter().map(|case| case.name).collect();
        assert!(SHORT.iter().all(|name| known.contains(name)), "{known:?}");
    }
}
