//! To which points a token is bound: buckets, measurements, a host.

use serde::{Deserialize, Serialize};

use crate::glob::Glob;

/// What a token is bound to; an empty list is no bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Buckets: `telegraf` is the database with all its retention policies, `telegraf/week` one policy of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<String>,
    /// Measurements that may be written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measurements: Vec<Glob>,
    /// The value of the tag `host` that every line must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// A bucket is none of those that a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token is bound to the buckets {}", buckets.join(", "))]
pub struct OutOfBounds {
    /// The buckets that would be right.
    pub buckets: Vec<String>,
}

impl Bounds {
    /// No bounds.
    pub const NONE: Self = Self {
        buckets: Vec::new(),
        measurements: Vec::new(),
        host: None,
    };

    /// Says whether lines need to be looked at.
    #[must_use]
    pub fn hold_for_lines(&self) -> bool {
        !self.measurements.is_empty() || self.host.is_some()
    }

    /// Says whether a database, or one retention policy of it, is within.
    #[must_use]
    pub fn has_bucket(&self, database: &str, retention_policy: Option<&str>) -> bool {
        let is_it = |bucket: &String| match bucket.split_once('/') {
            None => bucket == database,
            Some((name, policy)) => name == database && Some(policy) == retention_policy,
        };
        self.buckets.is_empty() || self.buckets.iter().any(is_it)
    }

    /// Says whether a database, or any retention policy of it, is within.
    #[must_use]
    pub fn has_database(&self, database: &str) -> bool {
        let is_its = |bucket: &String| bucket.split('/').next() == Some(database);
        self.buckets.is_empty() || self.buckets.iter().any(is_its)
    }

    /// Holds a request to the buckets.
    ///
    /// # Errors
    ///
    /// Names the buckets that would be right.
    pub fn check_bucket(
        &self,
        database: &str,
        retention_policy: Option<&str>,
    ) -> Result<(), OutOfBounds> {
        if self.has_bucket(database, retention_policy) {
            return Ok(());
        }
        Err(OutOfBounds {
            buckets: self.buckets.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_bound_with_its_policies_and_a_policy_alone() {
        let bounds = Bounds {
            buckets: vec!["telegraf".into(), "other/week".into()],
            ..Bounds::NONE
        };
        for (database, policy, within) in [
            ("telegraf", None, true),
            ("telegraf", Some("week"), true),
            ("other", Some("week"), true),
            ("other", None, false),
            ("third", None, false),
        ] {
            let checked = bounds.check_bucket(database, policy);
            assert_eq!(checked.is_ok(), within, "{database} {policy:?}");
        }
        let listed = ["telegraf", "other", "third"].map(|name| bounds.has_database(name));
        assert_eq!(listed, [true, true, false]);
    }
}
