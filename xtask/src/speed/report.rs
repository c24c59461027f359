//! The results as Markdown: a page with the machine, the ratios, the charts and all other figures.

mod cluster;

use std::{collections::BTreeMap, fmt::Write};

pub(super) use cluster::table as in_the_cluster;

use super::{
    results::{CaseResult, Outcome, PhaseResult, Results, SUBJECT},
    statistics::{float, spread},
};

/// The page of the results. It is made anew from what is stored; how it was measured is told in a page beside it.
pub(super) fn page(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "# Measured: Slipway beside other builders\n\nMade by `cargo xtask bench`; [method](method.md) says what is \
         measured and how. Raw figures: [results.json](results.json).\n\n{} cores of {}, {} of memory, Linux {}, {}.\n",
        machine.cores, machine.processor, machine.memory, machine.kernel, machine.filesystem
    );
    let versions = machine.versions.iter().map(|(name, version)| format!("{name}: {version}"));
    let _ = writeln!(text, "\n{}.\n", versions.collect::<Vec<_>>().join("; "));
    text.push_str("Medians in seconds; the ratio is Slipway ÷ the fastest peer. ");
    text.push_str(&provenance(&results.cases));
    text.push_str(&ratios(results));
    text.push_str("\n![Ratios as bars](ratios.svg)\n");
    if !results.cluster.is_empty() {
        text.push_str(&cluster::section(&results.cluster));
    }
    if !results.figures.is_empty() {
        text.push_str("\n## Small figures\n\n| what | measured | target | |\n|---|---:|---|---|\n");
        for figure in &results.figures {
            let verdict = if figure.met { "" } else { "missed" };
            let _ = writeln!(
                text,
                "| {} | {:.2} {} | {} | {verdict} |",
                figure.what, figure.value, figure.unit, figure.target
            );
        }
    }
    if !results.scaling.is_empty() {
        text.push_str("\n## Growth\n\n![Seconds against counts](scaling.svg)\n");
        for (what, growth) in &results.scaling {
            let _ = writeln!(text, "\n{what}:\n");
            for (builder, points) in &growth.builders {
                let _ = writeln!(text, "- {}", super::scaling::words(builder, points));
            }
        }
    }
    text.push_str("\n## Everything\n\n");
    text + &details(&results.cases)
}

/// How often and of which commit the cases were measured: they need not all be of one day.
fn provenance(cases: &BTreeMap<String, CaseResult>) -> String {
    let runs = |case: &CaseResult| {
        let outcomes = case.phases.iter().flat_map(|phase| phase.builders.values());
        outcomes.map(|outcome| outcome.runs.len()).max().unwrap_or(0)
    };
    let mut groups: BTreeMap<(usize, &str, &str), Vec<&str>> = BTreeMap::new();
    for (name, case) in cases {
        groups.entry((runs(case), &case.commit, &case.date)).or_default().push(name);
    }
    let told = |((runs, commit, date), names): (&(usize, &str, &str), &Vec<&str>)| {
        let runs = if *runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
        format!("{runs} of commit {commit} on {date}: {}", names.join(", "))
    };
    format!("{}.\n\n", groups.iter().map(told).collect::<Vec<_>>().join("; "))
}

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
                    cells(outcome)
                        .map_or_else(|| failed(outcome) + " | | | | | |", |cells| cells.join(" | "))
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
    format!("failed: {line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speed::{meter::Sample, results::Figure};

    fn results() -> Results {
        let mut case = CaseResult { title: "hello".into(), target: 0.5, ..CaseResult::default() };
        for (builder, seconds) in [("slipway", [1.0, 1.2, 3.0]), ("buildkit", [1.5, 2.0, 2.5])] {
            let runs =
                seconds.map(|seconds| Sample { seconds, cpu: 0.5, sent: 2_000_000, ..Sample::default() });
            case.outcome("cold", builder).runs = runs.to_vec();
        }
        case.outcome("cold", "buildah").failure = Some("a log\nexit | 1".into());
        let mut results = Results::default();
        results.cases.insert("a-hello".into(), case);
        results
    }

    #[test]
    fn a_lost_target_is_said() {
        let table = ratios(&results());
        assert!(table.contains("| case | state | slipway | buildah | buildkit | ratio |"), "{table}");
        assert!(
            table.contains("| **a-hello**: hello | cold | 1.20 | failed | 2.00 | 0.60 | 0.5 | missed |"),
            "{table}"
        );
    }

    #[test]
    fn every_builder_has_a_line_with_its_spread_or_its_failure() {
        let all = results();
        let table = details(&all.cases);
        assert!(
            table.contains("| a-hello | cold | slipway | 1.200 | 1.00–3.00 | 0.50 | – | 0.0 | 2.0 | 3 |"),
            "{table}"
        );
        assert!(table.contains("| buildah | failed: exit / 1 |"), "{table}");
        let widths: Vec<usize> = table.lines().map(|line| line.matches('|').count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    }

    #[test]
    fn one_run_is_not_runs() {
        let mut all = results();
        assert!(page(&all).contains("3 runs of commit"), "{}", page(&all));
        for outcome in
            all.cases.values_mut().flat_map(|case| &mut case.phases).flat_map(|p| p.builders.values_mut())
        {
            outcome.runs.truncate(1);
        }
        assert!(page(&all).contains("1 run of commit"), "{}", page(&all));
    }

    #[test]
    fn the_page_has_what_was_measured_and_nothing_else() {
        let mut results = results();
        assert!(!page(&results).contains("## Growth") && !page(&results).contains("## In the cluster"));
        assert!(!page(&results).contains("## Small figures"));
        let figure = Figure { what: "start".into(), value: 9.5, unit: "ms".into(), ..Figure::default() };
        results.figures.push(figure);
        assert!(page(&results).contains("| start | 9.50 ms |  | missed |"), "{}", page(&results));
    }
}
