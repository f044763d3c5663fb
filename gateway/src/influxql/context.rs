//! What every stage of a query needs: the store, the clock, and the bounds that the query must keep.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use super::error::{Outcome, StatementError};
use crate::store::Store;

/// A query may take this long: Grafana gives up after 30 seconds too.
const TIME_MAX_DEFAULT: Duration = Duration::from_secs(30);
/// Buckets that one statement may make: a month by the second for one series.
const BUCKETS_MAX_DEFAULT: usize = 3_000_000;
/// Values that one statement may hold: about a gigabyte of cells.
const VALUES_MAX_DEFAULT: usize = 40_000_000;
/// Queries that run at once; more wait for none and are refused.
const CONCURRENT_MAX_DEFAULT: usize = 64;

/// The bounds of a query.
#[derive(Debug, Clone, Copy)]
pub struct QueryLimits {
    /// How long a query may run.
    pub time_max: Duration,
    /// How many buckets of `GROUP BY time` a statement may make.
    pub buckets_max: usize,
    /// How many values a statement may read.
    pub values_max: usize,
    /// How many queries may run at once.
    pub concurrent_max: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            time_max: TIME_MAX_DEFAULT,
            buckets_max: BUCKETS_MAX_DEFAULT,
            values_max: VALUES_MAX_DEFAULT,
            concurrent_max: CONCURRENT_MAX_DEFAULT,
        }
    }
}

/// A running statement.
pub(super) struct Context<'a> {
    pub(super) store: &'a Store,
    pub(super) now_ns: i64,
    pub(super) database: Option<&'a str>,
    pub(super) policy: Option<&'a str>,
    limits: QueryLimits,
    deadline: Instant,
    buckets: Cell<usize>,
    values: Cell<usize>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        store: &'a Store,
        now_ns: i64,
        database: Option<&'a str>,
        policy: Option<&'a str>,
        limits: QueryLimits,
        deadline: Instant,
    ) -> Self {
        Self {
            store,
            now_ns,
            database,
            policy,
            limits,
            deadline,
            buckets: Cell::new(0),
            values: Cell::new(0),
        }
    }

    /// Fails when the query has run for too long.
    pub(super) fn check(&self) -> Outcome<()> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        Err(StatementError::OverLimit(format!(
            "the query took longer than {} s, the limit of one query; ask for less time or fewer series",
            self.limits.time_max.as_secs_f64()
        )))
    }

    /// Counts buckets, and fails over the limit.
    pub(super) fn count_buckets(&self, buckets: usize) -> Outcome<()> {
        let total = self.buckets.get() + buckets;
        self.buckets.set(total);
        if total <= self.limits.buckets_max {
            return Ok(());
        }
        Err(StatementError::OverLimit(format!(
            "the query makes more than {} buckets, the limit of one statement; take a longer interval or less time",
            self.limits.buckets_max
        )))
    }

    /// Counts values, and fails over the limit.
    pub(super) fn count_values(&self, values: usize) -> Outcome<()> {
        let total = self.values.get() + values;
        self.values.set(total);
        if total <= self.limits.values_max {
            return Ok(());
        }
        Err(StatementError::OverLimit(format!(
            "the query reads more than {} values, the limit of one statement; ask for less time or fewer series",
            self.limits.values_max
        )))
    }
}
