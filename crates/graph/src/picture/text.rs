//! For a terminal: a tree from each target down to what it is made of, then what runs side by side.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::diagram::{append, limited, middle_cut, short_image, summary};
use crate::outline::{Origin, Outline, Via};

/// How many stages are shown as a tree.
const MAX_TREE: usize = 200;

/// How deep the tree goes.
const MAX_DEPTH: usize = 24;

/// How many paths a line names.
const MAX_PATHS: usize = 4;

/// How long a path may be.
const MAX_PATH: usize = 40;

/// How many stages a line lists.
const MAX_LISTED: usize = 24;

pub(super) fn render(outline: &Outline, title: &str) -> String {
    let (all, needed) = (outline.stages.len(), outline.order.len());
    let mut out = format!("{title}: {}", count(all, "stage"));
    if needed < all {
        let _ = write!(out, ", {needed} needed");
    }
    out.push_str("\n\n");
    if all <= MAX_TREE {
        let mut tree = Tree { outline, shown: HashSet::new(), rows: vec![] };
        for target in &outline.targets {
            tree.stage(target.stage, "", "", "", 0);
        }
        out.push_str(&aligned(&tree.rows));
        out.push('\n');
    }
    if outline.levels.len() > 1 {
        out.push_str("Side by side\n");
        let numbers = outline.levels.len().to_string().len();
        for (level, stages) in outline.levels.iter().enumerate().take(MAX_TREE) {
            let _ = writeln!(out, "  {:>numbers$}  {}", level + 1, names(outline, stages, ", "));
        }
        if outline.levels.len() > MAX_TREE {
            let _ = writeln!(out, "  and {} more levels", outline.levels.len() - MAX_TREE);
        }
        let _ = write!(out, "\nLongest chain  {}\n", names(outline, &outline.critical, " → "));
    }
    let pruned: Vec<usize> = outline.stages.iter().filter(|s| !s.needed).map(|s| s.index).collect();
    if !pruned.is_empty() {
        let _ = writeln!(out, "Not needed     {}", names(outline, &pruned, ", "));
    }
    out
}

/// Returns a stage's name, or `stage 3`.
fn shown_name(outline: &Outline, at: usize) -> String {
    outline.stages[at].name.clone().unwrap_or_else(|| format!("stage {at}"))
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn names(outline: &Outline, stages: &[usize], separator: &str) -> String {
    let mut out: Vec<String> = stages.iter().take(MAX_LISTED).map(|at| shown_name(outline, *at)).collect();
    if stages.len() > MAX_LISTED {
        out.push(format!("… {} more", stages.len() - MAX_LISTED));
    }
    out.join(separator)
}

/// The tree and, in a second column, what flows and what a stage does.
struct Tree<'o> {
    outline: &'o Outline,
    shown: HashSet<usize>,
    rows: Vec<[String; 3]>,
}

impl Tree<'_> {
    /// Adds a stage and, below it, everything that it takes. Not deeper than [`MAX_DEPTH`], so the recursion is bounded.
    fn stage(&mut self, at: usize, first: &str, rest: &str, flow: &str, depth: usize) {
        let stage = &self.outline.stages[at];
        let label = shown_name(self.outline, at);
        let again = !self.shown.insert(at);
        let about = if again { "see above".to_owned() } else { summary(stage) };
        self.rows.push([format!("{first}{label}"), flow.to_owned(), about]);
        if again {
            return;
        }
        if depth == MAX_DEPTH {
            self.rows.push([format!("{rest}└─ …"), String::new(), String::new()]);
            return;
        }
        let sources = self.sources(at);
        for (number, (origin, flow)) in sources.iter().enumerate() {
            let last = number + 1 == sources.len();
            let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let (first, below) = (format!("{rest}{branch}"), format!("{rest}{below}"));
            match origin {
                Origin::Stage(from) if *from < at => self.stage(*from, &first, &below, flow, depth + 1),
                Origin::Stage(from) => self.leaf(&first, &shown_name(self.outline, *from), flow),
                Origin::Scratch => self.leaf(&first, "scratch", flow),
                Origin::Image(reference) => self.leaf(&first, &short_image(reference), flow),
                Origin::Context(name) => self.leaf(&first, name, flow),
                Origin::Remote(url) => self.leaf(&first, &middle_cut(url, MAX_PATH), flow),
            }
        }
    }

    fn leaf(&mut self, first: &str, name: &str, flow: &str) {
        self.rows.push([format!("{first}{name}"), flow.to_owned(), String::new()]);
    }

    /// Returns where a stage takes something from, each origin once, and what.
    fn sources(&self, at: usize) -> Vec<(Origin, String)> {
        let mut out: Vec<Source> = vec![];
        for flow in &self.outline.stages[at].flows {
            let place = if let Some(place) = out.iter().position(|source| source.origin == flow.origin) {
                place
            } else {
                out.push(Source::new(flow.origin.clone()));
                out.len() - 1
            };
            let Source { copies, mounts, from, added, .. } = &mut out[place];
            match flow.via {
                Via::From => *from = true,
                Via::Copy if flow.paths.is_empty() => *added = true,
                Via::Copy => append(copies, &flow.paths),
                Via::Mount => append(mounts, &flow.paths),
            }
        }
        out.into_iter().map(Source::into_words).collect()
    }
}

/// What a stage takes from one place.
struct Source {
    origin: Origin,
    from: bool,
    added: bool,
    copies: Vec<String>,
    mounts: Vec<String>,
}

impl Source {
    fn new(origin: Origin) -> Self {
        Self { origin, from: false, added: false, copies: vec![], mounts: vec![] }
    }

    fn into_words(self) -> (Origin, String) {
        let mut words = vec![];
        for (said, word) in [(self.from, "FROM"), (self.added, "ADD")] {
            if said {
                words.push(word.to_owned());
            }
        }
        for (verb, paths) in [("COPY", self.copies), ("mount", self.mounts)] {
            if !paths.is_empty() {
                let paths: Vec<String> =
                    limited(&paths, MAX_PATHS).iter().map(|p| middle_cut(p, MAX_PATH)).collect();
                words.push(format!("{verb} {}", paths.join(" ")));
            }
        }
        (self.origin, words.join(", "))
    }
}

/// Puts three columns side by side, with no blanks at line ends.
fn aligned(rows: &[[String; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).filter(|w| *w <= 48).max();
    let (first, second) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
    let mut out = String::new();
    for [name, flow, about] in rows {
        let line = format!("{name:<first$}  {flow:<second$}  {about}");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
