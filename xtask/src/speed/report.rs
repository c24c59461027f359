//! The results as Markdown: a table of ratios, and one of everything else.

use std::fmt::Write;

use super::{
    results::{CaseResult, Outcome, PhaseResult, Results, SUBJECT},
    statistics::{float, spread},
};

/// A table with a line for each builder in each phase of these cases.
pub(super) fn details<'a>(cases: impl IntoIterator<Item = (&'a String, &'a CaseResult)>) -> String {
    let mut text = String::from(
        "| case | state | builder | seconds | min–max | CPU s | peak MiB | written MB | sent MB | runs |\n\
         |---|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (name, case) in cases {
        for phase in &case.phases {
            for (builder, outcome) in ordered(phase) {
                let _ = writeln!(
                    text,
                    "| {name} | {} | {builder} | {} |",
                    phase.name,
                    cells(outcome).map_or_else(|| failed(outcome), |cells| cells.join(" | "))
                );
            }
        }
    }
    text
}

/// A table with a line for each phase: medians beside each other, and the ratio.
pub(super) fn ratios(results: &Results) -> String {
    let mut builders: Vec<&str> = results
        .cases
        .values()
        .flat_map(|case| &case.phases)
        .flat_map(ordered)
        .map(|(name, _)| name)
        .collect();
    builders.sort_by_key(|name| (*name != SUBJECT, *name));
    builders.dedup();
    let mut text = format!("| case | state | {} | ratio | target | |\n", builders.join(" | "));
    let _ = writeln!(text, "|---|---|{}---:|---:|---|", "---:|".repeat(builders.len()));
    for (name, case) in &results.cases {
        for (index, phase) in case.phases.iter().enumerate() {
            let seconds = |builder: &&str| match phase.builders.get(*builder) {
                None => String::from("–"),
                Some(outcome) => {
                    outcome.seconds().map_or_else(|| "failed".to_owned(), |seconds| format!("{seconds:.2}"))
                }
            };
            let cells: Vec<String> = builders.iter().map(seconds).collect();
            let what = if index == 0 { format!("**{name}**: {}", case.title) } else { name.clone() };
            let (ratio, verdict) = match phase.ratio() {
                Some(ratio) => (format!("{ratio:.2}"), if ratio <= case.target { "" } else { "missed" }),
                None => ("–".to_owned(), ""),
            };
            let _ = writeln!(
                text,
                "| {what} | {} | {} | {ratio} | {:.1} | {verdict} |",
                phase.name,
                cells.join(" | "),
                case.target
            );
        }
        if !case.note.is_empty() {
            let _ = writeln!(text, "| | {} |{} | | |", case.note, " |".repeat(builders.len()));
        }
    }
    text
}

/// The builders of a phase, Slipway first.
pub(super) fn ordered(phase: &PhaseResult) -> Vec<(&str, &Outcome)> {
    let mut all: Vec<_> = phase.builders.iter().map(|(name, outcome)| (name.as_str(), outcome)).collect();
    all.sort_by_key(|(name, _)| (*name != SUBJECT, *name));
    all
}

fn cells(outcome: &Outcome) -> Option<[String; 7]> {
    let (low, high) = spread(outcome.runs.iter().map(|run| run.seconds))?;
    let peak = outcome.median(|run| float(run.peak))? / f64::from(1 << 20);
    Some([
        format!("{:.3}", outcome.seconds()?),
        format!("{low:.2}–{high:.2}"),
        format!("{:.2}", outcome.median(|run| run.cpu)?),
        if peak > 0.0 { format!("{peak:.0}") } else { "–".to_owned() },
        format!("{:.1}", outcome.median(|run| float(run.written))? / 1e6),
        format!("{:.1}", outcome.median(|run| float(run.sent))? / 1e6),
        outcome.runs.len().to_string(),
    ])
}

fn failed(outcome: &Outcome) -> String {
    let why = outcome.failure.as_deref().unwrap_or("not measured");
    let line = why.lines().last().unwrap_or_default().replace('|', "/");
    format!("failed: {line} | | | | | |")
}
