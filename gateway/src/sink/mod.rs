//! Where accepted points go, and where queries about them are answered.

mod embedded;

pub use embedded::Embedded;

use crate::upstream::Upstream;

/// Where accepted points go.
#[derive(Clone)]
pub enum Sink {
    /// The embedded store.
    Embedded(Embedded),
    /// An InfluxDB that is fed from the journal.
    Influx(Upstream),
}
