//! The clock, injected so that tests choose what time it is.

use std::sync::Arc;

/// Tells the time in nanoseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
