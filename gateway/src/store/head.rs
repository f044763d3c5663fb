//! The part of a column's data that is in memory, and where the rest lies.
//!
//! A push touches every field of a series in turn: the data of a column is one cache line, and a point in the head is one
//! entry of one list.

use std::sync::Arc;

use super::column::{Column, FieldType, Value, Values};

/// Where a sealed chunk lies, what times it holds and how much it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkMeta {
    pub(super) id: i64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) points: u32,
    pub(super) size_bytes: u32,
}

/// Points as they came, tidy or not.
#[derive(Clone)]
pub(super) enum Head {
    /// Numbers and booleans: times and bits.
    Bits {
        field_type: FieldType,
        points: Vec<(i64, u64)>,
    },
    Texts(Box<Column>),
}

impl Head {
    fn new(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Text => Self::Texts(Box::new(Column::new(field_type))),
            _ => Self::Bits {
                field_type,
                points: Vec::new(),
            },
        }
    }

    fn field_type(&self) -> FieldType {
        match self {
            Self::Bits { field_type, .. } => *field_type,
            Self::Texts(_) => FieldType::Text,
        }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, time: i64, value: Value) -> bool {
        match self {
            Self::Bits { field_type, points } => {
                let fits = value.field_type() == *field_type;
                if let (true, Some(bits)) = (fits, value.bits()) {
                    points.push((time, bits));
                }
                fits
            }
            Self::Texts(column) => {
                let fits = column.values.push(value);
                if fits {
                    column.times.push(time);
                }
                fits
            }
        }
    }

    /// Copies the points between two times, or all of them when they are not in the order of time.
    pub(super) fn column(&self, first: i64, last: i64) -> Column {
        match self {
            Self::Bits { field_type, points } => {
                let mut range = points.as_slice();
                if points.is_sorted_by(|a, b| a.0 < b.0) {
                    let start = points.partition_point(|point| point.0 < first);
                    let end = points.partition_point(|point| point.0 <= last);
                    range = &points[start..end.max(start)];
                }
                Column {
                    times: range.iter().map(|point| point.0).collect(),
                    values: Values::from_bits(*field_type, range.iter().map(|point| point.1)),
                }
            }
            Self::Texts(column) if column.is_tidy() => column.between(first, last),
            Self::Texts(column) => Column::clone(column),
        }
    }

    /// Returns how many points there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bits { points, .. } => points.len(),
            Self::Texts(column) => column.len(),
        }
    }

    /// Copies all points.
    pub(super) fn whole(&self) -> Column {
        self.column(i64::MIN, i64::MAX)
    }

    fn of(column: Column) -> Self {
        let field_type = column.values.field_type();
        if field_type == FieldType::Text {
            return Self::Texts(Box::new(column));
        }
        let bits = (0..column.len()).filter_map(|index| column.values.get(index).bits());
        Self::Bits {
            field_type,
            points: column.times.iter().copied().zip(bits).collect(),
        }
    }
}

/// The data of one column of one series.
///
/// Later parts win over earlier ones: chunks in the order of their numbers, then what is being sealed, then the head.
pub(super) struct FieldData {
    pub(super) chunks: Vec<ChunkMeta>,
    /// What was taken to be sealed.
    sealing: Option<Arc<Head>>,
    head: Head,
}

/// What a reader takes from under the lock: parts in memory, tidy or not, and chunks to fetch.
pub(super) struct Parts {
    pub(super) chunks: Vec<ChunkMeta>,
    pub(super) sealing: Option<Arc<Head>>,
    pub(super) head: Column,
}

impl FieldData {
    pub(super) fn new(field_type: FieldType) -> Self {
        Self {
            chunks: Vec::new(),
            sealing: None,
            head: Head::new(field_type),
        }
    }

    /// Appends a point; returns false when the value has another type than the column.
    pub(super) fn push(&mut self, time: i64, value: Value) -> bool {
        self.head.push(time, value)
    }

    /// Says whether nothing is in memory that a seal would take.
    pub(super) fn is_sealed(&self) -> bool {
        self.head.is_empty() && self.sealing.is_none()
    }

    /// Says whether there are no points at all.
    pub(super) fn is_empty(&self) -> bool {
        self.is_sealed() && self.chunks.is_empty()
    }

    /// Moves the head aside to be sealed. What is already aside after a failed seal stays first.
    pub(super) fn begin_seal(&mut self) -> Option<Arc<Head>> {
        if self.is_sealed() {
            return None;
        }
        let empty = Head::new(self.head.field_type());
        let head = std::mem::replace(&mut self.head, empty);
        let taken = match self.sealing.take() {
            Some(left) => {
                let mut column = left.whole();
                column.append(head.whole());
                Head::of(column)
            }
            None => head,
        };
        let taken = Arc::new(taken);
        self.sealing = Some(Arc::clone(&taken));
        Some(taken)
    }

    /// Ends a seal: the chunks on disk take the place of what was aside.
    pub(super) fn end_seal(&mut self, chunks: impl IntoIterator<Item = ChunkMeta>) {
        self.chunks.extend(chunks);
        self.sealing = None;
    }

    /// Takes the points between two times out of memory; returns how much memory they took.
    pub(super) fn delete_in_memory(&mut self, first: i64, last: i64) -> usize {
        let mut freed = 0;
        let mut cut = |head: &Head| {
            let column = head.whole();
            let kept = column.outside(first, last);
            freed += column.memory_bytes() - kept.memory_bytes();
            Head::of(kept)
        };
        if !self.head.is_empty() {
            self.head = cut(&self.head);
        }
        if let Some(sealing) = self.sealing.take() {
            let kept = cut(&sealing);
            self.sealing = (!kept.is_empty()).then(|| Arc::new(kept));
        }
        freed
    }

    /// Takes what a reader needs between two times.
    pub(super) fn parts(&self, first: i64, last: i64) -> Parts {
        Parts {
            chunks: self
                .chunks
                .iter()
                .filter(|chunk| chunk.first <= last && chunk.last >= first)
                .copied()
                .collect(),
            sealing: self.sealing.clone(),
            head: self.head.column(first, last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_a_column_is_one_cache_line() {
        assert_eq!(size_of::<Option<FieldData>>(), 64);
    }
}
