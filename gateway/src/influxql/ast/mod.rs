//! The tree that a parsed query is. It prints back to InfluxQL (see `influxql/print.rs`).

mod statement;

use std::{fmt::Write as _, sync::Arc};

use regex::Regex;

pub use statement::{Counted, KeySelection, PolicyOptions, ShowClauses, Statement};

/// A place in the text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

/// Units of a duration, the largest last, with their nanoseconds.
pub(super) const NANOS_PER_UNIT: [(&str, i64); 8] = [
    ("ns", 1),
    ("u", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

/// Writes a duration with the largest unit that leaves no rest.
pub(super) fn duration_text(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let (unit, size) = NANOS_PER_UNIT
        .iter()
        .rev()
        .find(|(_, size)| nanos % size == 0)
        .copied()
        .unwrap_or(NANOS_PER_UNIT[0]);
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write!(text, "{}{unit}", nanos / size);
    text
}

/// A compiled regular expression; two are equal when their sources are.
#[derive(Debug, Clone)]
pub struct Pattern(Arc<Regex>);

impl Pattern {
    /// Compiles a source.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the expression.
    pub fn new(source: &str) -> Result<Self, String> {
        Regex::new(source)
            .map(|regex| Self(Arc::new(regex)))
            .map_err(|error| {
                let text = error.to_string();
                text.lines().last().unwrap_or_default().trim().to_owned()
            })
    }

    /// Returns the source.
    #[must_use]
    pub fn source(&self) -> &str {
        self.0.as_str()
    }

    /// Says whether the text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

/// What a name stands for, as the query says it (`::tag`) or as the store knows it: a field of a type, or what is no field. Apart
/// from [`FieldType`], which every stored value has: a tag has none, and a query may leave a field's open.
///
/// [`FieldType`]: crate::lines::FieldType
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A 64-bit float.
    Float,
    /// A signed integer.
    Integer,
    /// An unsigned integer.
    Unsigned,
    /// Text.
    Text,
    /// A boolean.
    Boolean,
    /// The point's time.
    Time,
    /// A tag.
    Tag,
    /// A field of whatever type.
    AnyField,
}

impl Kind {
    /// Returns the word that stands behind `::`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned",
            Self::Text => "string",
            Self::Boolean => "boolean",
            Self::Time => "time",
            Self::Tag => "tag",
            Self::AnyField => "field",
        }
    }

    /// Says whether values of the kind can be calculated with.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Float | Self::Integer | Self::Unsigned)
    }
}

/// A field or a tag by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ref {
    /// The name.
    pub name: String,
    /// What it stands for, where that is known.
    pub kind: Option<Kind>,
}

/// An operator between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Matches,
    MatchesNot,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    BitOr,
    BitXor,
    Multiply,
    Divide,
    Remainder,
    BitAnd,
}

impl Operator {
    /// Returns how tightly the operator binds; larger binds first.
    #[must_use]
    pub fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Equal
            | Self::NotEqual
            | Self::Matches
            | Self::MatchesNot
            | Self::Less
            | Self::LessOrEqual
            | Self::Greater
            | Self::GreaterOrEqual => 3,
            Self::Add | Self::Subtract | Self::BitOr | Self::BitXor => 4,
            Self::Multiply | Self::Divide | Self::Remainder | Self::BitAnd => 5,
        }
    }

    /// Returns the operator as it is written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Or => "OR",
            Self::And => "AND",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::MatchesNot => "!~",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::BitOr => "|",
            Self::BitXor => "^",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::BitAnd => "&",
        }
    }

    /// Returns the comparison with its sides exchanged.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            other => other,
        }
    }
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A field or a tag.
    Ref(Ref),
    /// `*`, `*::field` or `*::tag`.
    Wildcard(Option<Kind>),
    /// `/pattern/`.
    Pattern(Pattern),
    /// `name(args)`, the name in lower case.
    Call(Call),
    /// Two expressions and what stands between them.
    Binary {
        /// The operator.
        operator: Operator,
        /// What stands before it.
        left: Box<Expr>,
        /// What stands behind it.
        right: Box<Expr>,
    },
    /// An expression in parentheses.
    Paren(Box<Expr>),
    /// An integer.
    Integer(i64),
    /// An integer over the signed range.
    Unsigned(u64),
    /// A number with a decimal point.
    Number(f64),
    /// `'text'`.
    Text(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A span of time in nanoseconds.
    Duration(i64),
}

/// A function's call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function, in lower case.
    pub name: String,
    /// What it is called with.
    pub args: Vec<Expr>,
}

impl Expr {
    /// Calls a function for the expression and all below it, the outer ones first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        match self {
            Self::Call(call) => call.args.iter().for_each(|arg| arg.walk(visit)),
            Self::Binary { left, right, .. } => {
                left.walk(visit);
                right.walk(visit);
            }
            Self::Paren(inner) => inner.walk(visit),
            _ => {}
        }
    }

    /// Calls a function for the expression and all below it, to change them in place.
    pub fn walk_mut(&mut self, visit: &mut impl FnMut(&mut Expr)) {
        visit(self);
        match self {
            Self::Call(call) => call.args.iter_mut().for_each(|arg| arg.walk_mut(visit)),
            Self::Binary { left, right, .. } => {
                left.walk_mut(visit);
                right.walk_mut(visit);
            }
            Self::Paren(inner) => inner.walk_mut(visit),
            _ => {}
        }
    }

    /// Returns the names that the expression reads, in order.
    #[must_use]
    pub fn refs(&self) -> Vec<&Ref> {
        let mut refs = Vec::new();
        self.walk(&mut |expr| {
            if let Self::Ref(reference) = expr {
                refs.push(reference);
            }
        });
        refs
    }
}

/// What is selected, with the name it gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The expression.
    pub expr: Expr,
    /// The name behind `AS`.
    pub alias: Option<String>,
}

/// A measurement's name or the names that match.
#[derive(Debug, Clone, PartialEq)]
pub enum MeasurementName {
    /// One measurement.
    Exactly(String),
    /// All that match.
    Matching(Pattern),
}

/// Where points come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The database, if it is named.
    pub database: Option<String>,
    /// The retention policy, if it is named.
    pub retention_policy: Option<String>,
    /// The measurement or measurements.
    pub name: MeasurementName,
}

/// What a SELECT reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The store.
    Measurement(Measurement),
    /// Another SELECT's rows.
    Subquery(Box<Select>),
}

/// What stands behind `fill`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// Nothing was written: null.
    Unset,
    /// Empty buckets have null.
    Null,
    /// Empty buckets are left out.
    None,
    /// Empty buckets repeat the one before.
    Previous,
    /// Empty buckets lie on a line between their neighbours.
    Linear,
    /// Empty buckets have this number.
    Number(f64),
    /// Empty buckets have this integer.
    Integer(i64),
}

/// How many rows and series are answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the clauses")]
pub struct Limits {
    pub limit: usize,
    pub offset: usize,
    pub slimit: usize,
    pub soffset: usize,
}

/// `SELECT …`.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// What is selected.
    pub fields: Vec<Field>,
    /// Where it comes from.
    pub sources: Vec<Source>,
    /// The WHERE clause.
    pub condition: Option<Expr>,
    /// The GROUP BY clause.
    pub dimensions: Vec<Expr>,
    /// The fill clause.
    pub fill: Fill,
    /// `ORDER BY time`: whether it stands there, and in which direction.
    pub order: Option<Direction>,
    /// LIMIT, OFFSET, SLIMIT and SOFFSET.
    pub limits: Limits,
    /// The time zone's name.
    pub zone: Option<chrono_tz::Tz>,
}

impl Select {
    /// Says whether the oldest rows come first.
    #[must_use]
    pub fn is_ascending(&self) -> bool {
        self.order != Some(Direction::Descending)
    }
}

/// A direction of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The oldest first.
    Ascending,
    /// The newest first.
    Descending,
}
