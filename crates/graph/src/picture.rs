//! Pictures of an outline: text for a terminal, JSON for programs, DOT, Mermaid and SVG.
//!
//! They show names, paths and lines of the Dockerfile; nothing here knows of caches or results.

mod diagram;
mod dot;
mod json;
mod layout;
mod mermaid;
mod svg;
mod text;

#[cfg(test)]
mod tests;

pub use self::json::{SCHEMA_VERSION, document};

use crate::outline::Outline;

/// How many stages a drawing may have; a larger one is no use to anybody, and text and JSON have no limit.
pub const MAX_DRAWN: usize = 400;

/// What to make of an outline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A tree, the levels and the critical path, for a terminal.
    #[default]
    Text,
    /// A document with a schema and a version, for programs.
    Json,
    /// Graphviz.
    Dot,
    /// A Mermaid flowchart, for Markdown.
    Mermaid,
    /// A drawing that needs nothing else, in light and dark.
    Svg,
}

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many stages to draw.
    #[error("{stages} stages are too many to draw; the limit is {MAX_DRAWN}")]
    TooLarge {
        /// How many there are.
        stages: usize,
    },
}

/// Renders an outline; `title` names the file.
pub fn render(outline: &Outline, format: Format, title: &str) -> Result<String, Error> {
    let drawn = matches!(format, Format::Dot | Format::Mermaid | Format::Svg);
    if drawn && outline.stages.len() > MAX_DRAWN {
        return Err(Error::TooLarge { stages: outline.stages.len() });
    }
    Ok(match format {
        Format::Text => text::render(outline, title),
        Format::Json => json::render(outline, title),
        Format::Dot => dot::render(outline, title),
        Format::Mermaid => mermaid::render(outline),
        Format::Svg => svg::render(outline, title),
    })
}
