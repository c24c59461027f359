//! Growth as lines between logarithmic axes: a slope of 1 is linear.

use super::Drawing;
use crate::speed::{
    results::{Growth, Results, SUBJECT},
    statistics::{exponent, float, spread},
};

const PANEL: (f64, f64) = (420.0, 300.0);
const MARGIN: (f64, f64) = (58.0, 48.0);

/// A panel for each thing that grows.
pub(in crate::speed) fn scaling(results: &Results) -> String {
    let rows = results.scaling.len().div_ceil(2);
    let mut drawing = Drawing::new(PANEL.0 * 2.0, PANEL.1 * float(rows as u64));
    for (index, (what, growth)) in results.scaling.iter().enumerate() {
        let corner = (PANEL.0 * float(index as u64 % 2), PANEL.1 * float(index as u64 / 2));
        panel(&mut drawing, corner, what, growth);
    }
    drawing.finish("Seconds of a cold build against files, bytes, layers and stages, logarithmic")
}

fn panel(drawing: &mut Drawing, (left, top): (f64, f64), what: &str, growth: &Growth) {
    let points = || growth.builders.values().flatten();
    let (x, y) = (decades(points().map(|point| point.0)), decades(points().map(|point| point.1)));
    let (width, height) = (PANEL.0 - MARGIN.0 - 20.0, PANEL.1 - MARGIN.1 * 2.0 - 4.0);
    let place = |(of_x, of_y): (f64, f64)| {
        let part =
            |value: f64, (low, high): (i32, i32)| (value.log10() - f64::from(low)) / f64::from(high - low);
        (left + MARGIN.0 + width * part(of_x, x), top + MARGIN.1 + height * (1.0 - part(of_y, y)))
    };
    drawing.text("title", "start", (left + 12.0, top + 18.0), format_args!("Seconds against {what}"));
    for power in x.0..=x.1 {
        let at = 10f64.powi(power);
        drawing.line("grid", place((at, 10f64.powi(y.0))), place((at, 10f64.powi(y.1))));
        let (text_x, text_y) = place((at, 10f64.powi(y.0)));
        drawing.text("faint", "middle", (text_x, text_y + 16.0), label(power));
    }
    for power in y.0..=y.1 {
        let at = 10f64.powi(power);
        drawing.line("grid", place((10f64.powi(x.0), at)), place((10f64.powi(x.1), at)));
        let (text_x, text_y) = place((10f64.powi(x.0), at));
        drawing.text("faint", "end", (text_x - 6.0, text_y + 4.0), label(power));
    }
    let mut names: Vec<&String> = growth.builders.keys().collect();
    names.sort_by_key(|name| (*name != SUBJECT, *name));
    for (index, name) in names.into_iter().enumerate() {
        let points = &growth.builders[name];
        let places: Vec<(f64, f64)> = points.iter().map(|point| place(*point)).collect();
        drawing.path(&format!("line s{index}"), &places);
        for at in places {
            drawing.dot(&format!("f{index}"), at);
        }
        let slope = last_slope(points).map_or(String::new(), |slope| format!(" {slope:.2}"));
        let x = left + 12.0 + float(index as u64) * 128.0;
        drawing.dot(&format!("f{index}"), (x + 4.0, top + 32.0));
        drawing.text("label", "start", (x + 12.0, top + 36.0), format_args!("{name}{slope}"));
    }
}

/// The slope where it tells most: at the end, where fixed costs do not count any more.
pub(in crate::speed) fn last_slope(points: &[(f64, f64)]) -> Option<f64> {
    exponent(points.get(points.len().checked_sub(2)?..)?)
}

/// The whole powers of ten around the values.
fn decades(values: impl Iterator<Item = f64>) -> (i32, i32) {
    let powers = values.filter(|value| *value > 0.0).map(f64::log10);
    let Some((low, high)) = spread(powers) else { return (0, 1) };
    let (low, high) = (low.floor() as i32, high.ceil() as i32);
    (low, high.max(low + 1))
}

fn label(power: i32) -> String {
    match power {
        0 => "1".to_owned(),
        1 => "10".to_owned(),
        2 => "100".to_owned(),
        -1 => "0.1".to_owned(),
        -2 => "0.01".to_owned(),
        _ => format!("10^{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_whole_decades() {
        assert_eq!(decades([0.05, 30.0].into_iter()), (-2, 2));
        assert_eq!(decades([100.0, 100_000.0].into_iter()), (2, 5));
        assert_eq!(decades([10.0].into_iter()), (1, 2));
        assert_eq!(decades(std::iter::empty()), (0, 1));
    }

    #[test]
    fn each_builder_has_a_line_and_its_slope() {
        let mut growth = Growth::default();
        growth.builders.insert("slipway".into(), vec![(100.0, 0.1), (1000.0, 0.2), (10_000.0, 2.0)]);
        growth.builders.insert("buildkit".into(), vec![(100.0, 0.5), (1000.0, 1.0), (10_000.0, 5.0)]);
        let mut results = Results::default();
        results.scaling.insert("files".into(), growth);
        let svg = scaling(&results);
        assert_eq!(svg.matches("<polyline").count(), 2, "{svg}");
        assert!(svg.contains("slipway 1.00") && svg.contains("buildkit 0.70"), "{svg}");
    }
}
