//! Where boxes and wires go: columns from left to right, few crossings, short wires, nothing on top of anything.
//!
//! A wire that passes a column gets a lane of its own there, shared by all wires of the same source. It knows sizes and
//! ports alone, not what is drawn.

#![allow(clippy::cast_precision_loss)] // counts of boxes and wires, at most thousands

/// The room between two boxes of a column.
const BOX_GAP: f64 = 26.0;
/// The room above and below a lane.
const LANE_GAP: f64 = 11.0;
/// The least room between two columns.
const COLUMN_GAP: f64 = 72.0;
/// How often the order of the columns and the heights are improved.
const SWEEPS: usize = 16;

/// How many cells a picture may have for neighbours to be swapped one by one.
const MAX_SWAPPED: usize = 400;

/// A box to place.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) column: usize,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A wire from one box to another.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) from: usize,
    pub(super) to: usize,
    /// How far below the top of its target it ends.
    pub(super) port: f64,
}

/// Where everything goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// The left upper corner of each box.
    pub(super) boxes: Vec<(f64, f64)>,
    /// The width of each box: those of a column are equally wide.
    pub(super) widths: Vec<f64>,
    /// The points of each wire; each odd stretch is a curve, each even one a straight line.
    pub(super) routes: Vec<Vec<(f64, f64)>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A thing in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Box(usize),
    /// Where the wires of a box pass.
    Lane(usize),
}

/// A stretch of wire between neighbouring columns.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    column: usize,
    from: usize,
    to: usize,
    port: f64,
}

/// The columns with their cells, and the stretches between them.
struct Grid<'i> {
    items: &'i [Item],
    cells: Vec<Cell>,
    column_of: Vec<usize>,
    columns: Vec<Vec<usize>>,
    stretches: Vec<Stretch>,
}

/// Returns the order of the boxes from top to bottom that gives few crossings.
pub(super) fn ranks(items: &[Item], wires: &[Wire]) -> Vec<usize> {
    let mut grid = Grid::new(items, wires);
    grid.order();
    let mut out = vec![0; items.len()];
    for column in &grid.columns {
        for (rank, cell) in column.iter().enumerate() {
            if let Cell::Box(item) = grid.cells[*cell] {
                out[item] = rank;
            }
        }
    }
    out
}

/// Places boxes and wires.
pub(super) fn place(items: &[Item], wires: &[Wire]) -> Layout {
    let mut grid = Grid::new(items, wires);
    grid.order();
    let tops = grid.heights();
    let mut layout = Layout::default();
    let mut x = 0.0;
    let mut spans = vec![];
    for column in 0..grid.columns.len() {
        let width =
            items.iter().filter(|item| item.column == column).map(|item| item.width).fold(0.0, f64::max);
        spans.push((x, x + width));
        let wires = grid.stretches.iter().filter(|stretch| stretch.column == column).count();
        x += width + COLUMN_GAP + (wires as f64 * 2.0).min(60.0);
    }
    layout.width = spans.last().map_or(0.0, |(_, right)| *right);
    layout.height =
        grid.cells.iter().zip(&tops).map(|(cell, top)| top + grid.height(*cell)).fold(0.0, f64::max);
    layout.boxes = (0..items.len()).map(|item| (spans[items[item].column].0, tops[item])).collect();
    layout.widths = items.iter().map(|item| spans[item.column].1 - spans[item.column].0).collect();
    for wire in wires {
        let (first, last) = (items[wire.from].column, items[wire.to].column);
        let mut route = vec![(spans[first].1, tops[wire.from] + items[wire.from].height / 2.0)];
        for (column, span) in spans.iter().enumerate().take(last).skip(first + 1) {
            if let Some(cell) = grid.lane(wire.from, column) {
                route.push((span.0, tops[cell]));
                route.push((span.1, tops[cell]));
            }
        }
        route.push((spans[last].0, tops[wire.to] + wire.port));
        layout.routes.push(route);
    }
    layout
}

impl<'i> Grid<'i> {
    fn new(items: &'i [Item], wires: &[Wire]) -> Self {
        let count = items.iter().map(|item| item.column + 1).max().unwrap_or(0);
        let mut grid = Self {
            items,
            cells: (0..items.len()).map(Cell::Box).collect(),
            column_of: items.iter().map(|item| item.column).collect(),
            columns: vec![vec![]; count],
            stretches: vec![],
        };
        for (at, item) in items.iter().enumerate() {
            grid.columns[item.column].push(at);
        }
        let mut reach: Vec<usize> = items.iter().map(|item| item.column).collect();
        for wire in wires {
            reach[wire.from] = reach[wire.from].max(items[wire.to].column);
        }
        for (at, item) in items.iter().enumerate() {
            let mut from = at;
            for column in item.column + 1..reach[at] {
                let cell = grid.cells.len();
                grid.cells.push(Cell::Lane(at));
                grid.column_of.push(column);
                grid.columns[column].push(cell);
                grid.stretches.push(Stretch { column: column - 1, from, to: cell, port: 0.0 });
                from = cell;
            }
        }
        for wire in wires {
            let column = items[wire.to].column.saturating_sub(1);
            let from = grid.lane(wire.from, column).unwrap_or(wire.from);
            grid.stretches.push(Stretch { column, from, to: wire.to, port: wire.port });
        }
        grid
    }

    /// Returns the cell where the wires of a box pass a column.
    fn lane(&self, item: usize, column: usize) -> Option<usize> {
        self.columns[column].iter().copied().find(|cell| self.cells[*cell] == Cell::Lane(item))
    }

    fn height(&self, cell: Cell) -> f64 {
        match cell {
            Cell::Box(item) => self.items[item].height,
            Cell::Lane(_) => 0.0,
        }
    }

    /// Returns where wires leave a cell, below its top.
    fn exit(&self, cell: usize) -> f64 {
        self.height(self.cells[cell]) / 2.0
    }

    /// Orders each column by the mean place of its neighbours, and keeps the best of all tries.
    fn order(&mut self) {
        let mut best = self.columns.clone();
        let mut fewest = self.crossings();
        for sweep in 0..SWEEPS {
            if fewest == 0 {
                break;
            }
            let rightwards = sweep % 2 == 0;
            let places = self.places();
            let mut ranks: Vec<(f64, f64)> = vec![(0.0, 0.0); self.cells.len()];
            let count = self.columns.len();
            let order: Vec<usize> =
                if rightwards { (0..count).collect() } else { (0..count).rev().collect() };
            let mut places = places;
            for column in order {
                for &cell in &self.columns[column] {
                    let near: Vec<f64> = self
                        .stretches
                        .iter()
                        .filter_map(|s| match rightwards {
                            true if s.to == cell => Some(places[s.from]),
                            false if s.from == cell => Some(places[s.to] + self.share(s)),
                            _ => None,
                        })
                        .collect();
                    let own = places[cell];
                    let mean =
                        if near.is_empty() { own } else { near.iter().sum::<f64>() / near.len() as f64 };
                    ranks[cell] = (mean, own);
                }
                let mut cells = std::mem::take(&mut self.columns[column]);
                cells.sort_by(|a, b| {
                    let (a, b) = (ranks[*a], ranks[*b]);
                    a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
                });
                for (place, cell) in cells.iter().enumerate() {
                    places[*cell] = place as f64;
                }
                self.columns[column] = cells;
            }
            let crossings = self.crossings();
            if crossings < fewest {
                fewest = crossings;
                best.clone_from(&self.columns);
            }
        }
        self.columns = best;
        if self.cells.len() <= MAX_SWAPPED {
            self.swap_neighbours(fewest);
        }
    }

    /// Swaps neighbours of a column as long as that takes crossings away.
    fn swap_neighbours(&mut self, mut fewest: usize) {
        for _ in 0..SWEEPS {
            let before = fewest;
            for column in 0..self.columns.len() {
                for at in 1..self.columns[column].len() {
                    if fewest == 0 {
                        return;
                    }
                    self.columns[column].swap(at - 1, at);
                    let crossings = self.crossings();
                    if crossings < fewest {
                        fewest = crossings;
                    } else {
                        self.columns[column].swap(at - 1, at);
                    }
                }
            }
            if fewest == before {
                return;
            }
        }
    }

    fn places(&self) -> Vec<f64> {
        let mut places = vec![0.0; self.cells.len()];
        for column in &self.columns {
            for (place, cell) in column.iter().enumerate() {
                places[*cell] = place as f64;
            }
        }
        places
    }

    /// Returns how far down in its target a stretch ends, from 0 to 1.
    fn share(&self, stretch: &Stretch) -> f64 {
        let height = self.height(self.cells[stretch.to]);
        if height > 0.0 { (stretch.port / height).min(0.99) } else { 0.0 }
    }

    fn crossings(&self) -> usize {
        let places = self.places();
        let mut count = 0;
        for column in 0..self.columns.len() {
            let ends: Vec<(f64, f64)> = self
                .stretches
                .iter()
                .filter(|s| s.column == column)
                .map(|s| (places[s.from], places[s.to] + self.share(s)))
                .collect();
            for (at, a) in ends.iter().enumerate() {
                count += ends[at + 1..].iter().filter(|b| (a.0 - b.0) * (a.1 - b.1) < 0.0).count();
            }
        }
        count
    }

    /// Returns the top of each cell, so that wires are as level as the order allows.
    fn heights(&self) -> Vec<f64> {
        let mut tops = vec![0.0; self.cells.len()];
        for column in &self.columns {
            let mut y = 0.0;
            let mut before: Option<usize> = None;
            for &cell in column {
                if let Some(before) = before {
                    y += self.apart(before, cell);
                }
                tops[cell] = y;
                before = Some(cell);
            }
        }
        let count = self.columns.len();
        for sweep in 0..SWEEPS {
            let order: Vec<usize> =
                if sweep % 2 == 0 { (0..count).collect() } else { (0..count).rev().collect() };
            for column in order {
                let wanted: Vec<(f64, f64)> =
                    self.columns[column].iter().map(|cell| self.wanted(*cell, &tops)).collect();
                self.settle(column, &wanted, &mut tops);
            }
        }
        let least = tops.iter().copied().fold(f64::INFINITY, f64::min);
        for top in &mut tops {
            *top -= least;
        }
        tops
    }

    /// Returns the top at which a cell's wires would be level, and how much that matters.
    fn wanted(&self, cell: usize, tops: &[f64]) -> (f64, f64) {
        let (mut sum, mut weight) = (0.0, 0.0);
        for s in &self.stretches {
            // Long wires are hard to follow, so lanes pull more than boxes do.
            let is_lane = |at: usize| matches!(self.cells[at], Cell::Lane(_));
            let pull = if is_lane(s.from) && is_lane(s.to) { 4.0 } else { 1.0 };
            if s.to == cell {
                sum += pull * (tops[s.from] + self.exit(s.from) - s.port);
                weight += pull;
            } else if s.from == cell {
                sum += pull * (tops[s.to] + s.port - self.exit(cell));
                weight += pull;
            }
        }
        if weight == 0.0 { (tops[cell], 0.01) } else { (sum / weight, weight) }
    }

    /// Returns how far the top of a cell must be below the top of the one above it.
    fn apart(&self, above: usize, below: usize) -> f64 {
        let gap = match (self.cells[above], self.cells[below]) {
            (Cell::Box(_), Cell::Box(_)) => BOX_GAP,
            (Cell::Lane(_), Cell::Lane(_)) => LANE_GAP,
            _ => BOX_GAP - 8.0,
        };
        self.height(self.cells[above]) + gap
    }

    /// Puts the cells of a column as near to where they want to be as order and distance allow: the least squares
    /// solution, by pooling neighbours that would overlap.
    fn settle(&self, column: usize, wanted: &[(f64, f64)], tops: &mut [f64]) {
        let cells = &self.columns[column];
        let mut offsets = vec![0.0; cells.len()];
        for at in 1..cells.len() {
            offsets[at] = offsets[at - 1] + self.apart(cells[at - 1], cells[at]);
        }
        // Pools of cells that move together: mean, weight, how many.
        let mut pools: Vec<(f64, f64, usize)> = vec![];
        for (at, (want, weight)) in wanted.iter().enumerate() {
            let mut pool = (want - offsets[at], *weight, 1);
            while let Some(last) = pools.last().copied().filter(|last| last.0 > pool.0) {
                pools.pop();
                let weight = last.1 + pool.1;
                pool = ((last.0 * last.1 + pool.0 * pool.1) / weight, weight, last.2 + pool.2);
            }
            pools.push(pool);
        }
        let mut at = 0;
        for (mean, _, count) in pools {
            for _ in 0..count {
                tops[cells[at]] = mean + offsets[at];
                at += 1;
            }
        }
    }
}
