//! Batches that are sent together, as their clients wrote them.
//!
//! Bodies of one bucket, precision and encoding stand one behind the other in a single request: text behind text, gzip
//! member behind gzip member, nothing unpacked. A newline between them ends a last line that has none.

use bytes::{Bytes, BytesMut};

use super::{Upstream, Version, outgoing::spoken};
use crate::{
    journal::{Batch, Encoding},
    lines::Precision,
};

/// A request grows up to here: large enough that its overhead is small beside it, small enough for every server's limit.
pub(super) const SHIPMENT_MAX_BYTES: usize = 4 << 20;

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
    pub(super) batches: Vec<(u64, Batch)>,
    size_bytes: usize,
}

impl Shipment {
    /// Says whether a batch can be sent as it came.
    pub(super) fn takes(batch: &Batch, version: Version) -> bool {
        batch.verbatim_lines.is_some() && spoken(batch.precision, version) == batch.precision
    }

    /// Begins with a batch that [`Self::takes`] says yes to.
    pub(super) fn begin(upstream: &Upstream, sequence: u64, batch: Batch) -> Self {
        Self {
            bucket: upstream.bucket_of(&batch),
            precision: batch.precision,
            encoding: batch.encoding,
            lines: batch.verbatim_lines.unwrap_or_default().into(),
            size_bytes: batch.body.len(),
            batches: vec![(sequence, batch)],
        }
    }

    /// Says whether there is room for more. That InfluxDB 3 reads more than one gzip member is not known.
    pub(super) fn has_room(&self, version: Version) -> bool {
        let may_grow = (version, self.encoding) != (Version::Three, Encoding::Gzip);
        may_grow && self.size_bytes < SHIPMENT_MAX_BYTES
    }

    /// Takes another shipment's batches in if both fit into one request; otherwise hands it back.
    pub(super) fn join(&mut self, other: Self) -> Option<Self> {
        let fits = self.size_bytes + other.size_bytes <= SHIPMENT_MAX_BYTES
            && (self.precision, self.encoding) == (other.precision, other.encoding)
            && self.bucket == other.bucket;
        if !fits {
            return Some(other);
        }
        self.size_bytes += other.size_bytes;
        self.lines += other.lines;
        self.batches.extend(other.batches);
        None
    }

    /// The last batch's sequence.
    pub(super) fn last_sequence(&self) -> u64 {
        self.batches.last().map_or(0, |(sequence, _)| *sequence)
    }

    /// The request's body.
    pub(super) fn body(&self) -> Bytes {
        let between = match self.encoding {
            Encoding::Identity => b"\n",
            Encoding::Gzip => NEWLINE_GZIP,
        };
        match &self.batches[..] {
            [(_, batch)] => batch.body.clone(),
            batches => {
                let mut body =
                    BytesMut::with_capacity(self.size_bytes + batches.len() * between.len());
                for (_, batch) in batches {
                    body.extend_from_slice(&batch.body);
                    body.extend_from_slice(between);
                }
                body.freeze()
            }
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
