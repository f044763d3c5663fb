//! What alerting must remember over a restart: thresholds that were set, alerts that were raised, messages to deliver.
//!
//! One SQLite file, `alerts.sqlite`, in WAL mode with `synchronous=FULL`. Times are seconds since 1970. At most
//! [`ALERTS_KEPT`] alerts are kept, the newest.

use std::{collections::BTreeMap, path::Path, time::Duration};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Alert, Delivery, LikelyCrossing};

/// Enough to look back over weeks of a large fleet; about 3 MB.
pub const ALERTS_KEPT: i64 = 10_000;
/// How long SQLite waits for somebody else's lock, such as a backup's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The layout that this program writes.
const LAYOUT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS thresholds (
        host TEXT NOT NULL, metric TEXT NOT NULL, value REAL, PRIMARY KEY (host, metric)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS alerts (
        id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, metric TEXT NOT NULL, raised_at INTEGER NOT NULL,
        crossing TEXT NOT NULL, delivery TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_at INTEGER NOT NULL, last_error TEXT
    );
    CREATE INDEX IF NOT EXISTS alerts_of_target ON alerts (host, metric, raised_at);
    CREATE INDEX IF NOT EXISTS alerts_to_deliver ON alerts (next_attempt_at) WHERE delivery = 'pending';
";

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite refused.
    #[error("the ledger of alerts: {0}; is the disk full, or the file damaged?")]
    Sqlite(#[from] rusqlite::Error),
    /// A newer program wrote it.
    #[error(
        "the ledger of alerts has layout {found}, and this program knows {LAYOUT}; use the newer program"
    )]
    Layout {
        /// The layout in the file.
        found: i64,
    },
    /// A row does not hold what it should.
    #[error("an alert in the ledger is unreadable: {0}")]
    Row(#[from] serde_json::Error),
}

/// Thresholds and alerts on disk.
pub struct Ledger(Mutex<Connection>);

impl Ledger {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or was written by a newer program.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > LAYOUT {
            return Err(LedgerError::Layout { found });
        }
        connection.execute_batch(TABLES)?;
        connection.pragma_update(None, "user_version", LAYOUT)?;
        Ok(Self(Mutex::new(connection)))
    }

    /// Returns the thresholds that were set for a host; `None` stands for one that was switched off.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn thresholds(&self, host: &str) -> Result<BTreeMap<String, Option<f64>>, LedgerError> {
        let connection = self.0.lock();
        let mut statement =
            connection.prepare_cached("SELECT metric, value FROM thresholds WHERE host = ?1")?;
        let rows = statement.query_map([host], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Sets a host's thresholds; those that are not among them go back to their defaults.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn set_thresholds(
        &self,
        host: &str,
        thresholds: &BTreeMap<String, Option<f64>>,
    ) -> Result<(), LedgerError> {
        let mut connection = self.0.lock();
        let transaction = connection.transaction()?;
        transaction.execute("DELETE FROM thresholds WHERE host = ?1", [host])?;
        for (metric, value) in thresholds {
            transaction.execute(
                "INSERT INTO thresholds (host, metric, value) VALUES (?1, ?2, ?3)",
                params![host, metric, value],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Raises an alert unless its target raised one within the cooldown; says whether it did.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn raise(
        &self,
        crossing: &LikelyCrossing,
        now_s: i64,
        cooldown_s: i64,
        delivery: Delivery,
    ) -> Result<bool, LedgerError> {
        let mut connection = self.0.lock();
        let transaction = connection.transaction()?;
        let quiet_until_s: Option<i64> = transaction
            .query_row(
                "SELECT max(raised_at) + ?3 FROM alerts WHERE host = ?1 AND metric = ?2",
                params![crossing.host, crossing.metric, cooldown_s],
                |row| row.get(0),
            )
            .optional()?
            .flatten();
        if quiet_until_s.is_some_and(|until_s| now_s < until_s) {
            return Ok(false);
        }
        transaction.execute(
            "INSERT INTO alerts (host, metric, raised_at, crossing, delivery, next_attempt_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?3)",
            params![
                crossing.host,
                crossing.metric,
                now_s,
                serde_json::to_string(crossing)?,
                delivery.word()
            ],
        )?;
        transaction.execute(
            "DELETE FROM alerts WHERE id <= (SELECT max(id) FROM alerts) - ?1",
            [ALERTS_KEPT],
        )?;
        transaction.commit()?;
        Ok(true)
    }

    /// Returns alerts, the newest first; of one host if it is named.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn alerts(&self, host: Option<&str>, limit: u32) -> Result<Vec<Alert>, LedgerError> {
        self.select(
            "WHERE ?1 IS NULL OR host = ?1 ORDER BY id DESC LIMIT ?2",
            params![host, limit],
        )
    }

    /// Returns alerts whose message should be tried now, the oldest first.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn due(&self, now_s: i64, limit: u32) -> Result<Vec<Alert>, LedgerError> {
        self.select(
            "WHERE delivery = 'pending' AND next_attempt_at <= ?1 ORDER BY id LIMIT ?2",
            params![now_s, limit],
        )
    }

    /// Notes how a try to deliver ended.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn note_attempt(
        &self,
        id: i64,
        delivery: Delivery,
        error: Option<&str>,
        next_attempt_s: i64,
    ) -> Result<(), LedgerError> {
        self.0.lock().execute(
            "UPDATE alerts SET delivery = ?2, attempts = attempts + 1, last_error = ?3, next_attempt_at = ?4
             WHERE id = ?1",
            params![id, delivery.word(), error, next_attempt_s],
        )?;
        Ok(())
    }

    fn select(
        &self,
        condition: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<Alert>, LedgerError> {
        let connection = self.0.lock();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT id, raised_at, crossing, delivery, attempts, last_error FROM alerts {condition}"
        ))?;
        let mut rows = statement.query(values)?;
        let mut alerts = Vec::new();
        while let Some(row) = rows.next()? {
            alerts.push(alert_of(row)?);
        }
        Ok(alerts)
    }
}

fn alert_of(row: &Row<'_>) -> Result<Alert, LedgerError> {
    let crossing: String = row.get(2)?;
    let delivery: String = row.get(3)?;
    Ok(Alert {
        id: row.get(0)?,
        raised_at: DateTime::<Utc>::from_timestamp(row.get(1)?, 0).unwrap_or_default(),
        crossing: serde_json::from_str(&crossing)?,
        delivery: Delivery::of_word(&delivery),
        attempts: row.get(4)?,
        last_error: row.get(5)?,
    })
}

impl Delivery {
    fn word(self) -> &'static str {
        match self {
            Self::Unaddressed => "unaddressed",
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    fn of_word(word: &str) -> Self {
        match word {
            "pending" => Self::Pending,
            "delivered" => Self::Delivered,
            "failed" => Self::Failed,
            _ => Self::Unaddressed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::crossing;

    fn ledger(folder: &tempfile::TempDir) -> Ledger {
        Ledger::open(&folder.path().join("alerts.sqlite")).expect("a ledger")
    }

    #[test]
    fn a_target_raises_one_alert_a_cooldown_also_over_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let (disk, cpu) = (crossing("a", "disk"), crossing("a", "cpu"));
        let first = ledger(&folder);
        assert!(
            first
                .raise(&disk, 1_000, 3_600, Delivery::Pending)
                .expect("raised")
        );
        assert!(
            !first
                .raise(&disk, 4_599, 3_600, Delivery::Pending)
                .expect("quiet")
        );
        drop(first);
        let second = ledger(&folder);
        assert!(
            !second
                .raise(&disk, 4_599, 3_600, Delivery::Pending)
                .expect("quiet")
        );
        assert!(
            second
                .raise(&cpu, 4_599, 3_600, Delivery::Pending)
                .expect("another target")
        );
        assert!(
            second
                .raise(&disk, 4_600, 3_600, Delivery::Pending)
                .expect("after the cooldown")
        );
        assert_eq!(second.alerts(Some("a"), 10).expect("alerts").len(), 3);
        assert_eq!(second.alerts(Some("b"), 10).expect("alerts"), []);
    }

    #[test]
    fn a_message_is_due_until_it_is_delivered() {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = ledger(&folder);
        ledger
            .raise(&crossing("a", "disk"), 1_000, 60, Delivery::Pending)
            .expect("raised");
        let due = ledger.due(1_000, 10).expect("due");
        assert_eq!((due.len(), due[0].attempts), (1, 0));
        ledger
            .note_attempt(due[0].id, Delivery::Pending, Some("refused"), 1_010)
            .expect("noted");
        assert_eq!(ledger.due(1_009, 10).expect("due"), []);
        let due = ledger.due(1_010, 10).expect("due");
        assert_eq!(
            (due[0].attempts, due[0].last_error.as_deref()),
            (1, Some("refused"))
        );
        ledger
            .note_attempt(due[0].id, Delivery::Delivered, None, 0)
            .expect("noted");
        assert_eq!(ledger.due(9_999, 10).expect("due"), []);
    }

    #[test]
    fn thresholds_are_replaced_as_a_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = ledger(&folder);
        let set = |pairs: &[(&str, Option<f64>)]| {
            pairs
                .iter()
                .map(|(metric, value)| ((*metric).to_owned(), *value))
                .collect()
        };
        let first: BTreeMap<_, _> = set(&[("cpu", Some(80.0)), ("disk", None)]);
        ledger.set_thresholds("a", &first).expect("set");
        assert_eq!(ledger.thresholds("a").expect("read"), first);
        ledger
            .set_thresholds("a", &set(&[("disk", Some(70.0))]))
            .expect("set");
        assert_eq!(
            ledger.thresholds("a").expect("read"),
            set(&[("disk", Some(70.0))])
        );
        assert!(ledger.thresholds("b").expect("read").is_empty());
    }
}
