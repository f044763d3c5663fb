//! Runs a SELECT without functions: brings the rows of each group into the order of time, and gives them out as they come.

use super::ast::{Fill, Limits};
use super::context::Context;
use super::error::Outcome;
use super::formula::{Cell, Formula};
use super::merge::Merge;
use super::plan::Prepared;
use super::select::{Columns, Emit, Row, Rows, default_cell};
use super::source::{self, Cursor, Key, Scope, Slices};

/// Values of a group that are in memory at a time, where its rows are given out in pieces.
const VALUES_AT_ONCE: usize = 500_000;
/// Points of a series that are read at once at the least, and at the most: what a chunk holds.
const POINTS_AT_ONCE: (usize, usize) = (64, 8_192);

/// Says how much to read of each series at a time.
fn slices(prepared: &Prepared, pieces: Option<usize>, columns: usize) -> Slices {
    let Limits { limit, offset, .. } = prepared.limits;
    if (pieces, limit) == (None, 0) {
        return Slices::Whole;
    }
    let (least, all) = POINTS_AT_ONCE;
    let most = (VALUES_AT_ONCE / columns.max(1)).clamp(least, all);
    let first = match limit {
        0 => most,
        _ => limit.saturating_add(offset).clamp(least, most),
    };
    Slices::Points { first, most }
}

/// What rows are made with.
struct Maker<'a> {
    columns: &'a Columns<'a>,
    /// What stands for null.
    defaults: Vec<Cell>,
    /// Whether a null is what the row before had, as in InfluxDB.
    keeps: bool,
    is_plain: bool,
    cells: Vec<Cell>,
}

impl<'a> Maker<'a> {
    fn new(columns: &'a Columns<'a>, fill: Fill) -> Self {
        let kinds = columns.aux.iter().map(|aux| aux.kind);
        let is_itself = |(index, output): (usize, &Formula)| matches!(output, Formula::Slot(slot) if *slot == index);
        Self {
            columns,
            defaults: kinds.map(|kind| default_cell(fill, kind)).collect(),
            keeps: fill == Fill::Previous,
            is_plain: columns.outputs.iter().enumerate().all(is_itself),
            cells: vec![None; columns.aux.len()],
        }
    }

    fn row(&mut self, time: i64, found: impl Iterator<Item = Cell>) -> Row {
        for ((cell, default), found) in self.cells.iter_mut().zip(&self.defaults).zip(found) {
            match found {
                Some(value) => *cell = Some(value),
                None if self.keeps => {}
                None => cell.clone_from(default),
            }
        }
        let cells = if self.is_plain {
            self.cells.clone()
        } else {
            self.columns.evaluated(&self.cells)
        };
        Row { time, cells }
    }
}

/// Gives out the rows of every group, in the order of the answer: in pieces of so many rows, or a group at a time.
pub(super) fn each(
    prepared: &Prepared,
    columns: &Columns<'_>,
    scope: &Scope<'_>,
    pieces: Option<usize>,
    context: &Context<'_>,
    emit: Emit<'_>,
) -> Outcome<()> {
    if columns.aux.iter().all(|aux| aux.kind.is_none()) {
        return Ok(());
    }
    let mut maker = Maker::new(columns, prepared.fill);
    for (key, cursors) in source::open(prepared, scope, context)? {
        context.check()?;
        let group = Group {
            slices: slices(prepared, pieces, cursors.len() * columns.aux.len()),
            key,
            cursors,
        };
        group.each(&mut maker, prepared.limits, scope, pieces, context, emit)?;
    }
    Ok(())
}

struct Group<'a> {
    key: Key,
    cursors: Vec<Cursor<'a>>,
    slices: Slices,
}

impl Group<'_> {
    fn each(
        mut self,
        maker: &mut Maker<'_>,
        limits: Limits,
        scope: &Scope<'_>,
        pieces: Option<usize>,
        context: &Context<'_>,
        emit: Emit<'_>,
    ) -> Outcome<()> {
        let slices = self.slices;
        let heads = self.cursors.iter_mut();
        let heads = heads.map(|cursor| cursor.time(scope, slices, context));
        let mut heads = heads.collect::<Outcome<Vec<_>>>()?;
        let mut merge = Merge::new(heads.clone(), scope.ascending);
        let (mut passed, mut given, mut goes_on) = (0, 0, false);
        let mut rows = Vec::new();
        while let Some(part) = merge.next() {
            let cursor = &mut self.cursors[part];
            if let (Some(time), Some(found)) = (heads[part], cursor.cells(scope.ascending)) {
                if passed < limits.offset {
                    passed += 1;
                } else {
                    rows.push(maker.row(time, found));
                    given += 1;
                }
            }
            if limits.limit > 0 && given == limits.limit {
                break;
            }
            if pieces == Some(rows.len()) {
                let key = self.key.clone();
                let rows = std::mem::take(&mut rows);
                emit(Rows { key, rows }, goes_on)?;
                goes_on = true;
            }
            cursor.pass();
            heads[part] = cursor.time(scope, slices, context)?;
            merge.advance(part, heads[part]);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let key = self.key;
        emit(Rows { key, rows }, goes_on)
    }
}
