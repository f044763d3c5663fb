//! What every stage of a query needs: the store, the clock, and the bounds that the query must keep.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::QueryRequest;
use super::error::{Outcome, StatementError};
use crate::store::Store;

/// A query may take this many seconds: Grafana gives up then too.
pub const TIMEOUT_S_DEFAULT: u32 = 30;
/// Buckets that one statement may make: a month by the second for one series.
pub const BUCKETS_MAX_DEFAULT: u32 = 3_000_000;
/// Values that one statement may hold: about a gigabyte of cells.
pub const VALUES_MAX_DEFAULT: u32 = 40_000_000;
/// Queries that run at once: some dashboards' worth, and each has a thread and its values in memory.
pub const CONCURRENT_MAX_DEFAULT: u32 = 64;

/// Buckets that are made before it is looked whether the query has to end.
const BUCKETS_BETWEEN_CHECKS: usize = 16_384;

/// The bounds of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// How long a query may run.
    pub time_max: Duration,
    /// How many buckets of `GROUP BY time` a statement may make.
    pub buckets_max: usize,
    /// How many values a statement may read.
    pub values_max: usize,
    /// How many rows the answer of a SELECT may have; `None`: any number.
    pub rows_max: Option<usize>,
    /// How many queries may run at once.
    pub concurrent_max: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            time_max: Duration::from_secs(TIMEOUT_S_DEFAULT.into()),
            buckets_max: BUCKETS_MAX_DEFAULT as usize,
            values_max: VALUES_MAX_DEFAULT as usize,
            rows_max: None,
            concurrent_max: CONCURRENT_MAX_DEFAULT as usize,
        }
    }
}

/// When a query ends at the latest.
pub(super) struct End {
    pub(super) deadline: Instant,
    pub(super) stop: CancellationToken,
}

impl End {
    pub(super) fn new(limits: QueryLimits, stop: &CancellationToken) -> Self {
        Self {
            deadline: Instant::now() + limits.time_max,
            stop: stop.clone(),
        }
    }
}

/// A running statement.
pub(super) struct Context<'a> {
    pub(super) store: &'a Store,
    pub(super) now_ns: i64,
    pub(super) database: Option<&'a str>,
    pub(super) policy: Option<&'a str>,
    pub(super) listed_databases: Option<&'a [String]>,
    limits: QueryLimits,
    end: &'a End,
    buckets: Cell<usize>,
    values: Cell<usize>,
    rows: Cell<usize>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        store: &'a Store,
        now_ns: i64,
        request: &'a QueryRequest,
        limits: QueryLimits,
        end: &'a End,
    ) -> Self {
        Self {
            store,
            now_ns,
            database: request.database.as_deref(),
            policy: request.retention_policy.as_deref(),
            listed_databases: request.listed_databases.as_deref(),
            limits,
            end,
            buckets: Cell::new(0),
            values: Cell::new(0),
            rows: Cell::new(0),
        }
    }

    /// Fails when the query has run for too long, or nobody waits for it any more.
    pub(super) fn check(&self) -> Outcome<()> {
        if self.end.stop.is_cancelled() {
            return Err(StatementError::Cancelled);
        }
        if Instant::now() < self.end.deadline {
            return Ok(());
        }
        Err(StatementError::OverLimit(format!(
            "the query took longer than {} s, the limit of one query; ask for less time or fewer series, or raise HEADROOM_QUERY_TIMEOUT_S",
            self.limits.time_max.as_secs_f64()
        )))
    }

    /// Counts buckets, and fails over the limit, or when the query has to end.
    pub(super) fn count_buckets(&self, buckets: usize) -> Outcome<()> {
        let total = self.buckets.get() + buckets;
        self.buckets.set(total);
        if total % BUCKETS_BETWEEN_CHECKS < buckets {
            self.check()?;
        }
        if total <= self.limits.buckets_max {
            return Ok(());
        }
        Err(StatementError::OverLimit(format!(
            "the query makes more than {} buckets, the limit of one statement; take a longer interval or less time, or raise HEADROOM_QUERY_MAX_BUCKETS",
            self.limits.buckets_max
        )))
    }

    /// Returns how many values were read.
    pub(super) fn values_read(&self) -> usize {
        self.values.get()
    }

    /// Counts values, and fails over the limit.
    pub(super) fn count_values(&self, values: usize) -> Outcome<()> {
        let total = self.values.get() + values;
        self.values.set(total);
        if total <= self.limits.values_max {
            return Ok(());
        }
        Err(StatementError::OverLimit(format!(
            "the query reads more than {} values, the limit of one statement; ask for less time or fewer series, or raise HEADROOM_QUERY_MAX_VALUES",
            self.limits.values_max
        )))
    }

    /// Counts rows of the answer, and fails over the limit.
    pub(super) fn count_rows(&self, rows: usize) -> Outcome<()> {
        let total = self.rows.get() + rows;
        self.rows.set(total);
        match self.limits.rows_max {
            Some(most) if total > most => Err(StatementError::OverLimit(format!(
                "the answer has more than {most} rows, the limit of one statement; ask for less time, fewer series or a longer \
                 interval, give a LIMIT, or raise HEADROOM_QUERY_MAX_ROWS"
            ))),
            _ => Ok(()),
        }
    }
}
