//! InfluxQL, the one language of reading: text becomes a tree, a plan, and rows.
//!
//! The stages, in the order in which a query passes them:
//!
//! 1. [`lexer`](self) cuts the text, [`parser`](self) makes the [`ast`] of it, which prints back to InfluxQL.
//! 2. `condition` takes the span of time out of WHERE; `validate` checks the rules; `rewrite` expands wildcards; `plan`
//!    resolves sources and types.
//! 3. `source` reads rows, grouped by tags; `function` runs aggregates, selectors and transformations over them, `merge`
//!    brings series into the order of time, `fill` fills gaps; `select` calculates the rows of the answer, `raw` those without
//!    functions, some at a time.
//! 4. [`answer`] writes JSON or CSV, as a whole or in chunks.
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
mod raw;
mod rewrite;
mod select;
mod show;
mod source;
mod subquery;
mod validate;
mod window;

use std::sync::Arc;

use answer::{Chunks, QueryAnswer, Series, StatementAnswer, Table};
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
    /// The databases that SHOW DATABASES lists; `None`: all of the store's.
    pub listed_databases: Option<Vec<String>>,
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
    let end = End::new(limits, stop);
    let mut answer = QueryAnswer::default();
    each_statement(request, |mut result, statement| {
        if let Some(statement) = statement {
            match run(
                statement,
                &Context::new(store, now_ns, request, limits, &end),
            ) {
                Ok(series) => result.series = series,
                Err(error) => result.error = Some(error.to_string()),
            }
        }
        let failed = result.error.is_some();
        answer.statements.push(result);
        failed
    });
    answer
}

/// Answers a query in chunks that are sent as they are found; `send` says whether somebody still takes them. An answer of
/// any length needs the memory of some chunks, if it is one of plain rows.
pub fn stream(
    store: &Store,
    request: &QueryRequest,
    limits: QueryLimits,
    stop: &CancellationToken,
    now_ns: i64,
    mut chunks: Chunks<'_>,
) {
    let end = End::new(limits, stop);
    each_statement(request, |result, statement| {
        let error = result.error.clone();
        chunks.begin(result);
        let outcome = statement.map_or(Ok(()), |statement| {
            let context = Context::new(store, now_ns, request, limits, &end);
            stream_statement(statement, &context, &mut chunks)
        });
        let error = outcome.err().map(|error| error.to_string()).or(error);
        let failed = error.is_some();
        chunks.end(error);
        failed
    });
    chunks.finish();
}

fn stream_statement(
    statement: &Statement,
    context: &Context<'_>,
    chunks: &mut Chunks<'_>,
) -> Outcome<()> {
    if let Statement::Select(select) = statement {
        let rows = Some(chunks.rows());
        return rows_each(select, rows, context, &mut |series, goes_on| {
            chunks.push(series, goes_on)
        });
    }
    for series in run(statement, context)? {
        chunks.push(series, false)?;
    }
    Ok(())
}

/// Shows every statement with the frame of its answer, until one is said to have failed; `None` where it is not run.
fn each_statement<'a>(
    request: &'a QueryRequest,
    mut answer: impl FnMut(StatementAnswer, Option<&'a Statement>) -> bool,
) {
    let count = request.statements.len();
    for (id, statement) in request.statements.iter().enumerate() {
        let mut frame = StatementAnswer {
            id,
            ..StatementAnswer::default()
        };
        if let Statement::Select(select) = statement {
            frame.zone = select.zone;
        }
        if statement.changes() && request.read_only {
            frame.warning = Some(format!(
                "deprecated use of '{statement}' in a read only context, please use a POST request instead"
            ));
        }
        if answer(frame, Some(statement)) {
            // InfluxDB answers so: the statements between the failed one and the last were not executed.
            for id in id + 1..count.saturating_sub(1) {
                let frame = StatementAnswer {
                    id,
                    error: Some("not executed".to_owned()),
                    ..StatementAnswer::default()
                };
                answer(frame, None);
            }
            return;
        }
    }
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
    let mut all = Vec::new();
    rows_each(select, None, context, &mut |series, _| {
        all.push(series);
        Ok(())
    })?;
    Ok(all)
}

/// Gives out the series of a SELECT, in pieces of so many rows where that is asked; `true`: it goes on with the last one.
fn rows_each(
    select: &Select,
    pieces: Option<usize>,
    context: &Context<'_>,
    emit: &mut dyn FnMut(Series, bool) -> Outcome<()>,
) -> Outcome<()> {
    let prepared = plan::prepare(select, None, context)?;
    let columns: Arc<[String]> = prepared.columns.iter().cloned().collect();
    select::each(&prepared, None, pieces, context, &mut |group, goes_on| {
        context.count_rows(group.rows.len())?;
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
        let series = Series {
            name: group.key.name,
            tags: group.key.tags,
            columns: Arc::clone(&columns),
            rows: Table::Timed(group.rows),
        };
        emit(series, goes_on)
    })
}
