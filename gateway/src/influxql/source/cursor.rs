//! Reads the rows of a SELECT without functions some at a time, each series by itself, so that an answer of any length
//! needs little memory, and one with a LIMIT reads little.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use super::super::ast::Expr;
use super::super::context::Context;
use super::super::error::Outcome;
use super::super::formula::Cell;
use super::super::plan::{Prepared, Reader};
use super::super::window::Span;
use super::measurement::{SLICES, VALUES_AT_ONCE};
use super::rows::SeriesRows;
use super::{Key, Part, Scope, Wanted, all_null, store_error};
use crate::store::{SeriesInfo, View};

/// How much is read of each series at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::influxql) enum Slices {
    /// Everything.
    Whole,
    /// About so many points, and twice as many each time, for a row that is sought may be far.
    Points {
        /// At first.
        first: usize,
        /// At the most.
        most: usize,
    },
}

/// The rows of one series, of which some are in memory.
pub(in crate::influxql) struct Cursor<'a> {
    unread: Option<Unread<'a>>,
    part: Option<Part>,
    /// How many of the part's rows were passed.
    passed: usize,
}

/// The rows of a series that are not read yet.
pub(super) struct Unread<'a> {
    pub(super) view: &'a View,
    pub(super) measurement: &'a Arc<str>,
    pub(super) series: SeriesInfo,
    pub(super) condition: Option<Expr>,
    pub(super) fields: Rc<[&'a str]>,
    pub(super) span: Span,
    /// How many slices were read.
    pub(super) read: u32,
    /// Whether it holds more than is read at once.
    pub(super) is_long: bool,
}

impl<'a> Cursor<'a> {
    fn of_part(part: Part) -> Self {
        Self {
            unread: None,
            part: Some(part),
            passed: 0,
        }
    }

    fn of_series(unread: Unread<'a>) -> Self {
        Self {
            unread: Some(unread),
            part: None,
            passed: 0,
        }
    }

    /// Returns the time of the row at hand; reads on where the rows in memory are passed. `None` at the end.
    pub(in crate::influxql) fn time(
        &mut self,
        scope: &Scope<'_>,
        slices: Slices,
        context: &Context<'_>,
    ) -> Outcome<Option<i64>> {
        loop {
            if let Some(part) = &self.part
                && let Some(index) = index_of(part, self.passed, scope.ascending)
            {
                return Ok(Some(part.times[index]));
            }
            (self.part, self.passed) = (None, 0);
            let Some(unread) = &mut self.unread else {
                return Ok(None);
            };
            context.check()?;
            let slices = if unread.is_long && slices == Slices::Whole {
                SLICES
            } else {
                slices
            };
            let (part, is_last) = unread.read(scope, slices)?;
            context.count_values(part.as_ref().map_or(0, Part::values))?;
            self.part = part;
            if is_last {
                self.unread = None;
            }
        }
    }

    /// Shows the further columns of the row at hand; `None` where all of them are null, or there is no row.
    pub(in crate::influxql) fn cells(
        &self,
        ascending: bool,
    ) -> Option<impl Iterator<Item = Cell> + '_> {
        let part = self.part.as_ref()?;
        let index = index_of(part, self.passed, ascending)?;
        (!all_null(&part.aux, index)).then(|| part.aux.iter().map(move |aux| aux.get(index)))
    }

    /// Passes the row at hand.
    pub(in crate::influxql) fn pass(&mut self) {
        self.passed += 1;
    }
}

/// Where a part's row stands when some before it were passed.
fn index_of(part: &Part, passed: usize, ascending: bool) -> Option<usize> {
    let left = part.times.len().checked_sub(passed + 1)?;
    Some(if ascending { passed } else { left })
}

impl Unread<'_> {
    /// Reads the next rows; says whether they are the last.
    pub(super) fn read(
        &mut self,
        scope: &Scope<'_>,
        slices: Slices,
    ) -> Outcome<(Option<Part>, bool)> {
        let Span { first, last } = self.span;
        let number = self.series.number;
        let (from, to) = match slices {
            Slices::Whole => (first, last),
            Slices::Points {
                first: points,
                most,
            } => self.view.slice(
                self.measurement,
                number,
                &self.fields,
                (first, last),
                points.saturating_mul(1 << self.read.min(16)).min(most),
                scope.ascending,
            ),
        };
        self.read += 1;
        let is_last = if scope.ascending {
            self.span.first = to.saturating_add(1);
            to >= last
        } else {
            self.span.last = from.saturating_sub(1);
            from <= first
        };
        let columns = self
            .view
            .scan(self.measurement, &[number], &self.fields, from, to)
            .map_err(|error| store_error(&error))?;
        let rows = SeriesRows {
            series: &self.series,
            fields: &self.fields,
            columns: columns.into_iter().next().unwrap_or_default(),
        };
        Ok((rows.part(scope, self.condition.as_ref()), is_last))
    }
}

/// Opens all sources of a SELECT without functions; the groups come sorted, descending where time does.
pub(in crate::influxql) fn open<'a>(
    prepared: &'a Prepared,
    scope: &Scope<'a>,
    context: &Context<'_>,
) -> Outcome<Vec<(Key, Vec<Cursor<'a>>)>> {
    let mut groups: BTreeMap<Key, Vec<Cursor<'a>>> = BTreeMap::new();
    for source in &prepared.sources {
        match source {
            Reader::Measurement { view, name } => {
                let Some(wanted) = Wanted::of(view, name, scope, context)? else {
                    continue;
                };
                let fields: Rc<[&str]> = wanted.fields.into();
                let series = wanted.selected.iter();
                let numbers: Vec<u32> = series.map(|(series, _)| series.number).collect();
                let span = (scope.span.first, scope.span.last);
                let sizes = view.sizes(name, &numbers, &fields, span);
                for ((series, condition), size) in wanted.selected.into_iter().zip(sizes) {
                    let key = Key::of(name, &series, scope.group_by);
                    groups
                        .entry(key)
                        .or_default()
                        .push(Cursor::of_series(Unread {
                            view,
                            measurement: name,
                            series,
                            condition,
                            fields: Rc::clone(&fields),
                            span: scope.span,
                            read: 0,
                            is_long: size > VALUES_AT_ONCE,
                        }));
                }
            }
            Reader::Subquery(inner) => {
                let mut read = BTreeMap::new();
                super::super::subquery::read(inner, scope, context, &mut read)?;
                for (key, parts) in read {
                    let cursors = parts.into_iter().map(Cursor::of_part);
                    groups.entry(key).or_default().extend(cursors);
                }
            }
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    if !scope.ascending {
        groups.reverse();
    }
    Ok(groups)
}
