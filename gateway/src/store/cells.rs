//! Reads what chunks add up to in the place of their points.

use super::{
    FieldType, StoreError,
    column::{Column, Value},
    disk::rows,
    head::ChunkMeta,
    parts::{Edge, Parts},
    read::{View, parts},
    rollup::{self, Cells, RESOLUTIONS_NS},
};

/// A value that alone is sought of each series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extreme {
    /// The least.
    Least,
    /// The most.
    Most,
}

impl Extreme {
    /// Returns which of several chunks, in the order of time, is the first that has the value.
    fn place(self, chunks: &[Cells]) -> Option<usize> {
        let mut best: Option<(usize, Value)> = None;
        for (index, cells) in chunks.iter().enumerate() {
            let values = match self {
                Self::Least => &cells.least,
                Self::Most => &cells.most,
            };
            for value in (0..cells.len()).map(|cell| values.get(cell)) {
                if best
                    .as_ref()
                    .is_none_or(|(_, held)| self.beats(&value, held))
                {
                    best = Some((index, value));
                }
            }
        }
        best.map(|(index, _)| index)
    }

    fn beats(self, value: &Value, held: &Value) -> bool {
        let (low, high) = match self {
            Self::Least => (value, held),
            Self::Most => (held, value),
        };
        match (low, high) {
            (Value::Float(low), Value::Float(high)) => low < high,
            (Value::Integer(low), Value::Integer(high)) => low < high,
            (Value::Unsigned(low), Value::Unsigned(high)) => low < high,
            // Only numbers have cells.
            _ => false,
        }
    }
}

/// What [`View::scan_cells`] is asked for.
#[derive(Debug, Clone, Copy)]
pub struct CellsWanted {
    /// How long a cell is.
    pub resolution_ns: i64,
    /// Between which times, the ends included.
    pub span: (i64, i64),
    /// The one point that is wanted, rather than all; others may come with it.
    pub edge: Option<Edge>,
    /// The value whose earliest point is wanted, rather than cells, which do not say when it was; others may come with it.
    pub extreme: Option<Extreme>,
    /// How many points may be unpacked of a series.
    pub points_max: usize,
}

/// What was read of a series: the cells of its rollups, and the points that none of them counts.
pub type Summed = (Vec<Cells>, Column);

impl View {
    /// Reads a field of series as [`Self::scan`] does, and takes what a chunk adds up to in the place of its points where
    /// that says the same: for each series the rollups' cells, and the points that are left; `None` for a series of which
    /// too many are left. `None` for all where the field has several types.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn scan_cells(
        &self,
        measurement: &str,
        series: &[u32],
        field: &str,
        wanted: CellsWanted,
    ) -> Result<Option<Vec<Option<Summed>>>, StoreError> {
        let resolution = RESOLUTIONS_NS
            .iter()
            .position(|known| *known == wanted.resolution_ns);
        let taken = self.with_policy(measurement, |found, cutoff_ns| {
            let first = wanted.span.0.max(cutoff_ns);
            let [column] = found.fields.get(field)?.columns[..] else {
                return None;
            };
            let field_type = found.columns[column as usize].field_type;
            let of_series = |number: &u32| {
                // A measurement that was dropped and made anew meanwhile may have fewer.
                let series = found.series.get(*number);
                series.map_or_else(
                    || Parts::none(field_type),
                    |series| parts(found, series, column, first, wanted.span.1),
                )
            };
            let taken: Vec<Parts> = series.iter().map(of_series).collect();
            Some((first, column, taken))
        });
        let (Some((first, column, taken)), Some(resolution)) = (taken.flatten(), resolution) else {
            return Ok(None);
        };
        let whole = (first, wanted.span.1);
        let read = |(number, mut parts): (&u32, Parts)| {
            let field_type = parts.recent.values.field_type();
            let span = parts.keep_edge(wanted.edge, whole);
            let alone = match wanted.edge {
                // Cells do not say what came first.
                Some(Edge::First) => Vec::new(),
                _ => parts.take_alone(resolution, whole.0, whole.1),
            };
            if parts.points() > wanted.points_max {
                return Ok(None);
            }
            if let Some(mut cells) = self.cells(&alone, field_type, resolution)? {
                if let Some(extreme) = wanted.extreme {
                    parts
                        .chunks
                        .extend(extreme.place(&cells).map(|index| alone[index]));
                    cells.clear();
                }
                if let Some(rest) = self.merge(parts, span.0, span.1)? {
                    return Ok(Some((cells, rest)));
                }
            }
            let all = self.again(measurement, *number, column, whole.0, whole.1)?;
            Ok(Some((Vec::new(), all)))
        };
        let read = series.iter().zip(taken).map(read);
        read.collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// Reads the cells of chunks; `None` when one of them is not what it was any more.
    fn cells(
        &self,
        chunks: &[ChunkMeta],
        field_type: FieldType,
        wanted: usize,
    ) -> Result<Option<Vec<Cells>>, StoreError> {
        if chunks.is_empty() {
            return Ok(Some(Vec::new()));
        }
        self.store.0.disk.read(|reader| {
            let cells = chunks.iter().map(|meta| {
                let Some(bytes) = rows::rollup(reader, meta.id)? else {
                    return Ok(None);
                };
                Ok(rollup::decode(&bytes, field_type, meta.points, wanted)?)
            });
            cells.collect()
        })
    }
}
