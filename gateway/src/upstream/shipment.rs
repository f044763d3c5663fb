//! Batches that are sent together, as their clients wrote them.
//!
//! Bodies of one bucket, precision and encoding stand one behind the other in a single request: text behind text, gzip
//! member behind gzip member, nothing unpacked. A newline between them ends a last line that has none.

use std::{collections::VecDeque, slice};

use bytes::Bytes;

use super::{Upstream, Version, lanes::Numbered, outgoing::spoken, write::Payload};
use crate::{
    body::{self, Encoding},
    journal::Batch,
    lines::Precision,
};

/// A request grows up to here: large enough that its overhead is small beside it, small enough for every server's limit,
/// of which InfluxDB 3's is the least (`max-http-request-size`, 10 MiB).
pub(super) const TEXT_MAX_BYTES: usize = 8 << 20;
/// Packed it holds more lines, which some servers unpack in memory.
const GZIP_MAX_BYTES: usize = 4 << 20;

/// A newline as a gzip member: header, one stored block, its checksum and length (RFC 1952).
const NEWLINE_GZIP: &[u8] =
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x01\0\xfe\xff\n\x93\x06\xd7\x32\x01\0\0\0";

/// Batches that are sent together.
pub(super) struct Shipment {
    pub(super) bucket: String,
    pub(super) precision: Precision,
    pub(super) encoding: Encoding,
    /// How many lines they have together.
    pub(super) lines: u64,
    /// The batches with their sequences, at least one.
    pub(super) batches: Vec<Numbered>,
    size_bytes: usize,
}

/// What goes out of a lane at once.
pub(super) enum Load {
    /// Batches as they came.
    Together(Shipment),
    /// A batch of which not every line may be sent as it came.
    Rewritten(Numbered),
}

impl Load {
    /// Takes from a queue that is not empty as much as fits into one request.
    pub(super) fn take(
        queue: &mut VecDeque<Numbered>,
        upstream: &Upstream,
        version: Version,
    ) -> Option<Self> {
        let first = queue.pop_front()?;
        if !may_go_as_it_came(&first.1, version) {
            return Some(Self::Rewritten(first));
        }
        let mut shipment = Shipment::begin(upstream, first);
        while let Some(next) =
            queue.pop_front_if(|(_, next)| shipment.takes(next, upstream, version))
        {
            shipment.add(next);
        }
        Some(Self::Together(shipment))
    }

    /// Its batches, at least one.
    pub(super) fn batches(&self) -> &[Numbered] {
        match self {
            Self::Together(shipment) => &shipment.batches,
            Self::Rewritten(batch) => slice::from_ref(batch),
        }
    }
}

/// Says whether a server reads a batch as it came as it is read here.
fn may_go_as_it_came(batch: &Batch, version: Version) -> bool {
    let is_verbatim =
        batch.verbatim_lines.is_some() && spoken(batch.precision, version) == batch.precision;
    // InfluxDB 3 reads the first member of a gzip body and leaves the others out without a word.
    let is_read_whole = (version, batch.encoding) != (Version::Three, Encoding::Gzip)
        || body::is_one_member(&batch.body);
    is_verbatim && is_read_whole
}

impl Shipment {
    fn begin(upstream: &Upstream, first: Numbered) -> Self {
        let batch = &first.1;
        Self {
            bucket: upstream.bucket_of(batch),
            precision: batch.precision,
            encoding: batch.encoding,
            lines: batch.verbatim_lines.unwrap_or_default().into(),
            size_bytes: batch.body.len(),
            batches: vec![first],
        }
    }

    /// Says whether another batch fits into the same request.
    fn takes(&self, batch: &Batch, upstream: &Upstream, version: Version) -> bool {
        // InfluxDB 3 takes a gzip body of one member only.
        (version, self.encoding) != (Version::Three, Encoding::Gzip)
            && self.size_bytes + batch.body.len() <= self.max_bytes()
            && (self.precision, self.encoding) == (batch.precision, batch.encoding)
            && may_go_as_it_came(batch, version)
            && self.bucket == upstream.bucket_of(batch)
    }

    fn max_bytes(&self) -> usize {
        match self.encoding {
            Encoding::Identity => TEXT_MAX_BYTES,
            Encoding::Gzip => GZIP_MAX_BYTES,
        }
    }

    fn add(&mut self, next: Numbered) {
        self.size_bytes += next.1.body.len();
        self.lines += u64::from(next.1.verbatim_lines.unwrap_or_default());
        self.batches.push(next);
    }

    /// The request's body.
    pub(super) fn payload(&self) -> Payload {
        let between = Bytes::from_static(match self.encoding {
            Encoding::Identity => b"\n",
            Encoding::Gzip => NEWLINE_GZIP,
        });
        let mut chunks = Vec::with_capacity(self.batches.len() * 2);
        for (_, batch) in &self.batches {
            if !chunks.is_empty() {
                chunks.push(between.clone());
            }
            chunks.push(batch.body.clone());
        }
        Payload {
            encoding: self.encoding,
            chunks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newline_between_gzip_members_is_one() {
        assert_eq!(crate::body::decode(NEWLINE_GZIP, 10).expect("gzip"), b"\n");
    }
}
