//! The few sums that the reports need.

/// A count as a number to reckon with: what is counted here stays far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts of bytes and ticks are far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// The middle value, or the mean of the two middle ones.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

/// The smallest and the largest value.
pub(super) fn spread(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().fold(None, |spread, value| {
        let (low, high) = spread.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

/// The exponent with which `y` grows with `x`: the slope of the straight line through the logarithms.
pub(super) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.log10(), y.log10())).collect();
    let count = float(logs.len() as u64);
    let mean = |pick: fn(&(f64, f64)) -> f64| logs.iter().map(pick).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (below > 0.0).then(|| above / below)
}

/// The fixed part and the cost of each more, as in `y = fixed + each * x`, by least squares of relative errors.
pub(super) fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    // Weighted by 1/y², so that the small measurements decide on the fixed part.
    let weighted = |pick: fn(f64, f64) -> f64| -> f64 {
        points.iter().filter(|(_, y)| *y > 0.0).map(|(x, y)| pick(*x, *y) / (y * y)).sum()
    };
    let (weight, x, y) = (weighted(|_, _| 1.0), weighted(|x, _| x), weighted(|_, y| y));
    let (xx, xy) = (weighted(|x, _| x * x), weighted(|x, y| x * y));
    let determinant = weight * xx - x * x;
    let each = (weight * xy - x * y) / determinant;
    (determinant.abs() > f64::MIN_POSITIVE).then(|| ((y - each * x) / weight, each))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
        assert_eq!(spread([3.0, 1.0, 2.0]), Some((1.0, 3.0)));
        assert_eq!(spread([]), None);
    }

    #[test]
    fn growth_is_told_by_its_exponent() {
        let linear = [(10.0, 0.5), (100.0, 5.0), (1000.0, 50.0)];
        assert!((exponent(&linear).expect("points") - 1.0).abs() < 1e-9);
        let square = [(10.0, 1.0), (100.0, 100.0), (1000.0, 10_000.0)];
        assert!((exponent(&square).expect("points") - 2.0).abs() < 1e-9);
        assert_eq!(exponent(&[(10.0, 1.0)]), None);
    }

    #[test]
    fn a_fixed_part_is_told_from_what_each_more_costs() {
        let points = [(1.0, 0.12), (10.0, 0.30), (100.0, 2.10)];
        let (fixed, each) = line(&points).expect("points");
        assert!((fixed - 0.1).abs() < 1e-9 && (each - 0.02).abs() < 1e-9, "{fixed} {each}");
        assert_eq!(line(&[(1.0, 1.0)]), None);
    }
}
