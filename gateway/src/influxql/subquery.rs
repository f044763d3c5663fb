//! Reads the rows of a subquery as if they were a measurement's.

use std::{collections::BTreeMap, sync::Arc};

use super::ast::{Kind, Ref};
use super::context::Context;
use super::error::Outcome;
use super::formula::{Cell, Formula, cast, text};
use super::names::field_name;
use super::plan::{Prepared, extra_column, formula};
use super::select::{self, Outer, Row, Rows};
use super::source::{Aux, Key, Part, Scope};
use crate::store::{FieldType, Values};

/// Where a name's value is in an inner row.
enum Where {
    Column(usize),
    Tag(Arc<str>),
    Nowhere,
}

impl Where {
    fn of(inner: &Prepared, name: &str) -> Self {
        let mut column = 0;
        for field in &inner.fields {
            if field_name(field) == name {
                return Self::Column(column);
            }
            column += 1 + super::names::extra_refs(&field.expr).len();
        }
        if let Some(column) = extra_column(inner, name) {
            return Self::Column(column);
        }
        match inner.dimensions.iter().find(|key| key.as_ref() == name) {
            Some(key) => Self::Tag(Arc::clone(key)),
            None => Self::Nowhere,
        }
    }

    fn get(&self, row: &Row, key: &Key) -> Cell {
        match self {
            Self::Column(column) => row.cells.get(*column).cloned().flatten(),
            Self::Tag(name) => key
                .tags
                .iter()
                .find(|(tag, _)| tag == name)
                .map(|(_, value)| text(value)),
            Self::Nowhere => None,
        }
    }
}

/// Runs the inner query and adds its rows to the groups.
pub(super) fn read(
    inner: &Prepared,
    scope: &Scope<'_>,
    context: &Context<'_>,
    groups: &mut BTreeMap<Key, Vec<Part>>,
) -> Outcome<()> {
    let outer = Outer {
        span: scope.span,
        group_by: scope.group_by,
        interval: scope.interval,
        offset: scope.offset,
        limits: scope.limits,
    };
    let filter = scope.condition.map(|condition| {
        let mut wheres = Vec::new();
        let formula = formula(condition, &mut |reference| {
            wheres.push(condition_place(inner, reference));
            Formula::Slot(wheres.len() - 1)
        });
        (formula, wheres)
    });
    for rows in select::run(inner, Some(&outer), context)? {
        let Rows { key, mut rows } = rows;
        if !scope.ascending {
            rows.reverse();
        }
        if let Some((formula, wheres)) = &filter {
            rows.retain(|row| {
                let cells: Vec<Cell> = wheres.iter().map(|place| place.get(row, &key)).collect();
                formula.holds(&cells)
            });
        }
        let Some(part) = part(inner, scope, &key, &rows) else {
            continue;
        };
        context.count_values(part.times.len() * (part.aux.len() + 1))?;
        let tag = |name: &Arc<str>| {
            let value = key
                .tags
                .iter()
                .find(|(tag, _)| tag == name)
                .map(|(_, value)| value);
            (
                Arc::clone(name),
                value.cloned().unwrap_or_else(|| "".into()),
            )
        };
        let outer_key = Key {
            name: Arc::clone(&key.name),
            tags: scope.group_by.iter().map(tag).collect(),
        };
        groups.entry(outer_key).or_default().push(part);
    }
    Ok(())
}

/// Conditions on names that the inner query lacks look at its groups' tags.
fn condition_place(inner: &Prepared, reference: &Ref) -> Where {
    match Where::of(inner, &reference.name) {
        Where::Nowhere => Where::Tag(reference.name.as_str().into()),
        place => place,
    }
}

fn part(inner: &Prepared, scope: &Scope<'_>, key: &Key, rows: &[Row]) -> Option<Part> {
    let aux: Vec<Where> = scope
        .aux
        .iter()
        .map(|reference| Where::of(inner, &reference.name))
        .collect();
    let mut times = Vec::with_capacity(rows.len());
    let mut kept: Vec<&Row> = Vec::with_capacity(rows.len());
    let main = if let Some(driver) = scope.driver {
        let place = Where::of(inner, &driver.name);
        let kind = driver.kind?;
        let mut values = Values::new(match kind {
            Kind::Float => FieldType::Float,
            Kind::Integer => FieldType::Integer,
            Kind::Unsigned => FieldType::Unsigned,
            Kind::Boolean => FieldType::Boolean,
            _ => FieldType::Text,
        });
        for row in rows {
            if let Some(value) = place.get(row, key).and_then(|value| cast(&value, kind))
                && values.push(value)
            {
                times.push(row.time);
                kept.push(row);
            }
        }
        Some(values)
    } else {
        for row in rows {
            times.push(row.time);
            kept.push(row);
        }
        None
    };
    if times.is_empty() {
        return None;
    }
    let cells = |place: &Where| Aux::Cells(kept.iter().map(|row| place.get(row, key)).collect());
    Some(Part {
        cells: Vec::new(),
        aux: aux.iter().map(cells).collect(),
        times,
        main,
    })
}
