//! A drawing that needs no other program: boxes from left to right in the order of work, each with what flows into it
//! written where the wire ends. Light and dark come from one style sheet.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::diagram::{Diagram, Link, Node, NodeKind, limited, middle_cut};
use super::layout::{Item, Layout, Wire, place, ranks};
use crate::outline::{Outline, Via};

/// The width of a character of the fixed-width font, and of the bold one of names, in pixels.
const MONO: f64 = 7.25;
const BOLD: f64 = 8.6;
const PAD: f64 = 14.0;
const MARGIN: f64 = 28.0;
const HEAD: f64 = 32.0;
const ROW: f64 = 19.0;
const FOOT: f64 = 24.0;
/// How many characters a line in a box has at most.
const MAX_CHARS: usize = 40;
/// How many lines one wire brings.
const MAX_LINES: usize = 4;

const STYLE: &str = "\
.bg{fill:#fff}.box{fill:#f6f8fa;stroke:#8c959f;stroke-width:1.2}.rule{stroke:#d0d7de;stroke-width:1}\
text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;font-size:12px;fill:#57606a}\
.name{font-size:14px;font-weight:600;fill:#1f2328}.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2328}\
.dim{fill:#57606a}.small{font-size:11px}.title{font-size:16px;font-weight:600;fill:#1f2328}\
.wire{fill:none;stroke:#8c959f;stroke-width:1.4}.from{stroke-width:2.4}.mount{stroke-dasharray:5 4}.tip{fill:#8c959f}\
.target .box{stroke:#0969da;stroke-width:2;fill:#ddf4ff}.badge{fill:#0969da}.badge-text{fill:#fff;font-size:10.5px;font-weight:600}\
.critical .box,.wire.critical{stroke:#bc4c00;stroke-width:2.4}.tip.critical{fill:#bc4c00}\
.pruned .box{fill:none;stroke:#afb8c1;stroke-dasharray:5 4}.pruned text{fill:#8c959f}.pruned .rule{stroke:#eaeef2}\
.wire.pruned{stroke:#c8cfd6}.tip.pruned{fill:#c8cfd6}";

const DARK: &str = "\
.bg{fill:#0d1117}.box{fill:#161b22;stroke:#6e7681}.rule{stroke:#30363d}text{fill:#9198a1}\
.name,.mono,.title{fill:#e6edf3}.dim{fill:#9198a1}.wire{stroke:#6e7681}.tip{fill:#6e7681}\
.target .box{stroke:#4493f8;fill:#121d2f}.badge{fill:#1f6feb}\
.critical .box,.wire.critical{stroke:#f0883e}.tip.critical{fill:#f0883e}\
.pruned .box{fill:none;stroke:#484f58}.pruned text{fill:#6e7681}.pruned .rule{stroke:#21262d}\
.wire.pruned{stroke:#30363d}.tip.pruned{fill:#30363d}";

pub(super) fn render(outline: &Outline, title: &str) -> String {
    let diagram = Diagram::new(outline);
    let columns = columns(outline, &diagram);
    // The order in the columns first: the wires of a box then end in the order in which they arrive.
    let rough: Vec<Item> =
        columns.iter().map(|column| Item { column: *column, width: 1.0, height: 60.0 }).collect();
    let straight: Vec<Wire> =
        diagram.links.iter().map(|link| Wire { from: link.from, to: link.to, port: 30.0 }).collect();
    let order = ranks(&rough, &straight);
    let boxes: Vec<Content> = diagram
        .nodes
        .iter()
        .enumerate()
        .map(|(at, node)| Content::new(&diagram, at, node, &columns, &order))
        .collect();
    let items: Vec<Item> = boxes
        .iter()
        .zip(&columns)
        .map(|(content, column)| Item { column: *column, width: content.width, height: content.height })
        .collect();
    let wires: Vec<Wire> = diagram
        .links
        .iter()
        .enumerate()
        .map(|(at, link)| Wire {
            from: link.from,
            to: link.to,
            port: boxes[link.to].ports.get(&at).copied().unwrap_or(0.0),
        })
        .collect();
    let layout = place(&items, &wires);
    Drawing { outline, diagram: &diagram, boxes: &boxes, layout: &layout, title }.draw()
}

/// Returns the column of each node: stages by how many others they wait for, things from outside just before their
/// first use.
fn columns(outline: &Outline, diagram: &Diagram) -> Vec<usize> {
    let stages = outline.stages.len();
    let mut columns = vec![0_i64; diagram.nodes.len()];
    for (at, stage) in outline.stages.iter().enumerate() {
        // A stage that nobody needs may take something of a later one; such a wire just runs backwards.
        let needs = stage.needs().into_iter().filter(|need| *need < at);
        columns[at] = needs.map(|need| columns[need] + 1).max().unwrap_or(0);
    }
    for at in stages..diagram.nodes.len() {
        let users = diagram.links.iter().filter(|link| link.from == at).map(|link| columns[link.to]);
        columns[at] = users.min().unwrap_or(0) - 1;
    }
    let least = columns.iter().copied().min().unwrap_or(0);
    columns.into_iter().map(|column| usize::try_from(column - least).unwrap_or(0)).collect()
}

/// What stands in a box.
struct Content {
    width: f64,
    height: f64,
    /// Text, class and baseline of each line.
    lines: Vec<(String, &'static str, f64)>,
    /// Where the rules are.
    rules: Vec<f64>,
    /// Where each link ends, below the top.
    ports: HashMap<usize, f64>,
}

impl Content {
    fn new(diagram: &Diagram, at: usize, node: &Node, columns: &[usize], order: &[usize]) -> Self {
        if node.kind != NodeKind::Stage {
            return Self::outside(node);
        }
        let mut this =
            Self { width: 150.0, height: HEAD, lines: vec![], rules: vec![], ports: HashMap::new() };
        let badge = if node.target { 58.0 } else { 0.0 };
        let name = cut(&node.title, 30);
        this.width = this.width.max(width_of(&name, BOLD) + 2.0 * PAD + badge);
        this.lines.push((name, "name", 21.0));
        let mut links: Vec<(usize, &Link)> =
            diagram.links.iter().enumerate().filter(|(_, link)| link.to == at).collect();
        // Wires arrive from the top down, those that come from afar last within a row of boxes.
        links.sort_by_key(|(_, link)| {
            (link.via != Via::From, order[link.from], usize::MAX - columns[link.from])
        });
        for (number, link) in links.iter().filter(|(_, link)| link.via == Via::From) {
            this.row(&format!("FROM {}", diagram.nodes[link.from].title), "mono", Some(*number));
        }
        if let Some(base) = &node.base {
            this.row(&format!("FROM {base}"), "mono dim", None);
        }
        let flows: Vec<&(usize, &Link)> = links.iter().filter(|(_, link)| link.via != Via::From).collect();
        if !flows.is_empty() || !node.context.is_empty() {
            this.rule();
        }
        for (number, link) in flows {
            for (line, text) in link.lines(MAX_LINES).iter().enumerate() {
                this.row(text, "mono", (line == 0).then_some(*number));
            }
        }
        for (line, text) in limited(&node.context, 3).iter().enumerate() {
            let lead = if line == 0 { "context: " } else { "         " };
            this.row(&format!("{lead}{text}"), "mono dim", None);
        }
        this.rule();
        this.height += FOOT;
        this.width = this.width.max(width_of(&node.summary, 6.5) + 2.0 * PAD);
        this.lines.push((node.summary.clone(), "small", this.height - 9.0));
        this
    }

    fn outside(node: &Node) -> Self {
        let name = middle_cut(&node.title, MAX_CHARS);
        let width = width_of(&name, MONO).max(60.0) + 2.0 * PAD;
        let lines = vec![(node.kind_name().to_owned(), "small", 17.0), (name, "mono", 34.0)];
        Self { width, height: 46.0, lines, rules: vec![], ports: HashMap::new() }
    }

    fn row(&mut self, text: &str, class: &'static str, port: Option<usize>) {
        let text = middle_cut(text, MAX_CHARS);
        self.width = self.width.max(width_of(&text, MONO) + 2.0 * PAD);
        if let Some(link) = port {
            self.ports.insert(link, self.height + ROW / 2.0 - 1.0);
        }
        self.lines.push((text, class, self.height + ROW - 6.0));
        self.height += ROW;
    }

    fn rule(&mut self) {
        self.height += 4.0;
        self.rules.push(self.height);
        self.height += 3.0;
    }
}

struct Drawing<'d> {
    outline: &'d Outline,
    diagram: &'d Diagram,
    boxes: &'d [Content],
    layout: &'d Layout,
    title: &'d str,
}

impl Drawing<'_> {
    fn draw(&self) -> String {
        let head = 58.0;
        let legend = self.legend();
        let width = (self.layout.width + 2.0 * MARGIN).max(legend.1 + 2.0 * MARGIN).max(420.0);
        let foot = 56.0;
        let height = self.layout.height + head + MARGIN + foot;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">\n"
        );
        let (all, needed) = (self.outline.stages.len(), self.outline.order.len());
        let mut count = format!("{all} stage{}", if all == 1 { "" } else { "s" });
        if needed < all {
            let _ = write!(count, ", {needed} needed");
        }
        let title = escape(&cut(self.title, 60));
        let _ = write!(
            out,
            "<title>{title}: {count}</title>\n<style>{STYLE}\n@media (prefers-color-scheme:dark){{{DARK}}}</style>\n"
        );
        let _ = writeln!(out, "<rect class=\"bg\" width=\"{width:.0}\" height=\"{height:.0}\"/>");
        let _ = writeln!(
            out,
            "<text class=\"title\" x=\"{MARGIN}\" y=\"36\">{title}<tspan dx=\"12\" class=\"small\" font-weight=\"400\">{count}</tspan></text>"
        );
        let _ = writeln!(out, "<g transform=\"translate({MARGIN},{head})\">");
        // Grey below, the critical path on top.
        let mut order: Vec<usize> = (0..self.diagram.links.len()).collect();
        order.sort_by_key(|at| (self.diagram.links[*at].needed, self.diagram.links[*at].critical));
        for at in order {
            self.wire(at, &mut out);
        }
        for at in 0..self.boxes.len() {
            self.node(at, &mut out);
        }
        out.push_str("</g>\n");
        let _ = write!(
            out,
            "<g transform=\"translate({MARGIN},{:.0})\">\n{}</g>\n</svg>\n",
            height - 26.0,
            legend.0
        );
        out
    }

    fn wire(&self, at: usize, out: &mut String) {
        let link = &self.diagram.links[at];
        let mut class = "wire".to_owned();
        match link.via {
            Via::From => class.push_str(" from"),
            Via::Copy => {}
            Via::Mount => class.push_str(" mount"),
        }
        let state = match (link.needed, link.critical) {
            (false, _) => " pruned",
            (true, true) => " critical",
            (true, false) => "",
        };
        let route = &self.layout.routes[at];
        let (x, y) = route[0];
        let mut path = format!("M{x:.1},{y:.1}");
        let tip = 8.0;
        for (number, pair) in route.windows(2).enumerate() {
            let ((x0, y0), (mut x1, y1)) = (pair[0], pair[1]);
            if number + 2 == route.len() {
                x1 -= tip - 1.0;
            }
            if number % 2 == 0 {
                let bend = (x1 - x0).abs() / 2.0;
                let (a, b) = (x0 + bend, x1 - bend);
                let _ = write!(path, " C{a:.1},{y0:.1} {b:.1},{y1:.1} {x1:.1},{y1:.1}");
            } else {
                let _ = write!(path, " H{x1:.1}");
            }
        }
        let _ = writeln!(out, "<path class=\"{class}{state}\" d=\"{path}\"/>");
        if let Some((x, y)) = route.last() {
            let _ = writeln!(out, "<path class=\"tip{state}\" d=\"M{x:.1},{y:.1} l-{tip},-4 v8 z\"/>");
        }
    }

    fn node(&self, at: usize, out: &mut String) {
        let (node, content) = (&self.diagram.nodes[at], &self.boxes[at]);
        let ((x, y), column) = (self.layout.boxes[at], self.layout.widths[at]);
        let is_stage = node.kind == NodeKind::Stage;
        let width = if is_stage { column } else { content.width };
        // What comes from outside stands at the right of its column, where its wire begins.
        let x = if is_stage { x } else { x + column - width };
        let mut class = "stage".to_owned();
        for (set, name) in [(node.target, " target"), (node.critical, " critical"), (!node.needed, " pruned")]
        {
            if set {
                class.push_str(name);
            }
        }
        let _ = write!(out, "<g class=\"{class}\" transform=\"translate({x:.1},{y:.1})\">");
        if is_stage {
            let steps: Vec<String> = self.outline.stages[at]
                .steps
                .iter()
                .map(|step| format!("{} {}", step.line, step.title))
                .collect();
            let _ = write!(out, "<title>{}</title>", escape(&limited(&steps, 30).join("\n")));
        }
        let round = if is_stage { 8.0 } else { content.height / 2.0 };
        let _ = write!(
            out,
            "<rect class=\"box\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"{round}\"/>",
            content.height
        );
        for rule in &content.rules {
            let _ = write!(out, "<path class=\"rule\" d=\"M1,{rule:.1} H{:.1}\"/>", width - 1.0);
        }
        for (text, class, y) in &content.lines {
            let middle = if is_stage { (PAD, "") } else { (width / 2.0, " text-anchor=\"middle\"") };
            let _ = write!(
                out,
                "<text class=\"{class}\" xml:space=\"preserve\" x=\"{:.1}\" y=\"{y:.1}\"{}>{}</text>",
                middle.0,
                middle.1,
                escape(text)
            );
        }
        if node.target {
            let left = width - PAD - 46.0;
            let _ = write!(
                out,
                "<rect class=\"badge\" x=\"{left:.1}\" y=\"8\" width=\"50\" height=\"17\" rx=\"8.5\"/><text class=\"badge-text\" x=\"{:.1}\" y=\"20.2\" text-anchor=\"middle\">target</text>",
                left + 25.0
            );
        }
        out.push_str("</g>\n");
    }

    /// Returns what the lines and colours mean, of those that occur, and how wide that is.
    fn legend(&self) -> (String, f64) {
        let links = &self.diagram.links;
        let via = |via: Via| links.iter().any(|link| link.via == via);
        let mut out = String::new();
        let mut x = 0.0;
        for (shown, class, text) in [
            (via(Via::From), "wire from", "FROM"),
            (via(Via::Copy), "wire", "COPY"),
            (via(Via::Mount), "wire mount", "mount"),
            (links.iter().any(|link| link.critical), "wire critical", "longest chain"),
            (self.diagram.nodes.iter().any(|node| !node.needed), "wire pruned", "not needed"),
        ] {
            if shown {
                let _ = write!(
                    out,
                    "<path class=\"{class}\" d=\"M{x:.0},-4 h26\"/><text class=\"small\" x=\"{:.0}\" y=\"0\">{text}</text>",
                    x + 34.0
                );
                x += 34.0 + width_of(text, 6.6) + 24.0;
            }
        }
        out.push('\n');
        (out, x)
    }
}

fn width_of(text: &str, character: f64) -> f64 {
    text.chars().map(|c| if wide(c) { 2.0 * character } else { character }).sum()
}

/// Tells whether a character takes the room of two: scripts of East Asia, and pictures.
fn wide(c: char) -> bool {
    matches!(c as u32, 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
}

/// Shortens a text at its end.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Escapes a text for XML; what XML cannot hold becomes a blank.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            c if c.is_control() || matches!(c as u32, 0xfffe | 0xffff) => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
