//! Reads what a SELECT needs from the store: which series, which rows of them, grouped by tags.

use std::{collections::BTreeMap, sync::Arc};

use super::ast::{Expr, Kind, Operator, Ref};
use super::context::Context;
use super::error::{Outcome, StatementError};
use super::formula::{Cell, Formula, cast, text};
use super::plan::{Prepared, Reader};
use super::window::Span;
use crate::store::{Column, FieldType, SeriesInfo, Value, Values, View};

/// A group's measurement and its tags, which sort as answers are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) name: Arc<str>,
    pub(super) tags: Vec<(Arc<str>, Arc<str>)>,
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
}

/// The rows of one series: times that rise, the driving field where there is one, and further columns.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) times: Vec<i64>,
    pub(super) main: Option<Values>,
    pub(super) aux: Vec<Aux>,
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
    pub(super) ascending: bool,
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
                read_measurement(view, name, scope, context, &mut groups)?;
            }
            Reader::Subquery(inner) => {
                super::subquery::read(inner, scope, context, &mut groups)?;
            }
        }
    }
    let limits = prepared.limits;
    let mut groups: Vec<Group> = groups
        .into_iter()
        .map(|(key, parts)| Group { key, parts })
        .collect();
    if limits.slimit > 0 || limits.soffset > 0 {
        groups = limited(groups, limits.slimit, limits.soffset);
    }
    if !scope.ascending {
        groups.reverse();
    }
    Ok(groups)
}

/// Keeps `slimit` groups of each measurement behind the first `soffset`.
fn limited(groups: Vec<Group>, slimit: usize, soffset: usize) -> Vec<Group> {
    let mut seen: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    groups
        .into_iter()
        .filter(|group| {
            let index = seen.entry(Arc::clone(&group.key.name)).or_default();
            *index += 1;
            *index > soffset && (slimit == 0 || *index <= soffset + slimit)
        })
        .collect()
}

/// What a condition says about a whole series.
#[derive(Debug, Clone)]
enum Verdict {
    All,
    None,
    /// Its rows are asked one by one.
    Rows(Expr),
}

/// What names of a condition stand for in a measurement.
struct Names<'a> {
    view: &'a View,
    measurement: &'a str,
}

impl Names<'_> {
    fn is_field(&self, reference: &Ref) -> bool {
        match reference.kind {
            Some(Kind::Tag) => false,
            None => self
                .view
                .field_type(self.measurement, &reference.name)
                .is_some(),
            Some(_) => true,
        }
    }

    fn judge(&self, condition: &Expr, series: &SeriesInfo) -> Verdict {
        match condition {
            Expr::Paren(inner) => match self.judge(inner, series) {
                Verdict::Rows(rest) => Verdict::Rows(Expr::Paren(Box::new(rest))),
                verdict => verdict,
            },
            Expr::Boolean(true) => Verdict::All,
            Expr::Boolean(false) => Verdict::None,
            Expr::Binary {
                operator,
                left,
                right,
            } => match operator {
                Operator::And => match (self.judge(left, series), self.judge(right, series)) {
                    (Verdict::None, _) | (_, Verdict::None) => Verdict::None,
                    (Verdict::All, other) | (other, Verdict::All) => other,
                    (Verdict::Rows(left), Verdict::Rows(right)) => both(*operator, left, right),
                },
                Operator::Or => match (self.judge(left, series), self.judge(right, series)) {
                    (Verdict::All, _) | (_, Verdict::All) => Verdict::All,
                    (Verdict::None, other) | (other, Verdict::None) => other,
                    (Verdict::Rows(left), Verdict::Rows(right)) => both(*operator, left, right),
                },
                _ => self.judge_comparison(condition, *operator, left, right, series),
            },
            other => Verdict::Rows(other.clone()),
        }
    }

    fn judge_comparison(
        &self,
        condition: &Expr,
        operator: Operator,
        left: &Expr,
        right: &Expr,
        series: &SeriesInfo,
    ) -> Verdict {
        let (reference, value) = match (left, right) {
            (Expr::Ref(reference), value) | (value, Expr::Ref(reference)) => (reference, value),
            _ => return Verdict::Rows(condition.clone()),
        };
        let other_is_field = matches!(value, Expr::Ref(other) if self.is_field(other));
        let is_calculated = matches!(value, Expr::Binary { .. } | Expr::Paren(_) | Expr::Call(_));
        if self.is_field(reference) || other_is_field || is_calculated {
            return Verdict::Rows(condition.clone());
        }
        let tag = if reference.name == "_name" {
            self.measurement
        } else {
            series.tag(&reference.name)
        };
        let holds = match (operator, value) {
            (Operator::Equal, Expr::Text(text)) => tag == text,
            (Operator::NotEqual, Expr::Text(text)) => tag != text,
            (Operator::Matches, Expr::Pattern(pattern)) => pattern.matches(tag),
            (Operator::MatchesNot, Expr::Pattern(pattern)) => !pattern.matches(tag),
            (Operator::Equal, Expr::Ref(other)) => tag == series.tag(&other.name),
            (Operator::NotEqual, Expr::Ref(other)) => tag != series.tag(&other.name),
            (Operator::NotEqual | Operator::MatchesNot, _) => true,
            _ => false,
        };
        if holds { Verdict::All } else { Verdict::None }
    }

    /// Collects the tags that every answer must have, to ask the index for them.
    fn required<'a>(&self, condition: &'a Expr, required: &mut Vec<(&'a str, &'a str)>) {
        match condition {
            Expr::Paren(inner) => self.required(inner, required),
            Expr::Binary {
                operator: Operator::And,
                left,
                right,
            } => {
                self.required(left, required);
                self.required(right, required);
            }
            Expr::Binary {
                operator: Operator::Equal,
                left,
                right,
            } => {
                if let (Expr::Ref(reference), Expr::Text(text))
                | (Expr::Text(text), Expr::Ref(reference)) = (left.as_ref(), right.as_ref())
                    && !text.is_empty()
                    && reference.name != "_name"
                    && !self.is_field(reference)
                {
                    required.push((&reference.name, text));
                }
            }
            _ => {}
        }
    }
}

fn both(operator: Operator, left: Expr, right: Expr) -> Verdict {
    Verdict::Rows(Expr::Binary {
        operator,
        left: Box::new(left),
        right: Box::new(right),
    })
}

/// Lists a measurement's series that a condition on tags leaves; conditions on fields leave all.
pub(super) fn matching_series(
    view: &View,
    measurement: &str,
    condition: Option<&Expr>,
) -> Vec<SeriesInfo> {
    judged_series(view, measurement, condition)
        .into_iter()
        .map(|(series, _)| series)
        .collect()
}

fn judged_series(
    view: &View,
    measurement: &str,
    condition: Option<&Expr>,
) -> Vec<(SeriesInfo, Option<Expr>)> {
    let names = Names { view, measurement };
    let mut required = Vec::new();
    if let Some(condition) = condition {
        names.required(condition, &mut required);
    }
    view.series(measurement, &required)
        .into_iter()
        .filter_map(
            |series| match condition.map(|condition| names.judge(condition, &series)) {
                None | Some(Verdict::All) => Some((series, None)),
                Some(Verdict::None) => None,
                Some(Verdict::Rows(rest)) => Some((series, Some(rest))),
            },
        )
        .collect()
}

fn store_error(error: &crate::store::StoreError) -> StatementError {
    StatementError::Store(error.to_string())
}

/// Says whether a name is read from a field, rather than from a tag or from nowhere.
fn reads_field(view: &View, measurement: &str, reference: &Ref) -> bool {
    reference.kind.is_some_and(|kind| kind != Kind::Tag)
        && view.field_type(measurement, &reference.name).is_some()
}

fn read_measurement(
    view: &View,
    name: &Arc<str>,
    scope: &Scope<'_>,
    context: &Context<'_>,
    groups: &mut BTreeMap<Key, Vec<Part>>,
) -> Outcome<()> {
    let wanted = scope.driver.into_iter().chain(scope.aux);
    let mut fields: Vec<&str> = Vec::new();
    for reference in wanted {
        if reads_field(view, name, reference) && !fields.contains(&reference.name.as_str()) {
            fields.push(&reference.name);
        }
    }
    if fields.is_empty() {
        return Ok(());
    }
    let selected = judged_series(view, name, scope.condition);
    if selected.iter().any(|(_, rest)| rest.is_some()) {
        for reference in scope.condition.map(Expr::refs).unwrap_or_default() {
            let is_known = fields.contains(&reference.name.as_str());
            if !is_known && view.field_type(name, &reference.name).is_some() {
                fields.push(&reference.name);
            }
        }
    }
    let numbers: Vec<u32> = selected.iter().map(|(series, _)| series.number).collect();
    for (numbers, selected) in numbers
        .chunks(SERIES_PER_READ)
        .zip(selected.chunks(SERIES_PER_READ))
    {
        context.check()?;
        let columns = view
            .scan(name, numbers, &fields, scope.span.first, scope.span.last)
            .map_err(|error| store_error(&error))?;
        for ((series, rest), columns) in selected.iter().zip(columns) {
            let row = SeriesRows {
                series,
                fields: &fields,
                columns,
            };
            let Some(part) = row.part(scope, rest.as_ref()) else {
                continue;
            };
            context.count_values(part.times.len() * (part.aux.len() + 1))?;
            let tag = |key: &Arc<str>| (Arc::clone(key), Arc::from(series.tag(key)));
            let key = Key {
                name: Arc::clone(name),
                tags: scope.group_by.iter().map(tag).collect(),
            };
            groups.entry(key).or_default().push(part);
        }
    }
    Ok(())
}

/// Series that are read under one lock; the query's bounds are looked at in between.
const SERIES_PER_READ: usize = 512;

/// A series' columns as they came from the store.
struct SeriesRows<'a> {
    series: &'a SeriesInfo,
    fields: &'a [&'a str],
    columns: Vec<Option<Column>>,
}

impl SeriesRows<'_> {
    fn column(&self, name: &str) -> Option<&Column> {
        let index = self.fields.iter().position(|field| *field == name)?;
        self.columns[index].as_ref()
    }

    /// Returns a name's column in the type that the query asks for.
    fn typed(&self, reference: &Ref) -> Option<std::borrow::Cow<'_, Column>> {
        let kind = reference.kind.filter(|kind| *kind != Kind::Tag)?;
        let column = self.column(&reference.name)?;
        converted(column, kind)
    }

    fn part(mut self, scope: &Scope<'_>, rest: Option<&Expr>) -> Option<Part> {
        let times = if let Some(driver) = scope.driver {
            if scope.aux.is_empty() && rest.is_none() && self.columns.len() == 1 {
                return self.only_part(driver);
            }
            self.typed(driver)?.times.clone()
        } else {
            self.union(scope.aux)
        };
        if times.is_empty() {
            return None;
        }
        let kept = rest.map(|rest| self.kept(rest, &times));
        let (times, main) = match (&kept, scope.driver) {
            (None, Some(driver)) => (times, Some(self.typed(driver)?.into_owned().values)),
            (None, None) => (times, None),
            (Some(kept), Some(driver)) => {
                let column = self.typed(driver)?.picked(kept);
                (column.times, Some(column.values))
            }
            (Some(kept), None) => (kept.iter().map(|index| times[*index]).collect(), None),
        };
        if times.is_empty() {
            return None;
        }
        let aux = scope
            .aux
            .iter()
            .map(|reference| self.aux(reference, &times))
            .collect();
        Some(Part { times, main, aux })
    }

    /// The common case without a copy: one field, all of its rows.
    fn only_part(&mut self, driver: &Ref) -> Option<Part> {
        let kind = driver.kind?;
        let column = self.columns.pop()??;
        let column = match converted(&column, kind)? {
            std::borrow::Cow::Owned(column) => column,
            std::borrow::Cow::Borrowed(_) => column,
        };
        (!column.is_empty()).then_some(Part {
            times: column.times,
            main: Some(column.values),
            aux: Vec::new(),
        })
    }

    fn union(&self, aux: &[Ref]) -> Vec<i64> {
        let mut times: Vec<i64> = Vec::new();
        for reference in aux {
            let Some(column) = self.typed(reference) else {
                continue;
            };
            if times.is_empty() {
                times.clone_from(&column.times);
            } else if times != column.times {
                times.extend_from_slice(&column.times);
                times.sort_unstable();
                times.dedup();
            }
        }
        times
    }

    fn aux(&self, reference: &Ref, times: &[i64]) -> Aux {
        if reference.kind == Some(Kind::Tag) {
            let tag = self.series.tag(&reference.name);
            return Aux::Constant((!tag.is_empty()).then(|| text(tag)));
        }
        self.typed(reference).map_or(Aux::Constant(None), |column| {
            Aux::Cells(aligned(&column, times))
        })
    }

    /// Returns the indexes of the rows that fulfil a condition.
    fn kept(&self, condition: &Expr, times: &[i64]) -> Vec<usize> {
        let mut columns: Vec<Vec<Cell>> = Vec::new();
        let formula = self.compile(condition, times, &mut columns);
        let mut row: Vec<Cell> = vec![None; columns.len()];
        let mut kept = Vec::new();
        for index in 0..times.len() {
            for (cell, column) in row.iter_mut().zip(&mut columns) {
                *cell = column[index].take();
            }
            if formula.holds(&row) {
                kept.push(index);
            }
        }
        kept
    }

    fn compile(&self, expr: &Expr, times: &[i64], columns: &mut Vec<Vec<Cell>>) -> Formula {
        super::plan::formula(expr, &mut |reference| {
            if let Some(column) = self
                .column(&reference.name)
                .filter(|_| reference.kind != Some(Kind::Tag))
            {
                let mut cells = aligned(column, times);
                if let Some(kind) = reference.kind {
                    cells
                        .iter_mut()
                        .for_each(|cell| *cell = cell.take().and_then(|value| cast(&value, kind)));
                }
                columns.push(cells);
                return Formula::Slot(columns.len() - 1);
            }
            if self.fields.contains(&reference.name.as_str()) {
                return Formula::Null;
            }
            Formula::Literal(text(self.series.tag(&reference.name)))
        })
    }
}

/// Returns the column's cells at given times.
fn aligned(column: &Column, times: &[i64]) -> Vec<Cell> {
    if column.times == times {
        return (0..times.len())
            .map(|index| Some(column.values.get(index)))
            .collect();
    }
    let mut next = 0;
    times
        .iter()
        .map(|time| {
            while column.times.get(next).is_some_and(|found| found < time) {
                next += 1;
            }
            (column.times.get(next) == Some(time)).then(|| column.values.get(next))
        })
        .collect()
}

/// Returns a column in another numeric type; `None` where the types have nothing in common.
fn converted(column: &Column, kind: Kind) -> Option<std::borrow::Cow<'_, Column>> {
    use std::borrow::Cow;
    let values = match (&column.values, kind) {
        (_, Kind::AnyField)
        | (Values::Float(_), Kind::Float)
        | (Values::Integer(_), Kind::Integer)
        | (Values::Unsigned(_), Kind::Unsigned)
        | (Values::Text(_), Kind::Text)
        | (Values::Boolean(_), Kind::Boolean) => return Some(Cow::Borrowed(column)),
        (Values::Float(list), Kind::Integer) => {
            Values::Integer(list.iter().map(|v| *v as i64).collect())
        }
        (Values::Float(list), Kind::Unsigned) => {
            Values::Unsigned(list.iter().map(|v| *v as u64).collect())
        }
        (Values::Integer(list), Kind::Float) => {
            Values::Float(list.iter().map(|v| *v as f64).collect())
        }
        (Values::Integer(list), Kind::Unsigned) => {
            Values::Unsigned(list.iter().map(|v| *v as u64).collect())
        }
        (Values::Unsigned(list), Kind::Float) => {
            Values::Float(list.iter().map(|v| *v as f64).collect())
        }
        (Values::Unsigned(list), Kind::Integer) => {
            Values::Integer(list.iter().map(|v| *v as i64).collect())
        }
        _ => return None,
    };
    Some(Cow::Owned(Column {
        times: column.times.clone(),
        values,
    }))
}

/// Says whether all further columns of a row are null.
pub(super) fn all_null(aux: &[Aux], index: usize) -> bool {
    aux.iter().all(|column| column.is_null(index))
}

/// Returns the value of a driving column.
pub(super) fn main_value(part: &Part, index: usize) -> Option<Value> {
    part.main.as_ref().map(|values| values.get(index))
}
