//! InfluxQL, the one language of reading: text becomes a tree, a plan, and rows.
//!
//! The stages, in the order in which a query passes them:
//!
//! 1. [`lexer`](self) cuts the text, [`parser`](self) makes the [`ast`] of it, which prints back to InfluxQL.
//! 2. `condition` takes the span of time out of WHERE; `validate` checks the rules; `rewrite` expands wildcards; `plan`
//!    resolves sources and types.
//! 3. `source` reads rows, grouped by tags; `function` runs aggregates, selectors and transformations over them, `merge`
//!    brings series into the order of time, `fill` fills gaps; `select` calculates the rows of the answer.
//! 4. [`answer`] writes JSON or CSV.
//!
//! What InfluxDB 1.x answers is what this answers, down to its surprises (`Where 1.6 is plainly wrong` is said where it
//! stands). Text that is no InfluxQL is a [`ParseError`], for status 400; all else is an error within the answer.

mod admin;
pub mod answer;
pub mod ast;
mod condition;
mod context;
mod error;
mod explain;
mod formula;
mod function;
mod lexer;
mod merge;
mod names;
mod parser;
mod plan;
mod predicate;
mod print;
mod rewrite;
mod select;
mod show;
mod source;
mod subquery;
mod validate;
mod window;

use std::{sync::Arc, time::Instant};

use answer::{QueryAnswer, Series, StatementAnswer, Table};
use ast::{Select, Statement};
pub use context::{
    BUCKETS_MAX_DEFAULT, CONCURRENT_MAX_DEFAULT, QueryLimits, TIMEOUT_S_DEFAULT, VALUES_MAX_DEFAULT,
};
use context::{Context, End};
use error::Outcome;
pub use error::{ParseError, StatementError};
pub use parser::parse;
pub use predicate::delete;

use tokio_util::sync::CancellationToken;

use crate::store::{Store, Value};

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct QueryRequest {
    /// The statements.
    pub statements: Vec<Statement>,
    /// The database where a statement names none.
    pub database: Option<String>,
    /// The retention policy where a statement names none.
    pub retention_policy: Option<String>,
    /// Whether the request may not change anything (GET); a change is carried out with a warning, as InfluxDB does.
    pub read_only: bool,
}

/// Answers a query: every statement until one fails, or the token is cancelled.
#[must_use]
pub fn execute(
    store: &Store,
    request: &QueryRequest,
    limits: QueryLimits,
    stop: &CancellationToken,
    now_ns: i64,
) -> QueryAnswer {
    let end = End {
        deadline: Instant::now() + limits.time_max,
        stop: stop.clone(),
    };
    let mut answer = QueryAnswer::default();
    let count = request.statements.len();
    for (id, statement) in request.statements.iter().enumerate() {
        let database = request.database.as_deref();
        let policy = request.retention_policy.as_deref();
        let context = Context::new(store, now_ns, database, policy, limits, &end);
        let mut result = StatementAnswer {
            id,
            ..StatementAnswer::default()
        };
        if let Statement::Select(select) = statement {
            result.zone = select.zone;
        }
        if statement.changes() && request.read_only {
            result.warning = Some(format!(
                "deprecated use of '{statement}' in a read only context, please use a POST request instead"
            ));
        }
        match run(statement, &context) {
            Ok(series) => result.series = series,
            Err(error) => result.error = Some(error.to_string()),
        }
        let failed = result.error.is_some();
        answer.statements.push(result);
        if failed {
            // InfluxDB answers so: the statements between the failed one and the last were not executed.
            for id in id + 1..count.saturating_sub(1) {
                answer.statements.push(StatementAnswer {
                    id,
                    error: Some("not executed".to_owned()),
                    ..StatementAnswer::default()
                });
            }
            break;
        }
    }
    answer
}

fn run(statement: &Statement, context: &Context<'_>) -> Outcome<Vec<Series>> {
    match statement {
        Statement::Select(select) => rows(select, context),
        Statement::Explain { analyze, select } => explain::explain(*analyze, select, context),
        Statement::ShowDatabases => Ok(show::databases(context)),
        Statement::ShowRetentionPolicies { database } => {
            show::policies(database.as_deref(), context)
        }
        Statement::ShowMeasurements { name, clauses } => {
            show::measurements(name.as_ref(), clauses, context)
        }
        Statement::ShowTagKeys(clauses) => show::tag_keys(clauses, context),
        Statement::ShowTagValues { keys, clauses } => show::tag_values(keys, clauses, context),
        Statement::ShowFieldKeys(clauses) => show::field_keys(clauses, context),
        Statement::ShowSeries(clauses) => show::series_keys(clauses, context),
        Statement::ShowCardinality {
            counted,
            exact,
            clauses,
        } => show::cardinality(counted, *exact, clauses, context),
        Statement::ShowContinuousQueries => Ok(show::continuous_queries(context)),
        Statement::Unsupported { text, instead } => Err(StatementError::invalid(format!(
            "{text} is not supported by the embedded store; {instead}"
        ))),
        _ => admin::change(statement, context).map(|()| Vec::new()),
    }
}

fn rows(select: &Select, context: &Context<'_>) -> Outcome<Vec<Series>> {
    let prepared = plan::prepare(select, None, context)?;
    let columns: Arc<[String]> = prepared.columns.iter().cloned().collect();
    let mut series = Vec::new();
    for group in select::run(&prepared, None, context)? {
        let has_infinity = |value: &Option<Value>| matches!(value, Some(Value::Float(value)) if value.is_infinite());
        if group
            .rows
            .iter()
            .any(|row| row.cells.iter().any(has_infinity))
        {
            return Err(StatementError::invalid(
                "the answer holds an infinity, which JSON cannot say; leave out what the function is not defined for",
            ));
        }
        series.push(Series {
            name: group.key.name,
            tags: group.key.tags,
            columns: Arc::clone(&columns),
            rows: Table::Timed(group.rows),
        });
    }
    Ok(series)
}
