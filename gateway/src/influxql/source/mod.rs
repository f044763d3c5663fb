//! Reads what a SELECT needs from the store: which series, which rows of them, grouped by tags.

mod cursor;
mod measurement;
mod rows;
mod series;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::ast::{Expr, Kind, Limits, Ref};
use super::context::Context;
use super::error::{Outcome, StatementError};
use super::formula::Cell;
use super::plan::{Prepared, Reader};
use super::window::Span;
use crate::store::{Cells, Column, Edge, Extreme, FieldType, SeriesInfo, Value, Values, View};
pub(super) use cursor::{Cursor, Slices, open};
pub(super) use series::{Check, judged_series, series_of_tags};

/// A group's measurement and its tags, which sort as answers are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) name: Arc<str>,
    pub(super) tags: Vec<(Arc<str>, Arc<str>)>,
}

impl Key {
    fn of(name: &Arc<str>, series: &SeriesInfo, group_by: &[Arc<str>]) -> Self {
        let tag = |key: &Arc<str>| (Arc::clone(key), Arc::from(series.tag(key)));
        Self {
            name: Arc::clone(name),
            tags: group_by.iter().map(tag).collect(),
        }
    }

    /// Lists the names of the tags that are there, then their values.
    fn names_first(&self) -> Vec<Arc<str>> {
        let there = || self.tags.iter().filter(|(_, value)| !value.is_empty());
        let names = there().map(|(name, _)| Arc::clone(name));
        names
            .chain(there().map(|(_, value)| Arc::clone(value)))
            .collect()
    }
}

/// A further column of a part.
#[derive(Debug, Clone)]
pub(super) enum Aux {
    Constant(Cell),
    Cells(Vec<Cell>),
}

impl Aux {
    pub(super) fn get(&self, index: usize) -> Cell {
        match self {
            Self::Constant(cell) => cell.clone(),
            Self::Cells(cells) => cells[index].clone(),
        }
    }

    fn is_null(&self, index: usize) -> bool {
        match self {
            Self::Constant(cell) => cell.is_none(),
            Self::Cells(cells) => cells[index].is_none(),
        }
    }

    /// Appends the cells of `more` rows behind those of `rows`.
    fn append(&mut self, rows: usize, later: Self, more: usize) {
        match (&mut *self, later) {
            (Self::Constant(cell), Self::Constant(other)) if *cell == other => {}
            (Self::Cells(cells), later) => cells.extend((0..more).map(|index| later.get(index))),
            (Self::Constant(cell), later) => {
                let mut cells = vec![cell.clone(); rows];
                cells.extend((0..more).map(|index| later.get(index)));
                *self = Self::Cells(cells);
            }
        }
    }
}

/// The rows of one series: times that rise, the driving field where there is one, and further columns.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// What stretches of points add up to that are not in `times`, where the scope asks for it.
    pub(super) cells: Vec<Cells>,
    pub(super) times: Vec<i64>,
    pub(super) main: Option<Values>,
    pub(super) aux: Vec<Aux>,
}

impl Part {
    /// Returns how many values its rows have.
    fn values(&self) -> usize {
        self.times.len() * (self.aux.len() + 1)
    }

    /// Appends the rows behind its own.
    fn append(&mut self, later: Self) {
        let (rows, more) = (self.times.len(), later.times.len());
        for (aux, later) in self.aux.iter_mut().zip(later.aux) {
            aux.append(rows, later, more);
        }
        if let (Some(values), Some(more)) = (&mut self.main, later.main) {
            values.append(more);
        }
        self.times.extend(later.times);
    }

    /// Keeps the first or the last of its rows.
    fn at_edge(self, edge: Edge) -> Self {
        let index = match edge {
            Edge::First => 0,
            Edge::Last => self.times.len() - 1,
        };
        let row = |aux: &Aux| Aux::Constant(aux.get(index));
        let aux = self.aux.iter().map(row).collect();
        let times = vec![self.times[index]];
        let only = |values: Values| {
            let column = Column {
                times: self.times,
                values,
            };
            column.picked(&[index]).values
        };
        Self {
            cells: self.cells,
            main: self.main.map(only),
            times,
            aux,
        }
    }
}

/// The parts of one group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) key: Key,
    pub(super) parts: Vec<Part>,
}

/// What is read.
#[derive(Debug, Clone)]
pub(super) struct Scope<'a> {
    /// The field that decides which rows there are; without it each row that has any of `aux`.
    pub(super) driver: Option<&'a Ref>,
    pub(super) aux: &'a [Ref],
    pub(super) condition: Option<&'a Expr>,
    pub(super) span: Span,
    /// The tags that make groups, sorted.
    pub(super) group_by: &'a [Arc<str>],
    /// Of which the limits of groups hold here.
    pub(super) limits: Limits,
    pub(super) ascending: bool,
    /// The length of the cells that may stand for points, if any may.
    pub(super) resolution: Option<i64>,
    /// The one row of each series that is wanted, if not all; others may come with it.
    pub(super) edge: Option<Edge>,
    /// The value of which the first row is wanted, if not all.
    pub(super) extreme: Option<Extreme>,
    /// The interval that subqueries inherit.
    pub(super) interval: i64,
    pub(super) offset: i64,
}

/// Returns the kind that a field's type is.
pub(super) fn kind_of(field_type: FieldType) -> Kind {
    match field_type {
        FieldType::Float => Kind::Float,
        FieldType::Integer => Kind::Integer,
        FieldType::Unsigned => Kind::Unsigned,
        FieldType::Text => Kind::Text,
        FieldType::Boolean => Kind::Boolean,
    }
}

/// Reads all sources; the groups come sorted, descending where time does.
pub(super) fn read(
    prepared: &Prepared,
    scope: &Scope<'_>,
    context: &Context<'_>,
) -> Outcome<Vec<Group>> {
    let mut groups: BTreeMap<Key, Vec<Part>> = BTreeMap::new();
    for source in &prepared.sources {
        match source {
            Reader::Measurement { view, name } => {
                measurement::read(view, name, scope, context, &mut groups)?;
            }
            Reader::Subquery(inner) => {
                super::subquery::read(inner, scope, context, &mut groups)?;
            }
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    if !scope.ascending {
        groups.reverse();
    }
    let group = |(key, parts)| Group { key, parts };
    Ok(groups.into_iter().map(group).collect())
}

/// Keeps the series of `slimit` groups behind the first `soffset`. As in InfluxDB, every group of the measurement counts,
/// whether it has points in the span or not, groups go by the names of the tags that they have before their values, and
/// SOFFSET without SLIMIT leaves none.
fn limit_groups(name: &str, selected: &mut Vec<(SeriesInfo, Option<Expr>)>, scope: &Scope<'_>) {
    let Limits {
        slimit, soffset, ..
    } = scope.limits;
    if slimit == 0 && soffset == 0 {
        return;
    }
    let name: Arc<str> = name.into();
    let key = |(series, _): &(SeriesInfo, Option<Expr>)| Key::of(&name, series, scope.group_by);
    let all = selected.iter().map(key).map(|key| (key.names_first(), key));
    let all: BTreeMap<Vec<Arc<str>>, Key> = all.collect();
    let kept: BTreeSet<Key> = all.into_values().skip(soffset).take(slimit).collect();
    selected.retain(|one| kept.contains(&key(one)));
}

/// Says whether any series of a measurement that has the driving field, of the type that it is read as, is to be read, even
/// if none of its points is.
pub(super) fn has_series(
    prepared: &Prepared,
    scope: &Scope<'_>,
    context: &Context<'_>,
) -> Outcome<bool> {
    for source in &prepared.sources {
        if let (Reader::Measurement { view, name }, Some(field)) = (source, scope.driver) {
            let stored = view.field_type(name, &field.name).map(kind_of);
            if stored.is_some()
                && stored == field.kind
                && let Some(wanted) = Wanted::of(view, name, scope, context)?
                && !wanted.selected.is_empty()
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

pub(super) fn store_error(error: &crate::store::StoreError) -> StatementError {
    StatementError::Store(error.to_string())
}

/// Says whether a name is read from a field, rather than from a tag or from nowhere.
fn reads_field(view: &View, measurement: &str, reference: &Ref) -> bool {
    reference.kind.is_some_and(|kind| kind != Kind::Tag)
        && view.field_type(measurement, &reference.name).is_some()
}

/// What is read of a measurement: fields, and series with what is left of the condition to be asked row by row.
struct Wanted<'a> {
    fields: Vec<&'a str>,
    selected: Vec<(SeriesInfo, Option<Expr>)>,
}

impl<'a> Wanted<'a> {
    /// Returns `None` where the measurement has none of the fields.
    fn of(
        view: &View,
        name: &str,
        scope: &Scope<'a>,
        context: &Context<'_>,
    ) -> Outcome<Option<Self>> {
        let mut fields: Vec<&str> = Vec::new();
        for reference in scope.driver.into_iter().chain(scope.aux) {
            if reads_field(view, name, reference) && !fields.contains(&reference.name.as_str()) {
                fields.push(&reference.name);
            }
        }
        if fields.is_empty() {
            return Ok(None);
        }
        let mut selected = judged_series(view, name, scope.condition, &|| context.check())?;
        limit_groups(name, &mut selected, scope);
        if selected.iter().any(|(_, rest)| rest.is_some()) {
            for reference in scope.condition.map(Expr::refs).unwrap_or_default() {
                let is_known = fields.contains(&reference.name.as_str());
                if !is_known && view.field_type(name, &reference.name).is_some() {
                    fields.push(&reference.name);
                }
            }
        }
        Ok(Some(Self { fields, selected }))
    }
}

/// Says whether all further columns of a row are null.
pub(super) fn all_null(aux: &[Aux], index: usize) -> bool {
    aux.iter().all(|column| column.is_null(index))
}

/// Returns the value of a driving column.
pub(super) fn main_value(part: &Part, index: usize) -> Option<Value> {
    part.main.as_ref().map(|values| values.get(index))
}
