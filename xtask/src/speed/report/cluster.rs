//! The part of the page about builds by pods.

use std::{collections::BTreeMap, fmt::Write};

use crate::speed::{
    cluster::{POD, SINGLE, SUBJECT},
    results::{CaseResult, Outcome, PhaseResult},
};

/// At most so much of the pod's time, and at most so many seconds more than the daemon's.
const OF_THE_POD: f64 = 0.5;
const MORE_THAN_THE_DAEMON: f64 = 2.0;

/// The section, with its heading.
pub(super) fn section(cases: &BTreeMap<String, CaseResult>) -> String {
    format!(
        "\n## In the cluster\n\nSeconds from `kubectl apply` to `Ready` of an ImageBuild and to `Succeeded` of a kaniko pod, and of a \
         build by a daemon that runs on the node; the context lies on a claim. The targets: at most {OF_THE_POD} of the pod, and \
         at most {MORE_THAN_THE_DAEMON} s more than the daemon. An ImageBuild runs as it does where nothing is said: a pod for each \
         stage that runs commands. Beside it, where that was measured, the same with `spec.pods.mode: Single`: one pod for all \
         stages, as kaniko has one. {}{}",
        super::provenance(cases),
        table(cases)
    )
}

/// A line for each phase.
pub(in crate::speed) fn table<'a>(cases: impl IntoIterator<Item = (&'a String, &'a CaseResult)>) -> String {
    let mut text = String::from(
        "| case | state | ImageBuild | kaniko pod | ratio | daemon on the node | more than it | `Single` | ratio | more than the daemon | |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|\n",
    );
    for (name, case) in cases {
        for (index, phase) in case.phases.iter().enumerate() {
            let what = if index == 0 { format!("**{name}**: {}", case.title) } else { name.clone() };
            // Writing to a text cannot fail.
            let _ = writeln!(text, "| {what} | {} | {} |", phase.name, cells(phase).join(" | "));
        }
        if !case.note.is_empty() {
            let _ = writeln!(text, "| | {} | | | | | | | | | |", case.note);
        }
    }
    text
}

/// What the columns after the state say; the last one what was lost, and how who failed.
fn cells(phase: &PhaseResult) -> [String; 9] {
    let of = |name: &str| phase.builders.get(name);
    let daemon = phase.builders.iter().find(|(name, _)| ![SUBJECT, SINGLE, POD].contains(&name.as_str()));
    let daemon = daemon.map(|(_, outcome)| outcome);
    let own = Compared::new(of(SUBJECT), of(POD), daemon);
    let single = Compared::new(of(SINGLE), of(POD), daemon);
    let mut remarks = Vec::new();
    for (missed, met_by_single, whom) in [
        (own.misses_the_pod(), single.ratio.is_some() && !single.misses_the_pod(), "pod"),
        (own.misses_the_daemon(), single.more.is_some() && !single.misses_the_daemon(), "daemon"),
    ] {
        if missed {
            let but = if met_by_single { ", not by `Single`" } else { "" };
            remarks.push(format!("missed: the {whom}{but}"));
        }
    }
    let all =
        [("ImageBuild", of(SUBJECT)), ("`Single`", of(SINGLE)), ("kaniko", of(POD)), ("daemon", daemon)];
    for (name, outcome) in all {
        if let Some(outcome) = outcome.filter(|outcome| outcome.failure.is_some()) {
            remarks.push(format!("{name} {}", super::failed(outcome)));
        }
    }
    let seconds = |outcome: Option<&Outcome>| match outcome {
        None => "–".to_owned(),
        Some(outcome) => {
            outcome.seconds().map_or_else(|| "failed".to_owned(), |seconds| format!("{seconds:.2}"))
        }
    };
    let number = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), |number| format!("{number:.2}"));
    [
        seconds(of(SUBJECT)),
        seconds(of(POD)),
        number(own.ratio),
        seconds(daemon),
        number(own.more),
        seconds(of(SINGLE)),
        number(single.ratio),
        number(single.more),
        remarks.join("; "),
    ]
}

/// An ImageBuild beside the pod and the daemon.
struct Compared {
    /// Its time, divided by the pod's.
    ratio: Option<f64>,
    /// Its seconds, less those of the daemon.
    more: Option<f64>,
}

impl Compared {
    fn new(own: Option<&Outcome>, pod: Option<&Outcome>, daemon: Option<&Outcome>) -> Self {
        let own = own.and_then(Outcome::seconds);
        let against = |other: Option<&Outcome>| own.zip(other.and_then(Outcome::seconds));
        Self {
            ratio: against(pod).map(|(own, pod)| own / pod),
            more: against(daemon).map(|(own, daemon)| own - daemon),
        }
    }

    fn misses_the_pod(&self) -> bool {
        self.ratio.is_some_and(|ratio| ratio > OF_THE_POD)
    }

    fn misses_the_daemon(&self) -> bool {
        self.more.is_some_and(|more| more > MORE_THAN_THE_DAEMON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speed::meter::Sample;

    fn case(imagebuild: f64, pod: f64, daemon: f64) -> CaseResult {
        let mut case = CaseResult { title: "hello".into(), ..CaseResult::default() };
        for (name, seconds) in [(SUBJECT, imagebuild), (POD, pod), ("buildkit", daemon)] {
            case.outcome("cold", name).runs.push(Sample { seconds, ..Sample::default() });
        }
        case
    }

    fn line(case: CaseResult) -> String {
        table(&BTreeMap::from([("a".to_owned(), case)])).lines().nth(2).unwrap_or_default().to_owned()
    }

    #[test]
    fn each_target_is_judged_by_itself() {
        assert_eq!(
            line(case(2.0, 4.0, 0.5)),
            "| **a**: hello | cold | 2.00 | 4.00 | 0.50 | 0.50 | 1.50 | – | – | – |  |"
        );
        let lost = line(case(3.0, 4.0, 0.5));
        assert!(
            lost.ends_with("| 0.75 | 0.50 | 2.50 | – | – | – | missed: the pod; missed: the daemon |"),
            "{lost}"
        );
        let against_the_daemon = line(case(2.6, 6.0, 0.5));
        assert!(against_the_daemon.ends_with("| missed: the daemon |"), "{against_the_daemon}");
    }

    #[test]
    fn a_target_that_one_pod_meets_is_still_missed() {
        let mut slow = case(3.0, 4.0, 0.5);
        slow.outcome("cold", SINGLE).runs.push(Sample { seconds: 2.0, ..Sample::default() });
        let slow = line(slow);
        assert!(
            slow.ends_with(
                "| 2.00 | 0.50 | 1.50 | missed: the pod, not by `Single`; missed: the daemon, not by `Single` |"
            ),
            "{slow}"
        );
    }

    #[test]
    fn who_failed_is_named_with_the_reason() {
        let mut failing = case(2.0, 4.0, 0.5);
        failing.outcome("cold", POD).failure = Some("a log\nno room".into());
        let line = line(failing);
        assert!(
            line.contains("| 2.00 | failed | – | 0.50 | 1.50 | – | – | – | kaniko failed: no room |"),
            "{line}"
        );
    }
}
