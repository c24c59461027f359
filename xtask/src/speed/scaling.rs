//! How cost grows: cold builds of ever more files, bytes, layers and stages.

use std::path::Path;

use anyhow::Result;

use super::{
    cases::{self, BARE},
    chart::last_slope,
    corpus::Corpus,
    measure::Bench,
    results::{Growth, Results, SUBJECT},
    statistics::{float, line, median},
};

/// Something to have more of.
struct Axis {
    /// As in “seconds against …”.
    what: &'static str,
    counts: &'static [u64],
    /// Beyond this only Slipway is measured: others take too long.
    peers_to: u64,
    make: fn(&Corpus, usize) -> Result<()>,
}

const AXES: &[Axis] = &[
    Axis {
        what: "files that RUN makes and COPY takes",
        counts: &[100, 1000, 10_000, 100_000, 500_000],
        peers_to: 100_000,
        make: |corpus, count| {
            corpus.file("make.sh", cases::make_tree(count))?;
            corpus.file(
                "Dockerfile",
                "FROM busybox AS build\nCOPY stamp make.sh /\nRUN sh /make.sh\n\
                 FROM scratch\nCOPY --from=build /app /app\n",
            )
        },
    },
    Axis {
        what: "bytes that COPY takes",
        counts: &[1_000_000, 10_000_000, 100_000_000, 1_000_000_000],
        peers_to: u64::MAX,
        make: |corpus, count| {
            corpus.noise("noise.bin", count as u64 / 2)?;
            corpus.words("words.txt", count as u64 / 2)?;
            corpus.file("Dockerfile", "FROM busybox\nCOPY . /data/\n")
        },
    },
    Axis {
        what: "layers",
        counts: &[1, 3, 10, 30, 100],
        peers_to: u64::MAX,
        make: |corpus, count| corpus.file("Dockerfile", cases::tall(count)),
    },
    Axis {
        what: "stages",
        counts: &[1, 3, 10, 30, 100],
        peers_to: u64::MAX,
        make: |corpus, count| corpus.file("Dockerfile", cases::wide(count)),
    },
];

/// Measures all axes, or those whose words hold one of `only`; stored after each.
pub(super) fn measure(bench: &Bench, only: &[String], runs: usize, output: &Path) -> Result<()> {
    let mut results = Results::read(&output.join("results.json"))?;
    for axis in AXES.iter().filter(|axis| only.is_empty() || only.iter().any(|word| axis.what.contains(word)))
    {
        println!("== seconds against {}", axis.what);
        let growth = measure_axis(bench, axis, runs)?;
        for (builder, points) in &growth.builders {
            println!("   {}", words(builder, points));
        }
        results.scaling.insert(axis.what.to_owned(), growth);
        super::write(&results, output)?;
    }
    Ok(())
}

fn measure_axis(bench: &Bench, axis: &Axis, runs: usize) -> Result<Growth> {
    let mut growth = Growth::default();
    for count in axis.counts {
        let corpus = bench.corpus()?;
        (axis.make)(&corpus, usize::try_from(*count)?)?;
        for builder in bench.builders() {
            if *count > axis.peers_to && builder.name() != SUBJECT {
                continue;
            }
            let mut seconds = Vec::new();
            for run in 0..runs {
                let token = format!("{count}-{}-{run}-{}", builder.name(), std::process::id());
                match bench.phase(&BARE, &BARE.phases[0], builder, corpus.path(), &token) {
                    Ok(sample) => seconds.push(sample.seconds),
                    Err(error) => println!("   {count} {:<10} FAILED: {error:#}", builder.name()),
                }
                builder.end()?;
            }
            if let Some(median) = median(seconds) {
                println!("   {count:<12} {:<10} {median:.3} s", builder.name());
                growth.builders.entry(builder.name().to_owned()).or_default().push((float(*count), median));
            }
        }
    }
    Ok(growth)
}

/// What the points say of a builder.
pub(super) fn words(builder: &str, points: &[(f64, f64)]) -> String {
    let slope = last_slope(points).map_or_else(|| "–".to_owned(), |slope| format!("{slope:.2}"));
    let each = line(points).map_or_else(String::new, |(fixed, each)| {
        format!(", {} and {} for each", duration(fixed.max(0.0)), duration(each))
    });
    format!("{builder}: exponent {slope} at the end{each}")
}

/// Seconds in the unit that needs no zeros.
fn duration(seconds: f64) -> String {
    match seconds.abs() {
        large if large >= 1.0 => format!("{seconds:.2} s"),
        middle if middle >= 1e-3 => format!("{:.1} ms", seconds * 1e3),
        small if small >= 1e-6 => format!("{:.1} µs", seconds * 1e6),
        _ => format!("{:.1} ns", seconds * 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_axis_goes_over_two_decades_at_least() {
        for axis in AXES {
            let (first, last) = (axis.counts[0], axis.counts[axis.counts.len() - 1]);
            assert!(last / first >= 100, "{}", axis.what);
        }
    }

    #[test]
    fn growth_is_told_in_words() {
        let points = [(1.0, 0.12), (10.0, 0.30), (100.0, 2.10)];
        assert_eq!(
            words("slipway", &points),
            "slipway: exponent 0.85 at the end, 100.0 ms and 20.0 ms for each"
        );
        assert_eq!(words("slipway", &points[..1]), "slipway: exponent – at the end");
    }
}
