//! What is said at the end: a table of stages, one of images, and the files that programs read.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use slipway_executor::assemble::bundle::{Bundle, Member};
use slipway_executor::engine::{StageOutcome, StepState};
use slipway_oci::Reference;

use super::plain::{bytes, seconds};

/// An image that came out.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) target: String,
    pub(super) names: Vec<String>,
    pub(super) pushed: bool,
    /// The digest that its names stand for: of the index where there is one.
    pub(super) digest: String,
    media_type: String,
    document_size: u64,
    /// True where several platforms were built.
    is_index: bool,
    /// The images, one a platform.
    platforms: Vec<PlatformImage>,
}

/// An image for one platform.
#[derive(Clone, Debug)]
struct PlatformImage {
    platform: String,
    digest: String,
    config_digest: String,
    media_type: String,
    manifest_size: u64,
    size: u64,
    unpacked: u64,
    layers: Vec<u64>,
}

impl Image {
    /// Tells what is to be known of a target's images; nothing of none.
    pub(super) fn new(target: String, names: &[Reference], pushed: bool, bundle: &Bundle) -> Option<Self> {
        let top = bundle.top()?;
        let platform = |member: &Member| PlatformImage {
            platform: member.platform.to_string(),
            digest: member.ready.digest.to_string(),
            config_digest: member.ready.config.digest.to_string(),
            media_type: member.ready.media_type.clone(),
            manifest_size: member.ready.manifest.len() as u64,
            size: member.ready.size(),
            unpacked: member.ready.unpacked,
            layers: member.ready.layers.iter().map(|layer| layer.size).collect(),
        };
        Some(Self {
            target,
            names: names.iter().map(Reference::familiar).collect(),
            pushed,
            digest: top.digest.to_string(),
            media_type: top.media_type,
            document_size: top.bytes.len() as u64,
            is_index: bundle.index.is_some(),
            platforms: bundle.members.iter().map(platform).collect(),
        })
    }
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
            cached(stage),
            seconds(stage.seconds()),
            bytes(stage.size()),
            stage.why().to_owned(),
        ]
    };
    let rows: Vec<_> = looked_at.map(row).collect();
    let columns = ["STAGE", "STEPS", "CACHED", "TIME", "ADDED", "NOT CACHED BECAUSE"];
    table(&columns, &rows, &[false, true, true, true, true, false])
}

/// Tells how many steps were cached, and how many of them elsewhere.
fn cached(stage: &StageOutcome) -> String {
    let all = stage.count(StepState::Cached);
    match stage.imported() {
        0 => all.to_string(),
        imported => format!("{all} ({imported} imported)"),
    }
}

/// Returns the lines on the images. `largest` is the largest stage, unpacked.
pub(super) fn images(images: &[Image], largest: u64) -> String {
    let mut out = String::new();
    for image in images {
        let name = if image.names.is_empty() { image.target.clone() } else { image.names.join(", ") };
        let verb = if image.pushed { "pushed" } else { "built" };
        let _ = writeln!(out, "{verb} {name}");
        if image.is_index {
            let _ = writeln!(out, "  index    {}", image.digest);
        }
        for platform in &image.platforms {
            if image.is_index {
                let _ = writeln!(out, "  {}", platform.platform);
            }
            block(&mut out, if image.is_index { "    " } else { "  " }, platform, largest);
        }
    }
    out
}

/// Writes the lines on the image for one platform.
fn block(out: &mut String, indent: &str, image: &PlatformImage, largest: u64) {
    let _ = writeln!(out, "{indent}digest   {}", image.digest);
    let sizes: Vec<String> = image.layers.iter().map(|size| bytes(*size)).collect();
    let _ = writeln!(
        out,
        "{indent}size     {} compressed, {} unpacked, {} layer{}{}",
        bytes(image.size),
        bytes(image.unpacked),
        image.layers.len(),
        if image.layers.len() == 1 { "" } else { "s" },
        if sizes.is_empty() { String::new() } else { format!(" ({})", sizes.join(" + ")) },
    );
    if largest > image.unpacked && largest > 0 {
        #[allow(clippy::cast_precision_loss)] // one decimal is shown
        let percent = 100.0 * (1.0 - image.unpacked as f64 / largest as f64);
        let _ =
            writeln!(out, "{indent}smaller  by {percent:.1}% than the largest stage ({})", bytes(largest));
    }
}

/// Writes what `--metadata-file` asks for, in the words of BuildKit where it has them. `largest` is the largest stage,
/// unpacked.
pub(super) fn metadata(path: &Path, images: &[Image], largest: u64) -> anyhow::Result<()> {
    let one = |image: &Image| {
        let mut document = json!({
            "containerimage.digest": image.digest,
            "containerimage.descriptor": {
                "mediaType": image.media_type, "digest": image.digest, "size": image.document_size,
            },
            "image.name": image.names.join(","),
            "slipway.target": image.target,
            "slipway.largest": largest,
        });
        match image.platforms.as_slice() {
            [only] if !image.is_index => {
                document["containerimage.config.digest"] = json!(only.config_digest);
                document["slipway.size"] = json!(only.size);
                document["slipway.unpacked"] = json!(only.unpacked);
                document["slipway.layers"] = json!(only.layers);
            }
            several => {
                let platform = |image: &PlatformImage| {
                    let document = json!({
                        "containerimage.digest": image.digest,
                        "containerimage.config.digest": image.config_digest,
                        "containerimage.descriptor": {
                            "mediaType": image.media_type, "digest": image.digest, "size": image.manifest_size,
                        },
                        "slipway.size": image.size,
                        "slipway.unpacked": image.unpacked,
                        "slipway.layers": image.layers,
                    });
                    (image.platform.clone(), document)
                };
                let all: serde_json::Map<_, _> = several.iter().map(platform).collect();
                document["slipway.platforms"] = all.into();
            }
        }
        document
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
