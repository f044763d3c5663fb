//! The requests that batches came in, for the log.

use std::fmt::{self, Display, Formatter};

use super::lanes::Numbered;

/// So many are named; a load may hold thousands.
const NAMED_MOST: usize = 3;

/// The ids of the requests that batches came in: the first few, and how many more there are.
pub(super) struct Requests<'a>(pub(super) &'a [Numbered]);

impl Display for Requests<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut before = "";
        let mut ids = self
            .0
            .iter()
            .map(|(_, batch)| batch.provenance.request_id.as_str())
            // A replay brings many batches in one request, and what an earlier build journalled has no id.
            .filter(|id| !id.is_empty() && std::mem::replace(&mut before, id) != *id);
        for (at, id) in ids.by_ref().take(NAMED_MOST).enumerate() {
            let between = if at == 0 { "" } else { ", " };
            write!(out, "{between}{id}")?;
        }
        match ids.count() {
            0 => Ok(()),
            more => write!(out, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        body::Encoding,
        journal::{Batch, Provenance},
        lines::Precision,
    };

    fn named(ids: &[&str]) -> String {
        let batch = |id: &&str| Batch {
            database: "d".into(),
            retention_policy: None,
            precision: Precision::Seconds,
            received_ns: 7,
            provenance: Provenance {
                request_id: (*id).to_owned(),
                ..Provenance::default()
            },
            encoding: Encoding::Identity,
            body: Bytes::new(),
            refused: Vec::new(),
            verbatim_lines: None,
            series: Vec::new(),
        };
        let batches: Vec<Numbered> = (1..).zip(ids.iter().map(batch).map(Box::new)).collect();
        Requests(&batches).to_string()
    }

    #[test]
    fn the_first_few_are_named_and_the_rest_is_counted() {
        assert_eq!(named(&["a", "b", "c"]), "a, b, c");
        assert_eq!(named(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
        assert_eq!(named(&["a", "a", "", "a", "b"]), "a, b");
        assert_eq!(named(&["", ""]), "");
    }
}
