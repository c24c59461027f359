//! Findings for people.

use std::env;

use slipway_dockerfile::render::Renderer;

use super::Findings;

/// Renders findings with the lines of the file, a blank line between them.
pub(super) fn render(findings: &Findings<'_>) -> String {
    let mut renderer = Renderer::new(findings.name, findings.source).colour(findings.colour);
    if let Some(width) = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()) {
        renderer = renderer.width(width);
    }
    renderer.render_all(findings.diagnostics)
}
