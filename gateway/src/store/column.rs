//! Typed columns: the times and values of one field of one series.
//!
//! Invariant: `times` and `values` have the same length. A column is *tidy* when its times rise strictly; what readers
//! get is tidy.

use std::{collections::HashSet, ops::Range, sync::Arc};

pub use crate::lines::FieldType;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A 64-bit float.
    Float(f64),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// Text.
    Text(Arc<str>),
    /// A boolean.
    Boolean(bool),
}

impl Value {
    /// Returns the value's type.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::Float(_) => FieldType::Float,
            Self::Integer(_) => FieldType::Integer,
            Self::Unsigned(_) => FieldType::Unsigned,
            Self::Text(_) => FieldType::Text,
            Self::Boolean(_) => FieldType::Boolean,
        }
    }
}

/// Values of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Floats.
    Float(Vec<f64>),
    /// Signed integers.
    Integer(Vec<i64>),
    /// Unsigned integers.
    Unsigned(Vec<u64>),
    /// Texts.
    Text(Vec<Arc<str>>),
    /// Booleans.
    Boolean(Vec<bool>),
}

/// Runs the same expression for the vector of whichever type.
macro_rules! each {
    ($values:expr, $list:ident => $body:expr) => {
        match $values {
            Values::Float($list) => $body,
            Values::Integer($list) => $body,
            Values::Unsigned($list) => $body,
            Values::Text($list) => $body,
            Values::Boolean($list) => $body,
        }
    };
}

/// Makes values of the same type by the same expression.
macro_rules! map {
    ($values:expr, $list:ident => $body:expr) => {
        match $values {
            Values::Float($list) => Values::Float($body),
            Values::Integer($list) => Values::Integer($body),
            Values::Unsigned($list) => Values::Unsigned($body),
            Values::Text($list) => Values::Text($body),
            Values::Boolean($list) => Values::Boolean($body),
        }
    };
}

fn at<T: Clone>(list: &[T], indexes: &[usize]) -> Vec<T> {
    indexes.iter().map(|index| list[*index].clone()).collect()
}

impl Values {
    /// Makes an empty list for values of a type.
    #[must_use]
    pub fn new(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Float => Self::Float(Vec::new()),
            FieldType::Integer => Self::Integer(Vec::new()),
            FieldType::Unsigned => Self::Unsigned(Vec::new()),
            FieldType::Text => Self::Text(Vec::new()),
            FieldType::Boolean => Self::Boolean(Vec::new()),
        }
    }

    /// Makes values of numbers' or booleans' bits; texts have none.
    pub(super) fn from_bits(field_type: FieldType, bits: impl Iterator<Item = u64>) -> Self {
        match field_type {
            FieldType::Float => Self::Float(bits.map(f64::from_bits).collect()),
            FieldType::Integer => Self::Integer(bits.map(|bits| bits as i64).collect()),
            FieldType::Unsigned => Self::Unsigned(bits.collect()),
            FieldType::Boolean => Self::Boolean(bits.map(|bits| bits != 0).collect()),
            FieldType::Text => Self::Text(Vec::new()),
        }
    }

    /// Returns the values' type.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::Float(_) => FieldType::Float,
            Self::Integer(_) => FieldType::Integer,
            Self::Unsigned(_) => FieldType::Unsigned,
            Self::Text(_) => FieldType::Text,
            Self::Boolean(_) => FieldType::Boolean,
        }
    }

    /// Returns how many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        each!(self, list => list.len())
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the value at an index that exists.
    #[must_use]
    pub fn get(&self, index: usize) -> Value {
        match self {
            Self::Float(list) => Value::Float(list[index]),
            Self::Integer(list) => Value::Integer(list[index]),
            Self::Unsigned(list) => Value::Unsigned(list[index]),
            Self::Text(list) => Value::Text(Arc::clone(&list[index])),
            Self::Boolean(list) => Value::Boolean(list[index]),
        }
    }

    /// Returns how large the different texts are, which is what a chunk keeps of them; numbers have none.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let Self::Text(list) = self else {
            return 0;
        };
        let different: HashSet<&Arc<str>> = list.iter().collect();
        different.into_iter().map(|text| text.len()).sum()
    }

    /// Appends a value; returns false when its type is another.
    pub fn push(&mut self, value: Value) -> bool {
        match (self, value) {
            (Self::Float(list), Value::Float(value)) => list.push(value),
            (Self::Integer(list), Value::Integer(value)) => list.push(value),
            (Self::Unsigned(list), Value::Unsigned(value)) => list.push(value),
            (Self::Text(list), Value::Text(value)) => list.push(value),
            (Self::Boolean(list), Value::Boolean(value)) => list.push(value),
            _ => return false,
        }
        true
    }

    fn slice(&self, range: Range<usize>) -> Self {
        map!(self, list => list[range].to_vec())
    }

    fn pick(&self, indexes: &[usize]) -> Self {
        map!(self, list => at(list, indexes))
    }

    /// Appends values of the same type.
    pub fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Float(list), Self::Float(mut more)) => list.append(&mut more),
            (Self::Integer(list), Self::Integer(mut more)) => list.append(&mut more),
            (Self::Unsigned(list), Self::Unsigned(mut more)) => list.append(&mut more),
            (Self::Text(list), Self::Text(mut more)) => list.append(&mut more),
            (Self::Boolean(list), Self::Boolean(mut more)) => list.append(&mut more),
            // A column has one type, so its parts agree.
            _ => {}
        }
    }
}

/// The times and values of one field of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// When, in nanoseconds.
    pub times: Vec<i64>,
    /// What.
    pub values: Values,
}

impl Column {
    /// Makes an empty column for values of a type.
    #[must_use]
    pub fn new(field_type: FieldType) -> Self {
        Self {
            times: Vec::new(),
            values: Values::new(field_type),
        }
    }

    /// Returns how many points there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Says whether the times rise strictly.
    #[must_use]
    pub fn is_tidy(&self) -> bool {
        self.times.windows(2).all(|pair| pair[0] < pair[1])
    }

    /// Appends what came later; the result may be untidy.
    pub fn append(&mut self, mut later: Self) {
        self.times.append(&mut later.times);
        self.values.append(later.values);
    }

    /// Sorts by time and keeps the last of the points of one time.
    #[must_use]
    pub fn tidied(self) -> Self {
        if self.is_tidy() {
            return self;
        }
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        order.sort_by_key(|index| self.times[*index]);
        let mut kept: Vec<usize> = Vec::with_capacity(order.len());
        for index in order {
            match kept.last_mut() {
                Some(last) if self.times[*last] == self.times[index] => *last = index,
                _ => kept.push(index),
            }
        }
        Self {
            times: kept.iter().map(|index| self.times[*index]).collect(),
            values: self.values.pick(&kept),
        }
    }

    /// Returns the points of a tidy column whose time lies between both ends, the ends included.
    #[must_use]
    pub fn between(&self, first: i64, last: i64) -> Self {
        let start = self.times.partition_point(|time| *time < first);
        let end = self.times.partition_point(|time| *time <= last).max(start);
        Self {
            times: self.times[start..end].to_vec(),
            values: self.values.slice(start..end),
        }
    }

    /// Returns the points at indexes that exist.
    #[must_use]
    pub fn picked(&self, indexes: &[usize]) -> Self {
        Self {
            times: indexes.iter().map(|index| self.times[*index]).collect(),
            values: self.values.pick(indexes),
        }
    }

    /// Returns the points, tidy or not, whose time does not lie between both ends.
    #[must_use]
    pub fn outside(&self, first: i64, last: i64) -> Self {
        let kept: Vec<usize> = (0..self.times.len())
            .filter(|index| !(first..=last).contains(&self.times[*index]))
            .collect();
        self.picked(&kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidying_sorts_and_keeps_the_last_of_one_time() {
        let column = Column {
            times: vec![3, 1, 3, 2, 1],
            values: Values::Integer(vec![30, 10, 31, 20, 11]),
        };
        assert_eq!(
            column.tidied(),
            Column {
                times: vec![1, 2, 3],
                values: Values::Integer(vec![11, 20, 31]),
            }
        );
    }

    #[test]
    fn between_takes_both_ends() {
        let column = Column {
            times: vec![1, 2, 3, 4],
            values: Values::Boolean(vec![true, false, true, false]),
        };
        assert_eq!(column.between(2, 3).times, [2, 3]);
        assert!(column.between(5, 4).is_empty());
    }
}
