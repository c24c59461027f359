//! The result as a table.

use std::time::Duration;

use super::{build::Built, catalogue::Case};

/// What came of a case.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) passed: bool,
    seconds: Option<f64>,
    /// Compressed and unpacked bytes of the image, and unpacked ones of the largest stage.
    sizes: Option<(u64, u64, u64)>,
    seen: String,
    why: String,
}

impl Row {
    /// The image does what it should.
    pub(super) fn passed(case: &Case, built: &Built, seen: &str) -> Self {
        Self::refused(case, built.seconds, Some(built), seen)
    }

    /// The build or the container fails, as it must.
    pub(super) fn refused(case: &Case, seconds: f64, built: Option<&Built>, seen: &str) -> Self {
        let sizes = built.map(|built| (built.size, built.unpacked, built.largest));
        let why = case.why.clone();
        Self { name: case.name(), passed: true, seconds: Some(seconds), sizes, seen: seen.to_owned(), why }
    }

    /// Nothing was built.
    pub(super) fn planned(case: &Case, why: &str) -> Self {
        let seen = "planned only".to_owned();
        Self { name: case.name(), passed: true, seconds: None, sizes: None, seen, why: why.to_owned() }
    }

    /// It did not do what it should.
    pub(super) fn failed(case: &Case, error: &anyhow::Error) -> Self {
        let seen = format!("FAILED: {error:#}");
        Self { name: case.name(), passed: false, seconds: None, sizes: None, seen, why: String::new() }
    }

    /// A line of progress.
    pub(super) fn line(&self, took: Duration) -> String {
        let mark = if self.passed { "ok     " } else { "FAILED " };
        format!("{mark} {} ({:.1} s): {}", self.name, took.as_secs_f64(), self.seen)
    }

    fn cells(&self) -> [String; 7] {
        let sizes = self.sizes.map(|(size, unpacked, largest)| {
            [mebibytes(size), mebibytes(unpacked), mebibytes(largest), reduction(unpacked, largest)]
        });
        let [size, unpacked, largest, smaller] = sizes.unwrap_or_default();
        let seen = self.seen.lines().next().unwrap_or_default();
        let seen = if self.why.is_empty() { seen.to_owned() } else { format!("{seen} ({})", self.why) };
        let seconds = self.seconds.map_or(String::new(), |seconds| format!("{seconds:.1}"));
        [self.name.clone(), seconds, size, unpacked, largest, smaller, seen]
    }
}

fn mebibytes(bytes: u64) -> String {
    // Tenths are what a reader compares.
    let tenths = bytes.saturating_mul(10) / (1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// How much smaller the image is than the largest stage that was made for it.
fn reduction(image: u64, largest: u64) -> String {
    // Rounded to tenths of a percent.
    match image.saturating_mul(1000).saturating_add(largest / 2).checked_div(largest) {
        None => String::new(),
        Some(left) => {
            let gone = 1000 - left.min(1000);
            format!("{}.{}%", gone / 10, gone % 10)
        }
    }
}

/// The table as Markdown, so that it can be shown as it is.
pub(super) fn render(rows: &[Row]) -> String {
    let head = ["block", "seconds", "MiB packed", "MiB unpacked", "largest stage", "smaller by", "seen"];
    let mut lines = vec![head.map(ToOwned::to_owned), std::array::from_fn(|_| "---".to_owned())];
    lines.extend(rows.iter().map(Row::cells));
    let lines: Vec<String> = lines.iter().map(|cells| format!("| {} |", cells.join(" | "))).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_reductions_are_told_in_round_numbers() {
        assert_eq!(mebibytes(12_900_000), "12.3");
        assert_eq!(reduction(5, 100), "95.0%");
        assert_eq!(reduction(2, 383), "99.5%");
        assert_eq!(reduction(22, 3835), "99.4%");
        assert_eq!(reduction(100, 100), "0.0%");
        assert_eq!(reduction(1, 0), "");
    }
}
