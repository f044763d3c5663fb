//! What each dialect's query string says: where a batch goes, and in which unit its timestamps are.

use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

use crate::{
    error::{Dialect, Failure},
    lines::Precision,
};

/// The longest name of a database or retention policy: what file systems and the store take.
const NAME_MAX_BYTES: usize = 255;

/// Where a batch goes, and in which unit its timestamps are.
pub(super) struct Destination {
    pub(super) database: String,
    pub(super) retention_policy: Option<String>,
    pub(super) precision: Precision,
}

/// A dialect's query string.
pub(super) trait Parameters: DeserializeOwned {
    /// The shape in which errors are answered.
    const DIALECT: Dialect;

    /// Reads the destination.
    ///
    /// # Errors
    ///
    /// Names the parameter that is missing or wrong.
    fn destination(self) -> Result<Destination, Failure>;
}

/// What a push says in the dialect of InfluxDB 2.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WriteV2 {
    /// The bucket: `telegraf`, or `telegraf/week` for the retention policy `week` of the database `telegraf`.
    #[param(example = "telegraf", required = true, min_length = 1)]
    bucket: Option<String>,
    /// The organisation; any is taken.
    #[param(example = "headroom")]
    #[serde(rename = "org")]
    _org: Option<String>,
    /// The unit of the timestamps: `ns` (default), `us`, `ms` or `s`.
    #[param(example = "ns", pattern = "^(ns|us|ms|s)$")]
    precision: Option<String>,
}

/// What a push says in the dialect of InfluxDB 1.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WriteV1 {
    /// The database.
    #[param(example = "telegraf", required = true, min_length = 1)]
    db: Option<String>,
    /// The retention policy; without it the database's default.
    #[param(example = "autogen")]
    rp: Option<String>,
    /// The unit of the timestamps: `n` (default), `u`, `ms`, `s`, `m` or `h`.
    #[param(example = "s", pattern = "^(n|u|ms|s|m|h)$")]
    precision: Option<String>,
    /// The user's name, which is not looked at.
    #[serde(rename = "u")]
    _u: Option<String>,
    /// The token as a password.
    #[serde(rename = "p")]
    _p: Option<String>,
}

/// What a push says in the dialect of InfluxDB 3.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WriteV3 {
    /// The database.
    #[param(example = "telegraf", required = true, min_length = 1)]
    db: Option<String>,
    /// The unit of the timestamps: `nanosecond` (default), `microsecond`, `millisecond` or `second`.
    #[param(example = "nanosecond", pattern = "^(nano|micro|milli)?second$")]
    precision: Option<String>,
}

impl Parameters for WriteV2 {
    const DIALECT: Dialect = Dialect::V2;

    fn destination(self) -> Result<Destination, Failure> {
        let bucket = self.bucket.unwrap_or_default();
        let (database, policy) = match bucket.split_once('/') {
            Some((database, policy)) => (database.to_owned(), Some(policy.to_owned())),
            None => (bucket, None),
        };
        let precision = Precision::of_v2(self.precision.as_deref().unwrap_or_default())?;
        Destination::named("bucket", database, policy, precision)
    }
}

impl Parameters for WriteV1 {
    const DIALECT: Dialect = Dialect::V1;

    fn destination(self) -> Result<Destination, Failure> {
        let precision = Precision::of_v1(self.precision.as_deref().unwrap_or_default())?;
        Destination::named("db", self.db.unwrap_or_default(), self.rp, precision)
    }
}

impl Parameters for WriteV3 {
    const DIALECT: Dialect = Dialect::V3;

    fn destination(self) -> Result<Destination, Failure> {
        let precision = Precision::of_v3(self.precision.as_deref().unwrap_or_default())?;
        Destination::named("db", self.db.unwrap_or_default(), None, precision)
    }
}

impl Destination {
    /// Holds the names that a parameter gave to what may be a name.
    fn named(
        parameter: &str,
        database: String,
        retention_policy: Option<String>,
        precision: Precision,
    ) -> Result<Self, Failure> {
        if database.is_empty() {
            return Err(Failure::Invalid(format!(
                "the parameter {parameter} is missing; write {parameter}=telegraf"
            )));
        }
        let retention_policy = retention_policy.filter(|policy| !policy.is_empty());
        let longest = database
            .len()
            .max(retention_policy.as_ref().map_or(0, String::len));
        if longest > NAME_MAX_BYTES {
            return Err(Failure::Invalid(format!(
                "the parameter {parameter} is {longest} bytes long; at most {NAME_MAX_BYTES} are taken"
            )));
        }
        Ok(Self {
            database,
            retention_policy,
            precision,
        })
    }
}
