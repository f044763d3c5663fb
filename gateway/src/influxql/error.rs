//! Why a query was not answered.

use super::ast::Position;

/// Text that is no InfluxQL: answered with status 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing query: {message}")]
pub struct ParseError {
    message: String,
}

impl ParseError {
    pub(super) fn at(at: Position, message: impl std::fmt::Display) -> Self {
        Self {
            message: format!("{message} at line {}, char {}", at.line, at.column),
        }
    }

    /// Builds a message that names the place itself.
    pub(super) fn bare(at: Position, message: impl std::fmt::Display) -> Self {
        Self::at(at, message)
    }

    pub(super) fn expected(found: &str, at: Position, expected: &[&str]) -> Self {
        Self::at(
            at,
            format!("found {found}, expected {}", expected.join(", ")),
        )
    }
}

/// A statement that was understood and cannot be answered: status 200 with an `error` in its result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The statement contradicts itself or the grammar's rules.
    #[error("{0}")]
    Invalid(String),
    /// No database was named.
    #[error("database name required")]
    DatabaseMissing,
    /// The database does not exist.
    #[error("database not found: {0}")]
    DatabaseUnknown(String),
    /// The retention policy does not exist.
    #[error("retention policy not found: {0}")]
    PolicyUnknown(String),
    /// The query's bounds were reached.
    #[error("{0}")]
    OverLimit(String),
    /// Nobody waits for the answer any more.
    #[error("the query was stopped, because its client hung up")]
    Cancelled,
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Store(String),
}

impl StatementError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }
}

/// The answer of a step that may end a statement.
pub(super) type Outcome<T> = Result<T, StatementError>;
