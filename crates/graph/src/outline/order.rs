//! What the targets need, in which order, side by side, and on which chain the time goes.

use slipway_dockerfile::diagnostic::Diagnostic;
use slipway_dockerfile::span::Span;

use super::{Origin, StageOutline, StepKind, Target};

/// What a stage costs in no particular unit: a RUN ten, a COPY two, a pulled base three, and one for being there.
///
/// It is a guess that needs no past builds; callers that know better pass their own to
/// [`super::Outline::critical_path`].
pub fn default_cost(stage: &StageOutline) -> u64 {
    let base = if matches!(stage.base, Origin::Image(_)) { 3 } else { 0 };
    let steps: u64 = stage
        .steps
        .iter()
        .map(|step| match step.kind {
            StepKind::Run => 10,
            StepKind::Copy => 2,
            StepKind::Workdir | StepKind::Config => 0,
        })
        .sum();
    1 + base + if stage.replaced { 0 } else { steps }
}

/// Marks every stage that a target needs.
pub(super) fn mark_needed(stages: &mut [StageOutline], targets: &[Target]) {
    let mut open: Vec<usize> = targets.iter().map(|target| target.stage).collect();
    while let Some(at) = open.pop() {
        if let Some(stage) = stages.get_mut(at).filter(|stage| !stage.needed) {
            stage.needed = true;
            open.extend(stage.needs());
        }
    }
}

/// How many references in the wrong direction are reported; each costs a look at all stages.
const MAX_REPORTED: usize = 100;

/// How many stages of a circle are named.
const MAX_NAMED: usize = 8;

/// Reports needed stages that take something of themselves or of a stage below them. A circle is reported once.
pub(super) fn check_direction(stages: &[StageOutline], spans: &[Vec<Span>], problems: &mut Vec<Diagnostic>) {
    let mut in_circle = vec![false; stages.len()];
    let mut left = MAX_REPORTED;
    for stage in stages.iter().filter(|stage| stage.needed) {
        for (flow, span) in stage.flows.iter().zip(&spans[stage.index]) {
            let Origin::Stage(other) = flow.origin else { continue };
            if other < stage.index || left == 0 || (in_circle[other] && in_circle[stage.index]) {
                continue;
            }
            left -= 1;
            let (name, other_name) = (stage.label(), stages[other].label());
            let problem = if other == stage.index {
                let message = format!("stage `{name}` takes files of itself");
                Diagnostic::error("circular-stages", *span, message)
                    .help("copy from an earlier stage, or use `RUN cp` inside the stage")
            } else if let Some(circle) = path(stages, other, stage.index) {
                for at in &circle {
                    in_circle[*at] = true;
                }
                let message =
                    format!("stages wait for each other: `{name}` needs {}", chain(stages, &circle));
                Diagnostic::error("circular-stages", *span, message)
                    .help("move what both need into a stage of its own, above them")
            } else {
                let line = stages[other].line;
                let message =
                    format!("stage `{name}` takes files of `{other_name}`, which is defined below it");
                Diagnostic::error("forward-reference", *span, message).help(format!(
                    "move stage `{other_name}` (line {line}) above stage `{name}` (line {})",
                    stage.line
                ))
            };
            problems.push(problem);
        }
    }
}

/// Returns the stages of a circle as a sentence goes on: "`a`, which needs `b`, which needs `c`".
fn chain(stages: &[StageOutline], circle: &[usize]) -> String {
    let name = |at: &usize| format!("`{}`", stages[*at].label());
    let mut names: Vec<String> = circle.iter().map(name).collect();
    if names.len() > MAX_NAMED {
        let hidden = names.len() - (MAX_NAMED - 1);
        names.splice(MAX_NAMED - 2..names.len() - 1, [format!("({hidden} more stages)")]);
    }
    names.join(", which needs ")
}

/// Finds the shortest way from one stage along its needs to another.
fn path(stages: &[StageOutline], from: usize, to: usize) -> Option<Vec<usize>> {
    let mut before = vec![usize::MAX; stages.len()];
    let mut queue = std::collections::VecDeque::from([from]);
    before[from] = from;
    while let Some(at) = queue.pop_front() {
        if at == to {
            let mut way = vec![to];
            let mut at = to;
            while at != from {
                at = before[at];
                way.push(at);
            }
            way.reverse();
            return Some(way);
        }
        for next in stages[at].needs() {
            if before[next] == usize::MAX {
                before[next] = at;
                queue.push_back(next);
            }
        }
    }
    None
}

/// Sets the level of each needed stage and returns the stages level by level.
pub(super) fn levels(stages: &mut [StageOutline], order: &[usize]) -> Vec<Vec<usize>> {
    let mut out: Vec<Vec<usize>> = vec![];
    for &at in order {
        let level = stages[at].needs().iter().map(|need| stages[*need].level + 1).max().unwrap_or(0);
        stages[at].level = level;
        if out.len() <= level {
            out.resize(level + 1, vec![]);
        }
        out[level].push(at);
    }
    out
}

/// Returns the chain with the largest total cost, first to last.
pub(super) fn critical_path(
    stages: &[StageOutline],
    order: &[usize],
    cost: &dyn Fn(&StageOutline) -> u64,
) -> Vec<usize> {
    let mut total = vec![0_u64; stages.len()];
    let mut before = vec![None; stages.len()];
    for &at in order {
        // Of equal chains the earlier stage wins, so that the answer does not depend on chance.
        let longest = stages[at].needs().into_iter().rev().max_by_key(|need| total[*need]);
        before[at] = longest;
        total[at] = cost(&stages[at]).saturating_add(longest.map_or(0, |need| total[need]));
    }
    let mut at = order.iter().rev().copied().max_by_key(|at| total[*at]);
    let mut way = vec![];
    while let Some(stage) = at {
        way.push(stage);
        at = before[stage];
    }
    way.reverse();
    way
}
