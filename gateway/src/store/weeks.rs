//! Says which series have points in the weeks of a span, mostly by what is known of their chunks.

use super::{
    StoreError,
    catalogue::week_with_span,
    read::{SeriesInfo, View},
    series::Series,
};

/// Series that are looked at under one lock.
const SLICE_SERIES: usize = 20_000;

/// Whether a series has a point between two times, by the ends of its chunks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Has,
    HasNot,
    /// A chunk begins before the span and ends behind it.
    Perhaps,
}

impl Presence {
    fn of(series: &Series, (first, last): (i64, i64)) -> Self {
        if series.head.has_within(first, last) {
            return Self::Has;
        }
        let mut found = Self::HasNot;
        for chunk in series.each_chunks().flat_map(|(_, chunks)| chunks) {
            let is_within = |time| (first..=last).contains(&time);
            if is_within(chunk.first) || is_within(chunk.last) {
                return Self::Has;
            }
            if chunk.first < first && chunk.last > last {
                found = Self::Perhaps;
            }
        }
        found
    }
}

impl View {
    /// Keeps those series that have a point in one of the weeks that a span touches.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn in_weeks_of(
        &self,
        measurement: &str,
        series: &[SeriesInfo],
        (first, last): (i64, i64),
    ) -> Result<Vec<SeriesInfo>, StoreError> {
        if first > last {
            return Ok(Vec::new());
        }
        let first = week_with_span(first).1.start;
        let last = week_with_span(last).1.end.saturating_sub(1);
        let fields = self.fields(measurement);
        let fields: Vec<&str> = fields.iter().map(|field| field.name.as_ref()).collect();
        let mut kept = Vec::new();
        for slice in series.chunks(SLICE_SERIES) {
            let judged = self.with_policy(measurement, |found, cutoff_ns| {
                let span = (first.max(cutoff_ns), last);
                let judge = |info: &SeriesInfo| {
                    let series = found.series.get(info.number);
                    series.map_or(Presence::HasNot, |series| Presence::of(series, span))
                };
                slice.iter().map(judge).collect::<Vec<_>>()
            });
            for (info, presence) in slice.iter().zip(judged.unwrap_or_default()) {
                let has = match presence {
                    Presence::Has => true,
                    Presence::HasNot => false,
                    Presence::Perhaps => {
                        let read = self.scan(measurement, &[info.number], &fields, first, last)?;
                        read.iter().flatten().any(|columns| !columns.is_empty())
                    }
                };
                if has {
                    kept.push(info.clone());
                }
            }
        }
        Ok(kept)
    }
}
