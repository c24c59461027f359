//! Charts as SVG, readable on light and on dark.

mod bars;
mod lines;

use std::fmt::{Display, Write};

pub(super) use bars::ratios;
pub(super) use lines::{last_slope, scaling};

/// A drawing of a size that grows downwards.
struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

/// Colours come from classes, so that one rule turns them for dark pages.
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1f2328}.faint{fill:#59636e}.grid{stroke:#d1d9e0}\
.one{stroke:#59636e;stroke-width:1.5}.fast{fill:#1a7f64}.slow{fill:#c4570b}.line{fill:none;stroke-width:2}\
.s0{stroke:#1a7f64}.s1{stroke:#2f6feb}.s2{stroke:#c4570b}.s3{stroke:#8250df}.s4{stroke:#9a6700}\
.f0{fill:#1a7f64}.f1{fill:#2f6feb}.f2{fill:#c4570b}.f3{fill:#8250df}.f4{fill:#9a6700}\
.target{stroke:#8250df;stroke-width:2}.title{font-weight:600;font-size:14px}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.faint{fill:#9198a1}.grid{stroke:#3d444d}.one{stroke:#9198a1}\
.fast{fill:#3fb68b}.slow{fill:#f0883e}.s0{stroke:#3fb68b}.s1{stroke:#79a8ff}.s2{stroke:#f0883e}.s3{stroke:#bc8cff}\
.s4{stroke:#d4a72c}.f0{fill:#3fb68b}.f1{fill:#79a8ff}.f2{fill:#f0883e}.f3{fill:#bc8cff}.f4{fill:#d4a72c}\
.target{stroke:#bc8cff}}";

impl Drawing {
    fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    fn text(&mut self, class: &str, anchor: &str, (x, y): (f64, f64), text: impl Display) {
        let text = escape(&text.to_string());
        self.add(format_args!(
            "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        ));
    }

    fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    fn bar(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\"/>"
        ));
    }

    fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.add(format_args!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" ")));
    }

    fn dot(&mut self, class: &str, (x, y): (f64, f64)) {
        self.add(format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"));
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.body, "{element}");
    }

    /// The file, with a title for those who cannot see it.
    fn finish(self, title: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0}\" height=\"{1:.0}\" viewBox=\"0 0 {0:.0} {1:.0}\" \
             role=\"img\"><title>{2}</title><style>{STYLE}</style>\n{3}</svg>\n",
            self.width,
            self.height,
            escape(title),
            self.body
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
