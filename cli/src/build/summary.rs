//! What is said at the end: a table of stages, one of images, and the files that programs read.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use slipway_executor::engine::{StageOutcome, StepState};

use super::plain::{bytes, seconds};

/// An image that came out.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) target: String,
    pub(super) names: Vec<String>,
    pub(super) pushed: bool,
    pub(super) digest: String,
    pub(super) config_digest: String,
    pub(super) media_type: String,
    pub(super) manifest_size: u64,
    pub(super) size: u64,
    pub(super) unpacked: u64,
    pub(super) layers: Vec<u64>,
}

/// Lays out rows in columns; the first column to the left, numbers to the right where `right` says so.
fn table(head: &[&str], rows: &[Vec<String>], right: &[bool]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let fill = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            if right[column] {
                let _ = write!(line, "{fill}{cell}  ");
            } else {
                let _ = write!(line, "{cell}{fill}  ");
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Returns the table of stages that were looked at.
pub(super) fn stages(outcomes: &[StageOutcome]) -> String {
    let looked_at = outcomes.iter().filter(|stage| stage.started > 0.0);
    let row = |stage: &StageOutcome| {
        vec![
            stage.name.clone(),
            stage.steps.len().to_string(),
            stage.count(StepState::Cached).to_string(),
            seconds(stage.seconds()),
            bytes(stage.size()),
            stage.why().to_owned(),
        ]
    };
    let rows: Vec<_> = looked_at.map(row).collect();
    let columns = ["STAGE", "STEPS", "CACHED", "TIME", "ADDED", "NOT CACHED BECAUSE"];
    table(&columns, &rows, &[false, true, true, true, true, false])
}

/// Returns the lines on the images. `largest` is the largest stage, unpacked.
pub(super) fn images(images: &[Image], largest: u64) -> String {
    let mut out = String::new();
    for image in images {
        let name = if image.names.is_empty() { image.target.clone() } else { image.names.join(", ") };
        let verb = if image.pushed { "pushed" } else { "built" };
        let _ = writeln!(out, "{verb} {name}");
        let _ = writeln!(out, "  digest   {}", image.digest);
        let sizes: Vec<String> = image.layers.iter().map(|size| bytes(*size)).collect();
        let _ = writeln!(
            out,
            "  size     {} compressed, {} unpacked, {} layer{}{}",
            bytes(image.size),
            bytes(image.unpacked),
            image.layers.len(),
            if image.layers.len() == 1 { "" } else { "s" },
            if sizes.is_empty() { String::new() } else { format!(" ({})", sizes.join(" + ")) },
        );
        if largest > image.unpacked && largest > 0 {
            #[allow(clippy::cast_precision_loss)] // one decimal is shown
            let percent = 100.0 * (1.0 - image.unpacked as f64 / largest as f64);
            let _ = writeln!(out, "  smaller  by {percent:.1}% than the largest stage ({})", bytes(largest));
        }
    }
    out
}

/// Writes what `--metadata-file` asks for, in the words of BuildKit where it has them. `largest` is the largest stage,
/// unpacked.
pub(super) fn metadata(path: &Path, images: &[Image], largest: u64) -> anyhow::Result<()> {
    let one = |image: &Image| {
        json!({
            "containerimage.digest": image.digest,
            "containerimage.config.digest": image.config_digest,
            "containerimage.descriptor": {
                "mediaType": image.media_type, "digest": image.digest, "size": image.manifest_size,
            },
            "image.name": image.names.join(","),
            "slipway.target": image.target,
            "slipway.size": image.size,
            "slipway.unpacked": image.unpacked,
            "slipway.largest": largest,
            "slipway.layers": image.layers,
        })
    };
    let document = match images {
        [only] => one(only),
        // Several targets: one entry each, as `docker buildx bake` writes it.
        several => several
            .iter()
            .map(|image| (image.target.clone(), one(image)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    };
    let text = serde_json::to_string_pretty(&document)?;
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "10".to_owned()], vec!["long".to_owned(), "1".to_owned()]];
        assert_eq!(table(&["N", "V"], &rows, &[false, true]), "N      V\na     10\nlong   1\n");
    }
}
