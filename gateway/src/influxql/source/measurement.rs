//! Reads the rows of a measurement: some series at a time, and those of a long series a slice at a time, so that the query's
//! bounds are looked at before more is in memory than they allow.

use std::{collections::BTreeMap, ops::Range, rc::Rc, sync::Arc};

use super::super::context::Context;
use super::super::error::Outcome;
use super::cursor::{Slices, Unread};
use super::rows::SeriesRows;
use super::{Key, Part, Scope, Wanted, kind_of, store_error};
use crate::store::{Cells, CellsWanted, Edge, Summed, View};

/// Series that are read under one lock at the most.
const SERIES_AT_ONCE: usize = 512;
/// Values that are read before the query's bounds are looked at; a series with more is read in slices.
pub(super) const VALUES_AT_ONCE: u64 = 250_000;
/// Points of a slice: what a chunk holds at the most, and few where one is sought.
pub(super) const SLICES: Slices = Slices::Points {
    first: 8_192,
    most: 8_192,
};
const SLICES_OF_AN_EDGE: Slices = Slices::Points {
    first: 64,
    most: 8_192,
};

/// Cuts series, of which these are the sizes, into reads.
fn batches(sizes: &[u64]) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut values = 0;
    for (index, size) in sizes.iter().enumerate() {
        match batches.last_mut() {
            Some(batch) if batch.len() < SERIES_AT_ONCE && values + size <= VALUES_AT_ONCE => {
                batch.end += 1;
                values += size;
            }
            _ => {
                batches.push(index..index + 1);
                values = *size;
            }
        }
    }
    batches
}

/// A measurement that is read.
struct Reading<'a> {
    view: &'a View,
    name: &'a Arc<str>,
    scope: &'a Scope<'a>,
    context: &'a Context<'a>,
    fields: Rc<[&'a str]>,
    wanted: &'a Wanted<'a>,
    numbers: Vec<u32>,
}

/// Reads the series that a scope selects, and adds them to their groups.
pub(super) fn read(
    view: &View,
    name: &Arc<str>,
    scope: &Scope<'_>,
    context: &Context<'_>,
    groups: &mut BTreeMap<Key, Vec<Part>>,
) -> Outcome<()> {
    let Some(wanted) = Wanted::of(view, name, scope, context)? else {
        return Ok(());
    };
    let numbers: Vec<u32> = wanted
        .selected
        .iter()
        .map(|(series, _)| series.number)
        .collect();
    let span = (scope.span.first, scope.span.last);
    let sizes = match scope.edge {
        None => view.sizes(name, &numbers, &wanted.fields, span),
        Some(_) => vec![0; numbers.len()],
    };
    let reading = Reading {
        view,
        name,
        scope,
        context,
        fields: wanted.fields.as_slice().into(),
        wanted: &wanted,
        numbers,
    };
    let takes_cells = reading.takes_cells();
    for batch in batches(&sizes) {
        context.check()?;
        let is_long = sizes[batch.start] > VALUES_AT_ONCE;
        let cells = if takes_cells {
            reading.cells(batch.clone())?
        } else {
            None
        };
        let parts = match cells {
            Some(parts) => parts,
            None if is_long || scope.edge.is_some() => {
                let parts = batch.clone().map(|index| reading.in_slices(index));
                parts.collect::<Outcome<_>>()?
            }
            None => reading.at_once(batch.clone())?,
        };
        for (index, part) in batch.zip(parts) {
            let Some(part) = part else { continue };
            let key = Key::of(name, &wanted.selected[index].0, scope.group_by);
            groups.entry(key).or_default().push(part);
        }
    }
    Ok(())
}

impl Reading<'_> {
    /// Says whether what chunks add up to may stand for their points: it is asked for, and says all that is wanted.
    fn takes_cells(&self) -> bool {
        let Some(driver) = self.scope.driver else {
            return false;
        };
        let stored = self.view.field_type(self.name, &driver.name).map(kind_of);
        stored.is_some()
            && stored == driver.kind
            && self.scope.resolution.is_some()
            && self.scope.aux.is_empty()
            && self.wanted.selected.iter().all(|(_, rest)| rest.is_none())
    }

    /// Reads the driving field of series, and what chunks add up to in the place of their points; `None` where the field has
    /// several types.
    fn cells(&self, batch: Range<usize>) -> Outcome<Option<Vec<Option<Part>>>> {
        let (Some(resolution_ns), Some(driver)) = (self.scope.resolution, self.scope.driver) else {
            return Ok(None);
        };
        let wanted = CellsWanted {
            resolution_ns,
            span: (self.scope.span.first, self.scope.span.last),
            edge: self.scope.edge,
            extreme: self.scope.extreme,
            points_max: VALUES_AT_ONCE as usize,
        };
        let numbers = &self.numbers[batch.clone()];
        let read = self
            .view
            .scan_cells(self.name, numbers, &driver.name, wanted);
        let Some(read) = read.map_err(|error| store_error(&error))? else {
            return Ok(None);
        };
        let part = |(index, summed): (usize, Option<Summed>)| {
            let Some((cells, column)) = summed else {
                return self.in_slices(index);
            };
            let part = Part {
                cells,
                times: column.times,
                main: Some(column.values),
                aux: Vec::new(),
            };
            let values = part.times.len() + part.cells.iter().map(Cells::len).sum::<usize>();
            self.context.count_values(values)?;
            Ok((values > 0).then_some(part))
        };
        batch.zip(read).map(part).collect::<Outcome<_>>().map(Some)
    }

    /// Reads all rows of series.
    fn at_once(&self, batch: Range<usize>) -> Outcome<Vec<Option<Part>>> {
        let (span, numbers) = (self.scope.span, &self.numbers[batch.clone()]);
        let columns = self
            .view
            .scan(self.name, numbers, &self.fields, span.first, span.last);
        let columns = columns.map_err(|error| store_error(&error))?;
        let part = |((series, rest), columns): (&(_, Option<_>), _)| {
            let rows = SeriesRows {
                series,
                fields: &self.fields,
                columns,
            };
            let part = rows.part(self.scope, rest.as_ref());
            self.context
                .count_values(part.as_ref().map_or(0, Part::values))?;
            Ok(part)
        };
        self.wanted.selected[batch]
            .iter()
            .zip(columns)
            .map(part)
            .collect()
    }

    /// Reads the rows of a series slice by slice: all of them, or from an edge on until one is found.
    fn in_slices(&self, index: usize) -> Outcome<Option<Part>> {
        let (series, condition) = &self.wanted.selected[index];
        let mut scope = self.scope.clone();
        scope.ascending = scope.edge != Some(Edge::Last);
        let slices = match scope.edge {
            None => SLICES,
            Some(_) => SLICES_OF_AN_EDGE,
        };
        let mut unread = Unread {
            view: self.view,
            measurement: self.name,
            series: series.clone(),
            condition: condition.clone(),
            fields: Rc::clone(&self.fields),
            span: scope.span,
            read: 0,
            is_long: false,
        };
        let mut all: Option<Part> = None;
        loop {
            self.context.check()?;
            let (part, is_last) = unread.read(&scope, slices)?;
            if let Some(part) = part {
                self.context.count_values(part.values())?;
                if let Some(edge) = scope.edge {
                    return Ok(Some(part.at_edge(edge)));
                }
                match &mut all {
                    Some(all) => all.append(part),
                    None => all = Some(part),
                }
            }
            if is_last {
                return Ok(all);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_bounded_by_values_and_by_series() {
        let m = VALUES_AT_ONCE;
        assert_eq!(
            batches(&[1, 2, m, m + 5, 4, m - 4, 1]),
            [0..2, 2..3, 3..4, 4..6, 6..7]
        );
        assert_eq!(batches(&[0; 1_000]), [0..512, 512..1_000]);
        assert!(batches(&[]).is_empty());
    }
}
