//! The type of a field's values.

/// The type of a field's values: as a line writes them, as the guards hold fields to it, and as the store keeps them.
///
/// The numbers are those in the store's files. Where a field has several types, the smaller one is that which it is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FieldType {
    /// A 64-bit float: a finite number.
    Float = 1,
    /// A signed integer: digits and an `i`.
    Integer = 2,
    /// An unsigned integer: digits and a `u`.
    Unsigned = 3,
    /// A text: within quotes.
    Text = 4,
    /// A boolean: one of the five words for true, and the five for false.
    Boolean = 5,
}

impl FieldType {
    /// Every type.
    pub const ALL: [Self; 5] = [
        Self::Float,
        Self::Integer,
        Self::Unsigned,
        Self::Text,
        Self::Boolean,
    ];

    /// Its name in InfluxDB.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned",
            Self::Text => "string",
            Self::Boolean => "boolean",
        }
    }

    /// The type that a stored byte stands for.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|field_type| *field_type as u8 == byte)
    }
}
