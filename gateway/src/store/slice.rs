//! Cuts the span of a read into slices of about so many points, by what is known of the chunks.

use super::{catalogue::Measurement, head::ChunkMeta, read::View};

impl View {
    /// Returns the first slice of a span, or the last one for who reads backwards, in which fields of a series have about
    /// so many points each: what the next chunk holds of it, with the recent points within. Where no chunk is left, it is
    /// the span itself.
    #[must_use]
    pub fn slice(
        &self,
        measurement: &str,
        series: u32,
        fields: &[&str],
        span: (i64, i64),
        points: usize,
        ascending: bool,
    ) -> (i64, i64) {
        let next = self.with(measurement, |found| {
            next_chunk(found, series, fields, span, ascending)
        });
        match next.flatten() {
            Some(chunk) => cut(&chunk, span, points, ascending),
            None => span,
        }
    }
}

fn next_chunk(
    measurement: &Measurement,
    series: u32,
    fields: &[&str],
    (first, last): (i64, i64),
    ascending: bool,
) -> Option<ChunkMeta> {
    let series = measurement.series.get(series)?;
    let fields = fields
        .iter()
        .filter_map(|name| measurement.fields.get(*name));
    let columns = fields.flat_map(|field| &field.columns);
    let chunks = columns.flat_map(|column| series.chunks(*column));
    let chunks = chunks.filter(|chunk| chunk.first <= last && chunk.last >= first);
    let next = if ascending {
        chunks.min_by_key(|chunk| chunk.first.max(first))
    } else {
        chunks.max_by_key(|chunk| chunk.last.min(last))
    };
    next.copied()
}

/// Cuts a span behind so many points of a chunk, as if these lay evenly, or before them.
fn cut(chunk: &ChunkMeta, (first, last): (i64, i64), points: usize, ascending: bool) -> (i64, i64) {
    let length = i128::from(chunk.last) - i128::from(chunk.first) + 1;
    let part = (length * points as i128 / i128::from(chunk.points.max(1))).max(1);
    if ascending {
        let from = i128::from(chunk.first.max(first));
        let end = (from + part - 1).min(i128::from(chunk.last.min(last)));
        (first, end as i64)
    } else {
        let to = i128::from(chunk.last.min(last));
        let start = (to - part + 1).max(i128::from(chunk.first.max(first)));
        (start as i64, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_ends_with_the_chunk_or_behind_so_many_of_its_points() {
        let chunk = ChunkMeta {
            id: 1,
            first: 100,
            last: 199,
            points: 50,
            size_bytes: 0,
            resolutions: 0,
        };
        let all = (i64::MIN, i64::MAX);
        assert_eq!(cut(&chunk, all, 50, true), (i64::MIN, 199));
        assert_eq!(cut(&chunk, all, 5, true), (i64::MIN, 109));
        assert_eq!(cut(&chunk, (110, 500), 5, true), (110, 119));
        assert_eq!(cut(&chunk, (110, 115), 5, true), (110, 115));
        assert_eq!(cut(&chunk, all, 5, false), (190, i64::MAX));
        assert_eq!(cut(&chunk, (0, 150), 500, false), (100, 150));
    }
}
