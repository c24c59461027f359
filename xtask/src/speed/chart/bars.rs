//! Ratios as bars that begin at 1: to the left Slipway is faster, to the right slower.

use super::Drawing;
use crate::speed::results::Results;

const ROW: f64 = 20.0;
const LEFT: f64 = 270.0;
const WIDTH: f64 = 860.0;
const TOP: f64 = 58.0;

/// A bar for each phase that has a ratio.
pub(in crate::speed) fn ratios(results: &Results) -> String {
    let rows: Vec<(String, f64, f64)> = results
        .cases
        .iter()
        .flat_map(|(name, case)| {
            case.phases.iter().filter_map(move |phase| {
                Some((format!("{name}, {}", phase.name), phase.ratio()?, case.target))
            })
        })
        .collect();
    let scale = Scale::over(rows.iter().map(|row| row.1));
    let height = TOP + ROW * super::super::statistics::float(rows.len() as u64) + 16.0;
    let mut drawing = Drawing::new(WIDTH, height);
    drawing.text("title", "start", (12.0, 22.0), "Time of Slipway ÷ time of the fastest peer");
    drawing.text("faint", "start", (12.0, 40.0), "left of 1 is faster; the mark is the target");
    for tick in scale.ticks() {
        let x = scale.place(tick);
        drawing.line(if near(tick, 1.0) { "one" } else { "grid" }, (x, TOP - 6.0), (x, height - 10.0));
        drawing.text("faint", "middle", (x, TOP - 10.0), tick);
    }
    let mut y = TOP;
    for (label, ratio, target) in rows {
        let (one, end) = (scale.place(1.0), scale.place(ratio));
        let class = if ratio <= 1.0 { "fast" } else { "slow" };
        drawing.text("label", "end", (LEFT - 12.0, y + 14.0), label);
        drawing.bar(class, (one.min(end), y + 4.0), ((end - one).abs().max(1.0), ROW - 8.0));
        let mark = scale.place(target);
        drawing.line("target", (mark, y + 2.0), (mark, y + ROW - 2.0));
        let (anchor, x) = if ratio <= 1.0 { ("end", end - 4.0) } else { ("start", end + 4.0) };
        drawing.text("value", anchor, (x, y + 14.0), format_args!("{ratio:.2}"));
        y += ROW;
    }
    drawing.finish("Ratios of Slipway's time to that of the fastest peer")
}

/// Logarithmic, so that half and double are equally far from 1.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let scale = Self { low: 0.4, high: 1.6 };
        values.filter(|value| *value > 0.0).fold(scale, |scale, value| Self {
            low: scale.low.min(value / 1.5),
            high: scale.high.max(value * 1.5),
        })
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value / self.low).ln() / (self.high / self.low).ln();
        LEFT + 30.0 + part * (WIDTH - LEFT - 60.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let all = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0];
        all.into_iter().filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }
}

fn near(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speed::{meter::Sample, results::CaseResult};

    #[test]
    fn half_and_double_are_equally_far_from_one() {
        let scale = Scale::over([0.1, 3.0].into_iter());
        let (half, one, double) = (scale.place(0.5), scale.place(1.0), scale.place(2.0));
        assert!(((one - half) - (double - one)).abs() < 1e-6);
        assert!(scale.place(0.1) > LEFT && scale.place(3.0) < WIDTH);
    }

    #[test]
    fn each_phase_with_a_ratio_has_a_bar_and_its_number() {
        let mut case = CaseResult { target: 0.5, ..CaseResult::default() };
        for (builder, seconds) in [("slipway", 1.0), ("buildkit", 4.0)] {
            case.outcome("cold", builder).runs.push(Sample { seconds, ..Sample::default() });
        }
        case.outcome("again", "slipway").runs.push(Sample::default());
        let mut results = Results::default();
        results.cases.insert("a<b".into(), case);
        let svg = ratios(&results);
        assert_eq!(svg.matches("<rect").count(), 1, "{svg}");
        assert!(svg.contains("a&lt;b, cold") && svg.contains(">0.25<"), "{svg}");
    }
}
