//! Makes rows of a series' columns: which times there are, which of them a condition leaves, and their values.

use std::borrow::Cow;

use super::super::ast::{Expr, Kind, Ref};
use super::super::formula::{Cell, Formula, cast, text};
use super::super::plan::formula;
use super::{Aux, Part, Scope};
use crate::store::{Column, SeriesInfo, Values};

/// A series' columns as they came from the store.
pub(super) struct SeriesRows<'a> {
    pub(super) series: &'a SeriesInfo,
    pub(super) fields: &'a [&'a str],
    /// For each field its columns, one a type.
    pub(super) columns: Vec<Vec<Column>>,
}

impl SeriesRows<'_> {
    fn columns(&self, name: &str) -> &[Column] {
        let index = self.fields.iter().position(|field| *field == name);
        index.map_or(&[], |index| &self.columns[index])
    }

    /// Returns a name's column in the type that the query asks for.
    fn typed(&self, reference: &Ref) -> Option<Cow<'_, Column>> {
        let kind = reference.kind.filter(|kind| *kind != Kind::Tag)?;
        joined(self.columns(&reference.name), kind)
    }

    /// Returns a name's column in the type that it is read as.
    fn column(&self, name: &str) -> Option<Cow<'_, Column>> {
        let columns = self.columns(name);
        let first = columns.first()?.values.field_type();
        joined(columns, super::kind_of(first))
    }

    /// Returns the rows; `None` where there are none.
    pub(super) fn part(mut self, scope: &Scope<'_>, rest: Option<&Expr>) -> Option<Part> {
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
        Some(Part {
            cells: Vec::new(),
            times,
            main,
            aux,
        })
    }

    /// The common case without a copy: one field, all of its rows.
    fn only_part(&mut self, driver: &Ref) -> Option<Part> {
        let kind = driver.kind?;
        let mut columns = self.columns.pop()?;
        let column = match joined(&columns, kind)? {
            Cow::Borrowed(_) if columns.len() == 1 => columns.swap_remove(0),
            column => column.into_owned(),
        };
        (!column.is_empty()).then_some(Part {
            cells: Vec::new(),
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
        formula(expr, &mut |reference| {
            if let Some(column) = self
                .column(&reference.name)
                .filter(|_| reference.kind != Some(Kind::Tag))
            {
                let mut cells = aligned(&column, times);
                if let Some(kind) = reference.kind {
                    for cell in &mut cells {
                        *cell = cell.take().and_then(|value| cast(&value, kind));
                    }
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

/// Returns the columns of one field as one of a type; what cannot be converted is left out.
fn joined(columns: &[Column], kind: Kind) -> Option<Cow<'_, Column>> {
    match columns {
        [] => None,
        [column] => converted(column, kind),
        _ if kind == Kind::AnyField => Some(Cow::Borrowed(&columns[0])),
        _ => columns
            .iter()
            .filter_map(|column| converted(column, kind))
            .reduce(|joined, next| {
                let mut joined = joined.into_owned();
                joined.append(next.into_owned());
                Cow::Owned(joined.tidied())
            }),
    }
}

/// Returns a column in another numeric type; `None` where the types have nothing in common.
fn converted(column: &Column, kind: Kind) -> Option<Cow<'_, Column>> {
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
