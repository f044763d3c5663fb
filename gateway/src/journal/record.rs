//! A batch as a record's bytes, and back.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes};

use super::JournalError;
use crate::{body::Encoding, lines::Precision};

/// The bytes before a record's meta.
pub(super) const RECORD_HEADER_BYTES: usize = 20;
/// Where the part behind the checksum starts.
const CHECKED_FROM: usize = 8;
const VERSION: u32 = 4;
/// The former version, which is read as well: without the provenance.
const FORMER_VERSION: u32 = 3;
/// Stands for a batch that cannot be sent as it came.
const NOT_VERBATIM: u32 = u32::MAX;

/// One push: the client's bytes, and what is needed to read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The database, or the bucket's part before the slash.
    pub database: String,
    /// The retention policy, or the bucket's part behind the slash.
    pub retention_policy: Option<String>,
    /// The unit of the timestamps.
    pub precision: Precision,
    /// When the batch came, in nanoseconds since 1970; the time of lines without a timestamp.
    pub received_ns: i64,
    /// Who pushed it, and in which request.
    pub provenance: Provenance,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// The body as it came.
    pub body: Bytes,
    /// The lines that were refused, as byte ranges of the decoded body, in their order.
    pub refused: Vec<Range<u32>>,
    /// How many lines there are, if the body can be sent to an InfluxDB as it came: every line is accepted, carries its
    /// time, and is read there as it is here.
    pub verbatim_lines: Option<u32>,
    /// The series of the accepted lines as [`Parts::series_hash`] tells them apart, in order, each once; empty: not known.
    ///
    /// [`Parts::series_hash`]: crate::lines::Parts::series_hash
    pub series: Vec<u32>,
}

/// Who pushed a batch, and in which request. A journal keeps the first 255 bytes of each; what the former version wrote has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The name of the token; empty where everybody is trusted.
    pub client: String,
    /// The address that it was pushed from; empty where it is not known.
    pub peer: String,
    /// The id by which the log names the request; empty where it is not known.
    pub request_id: String,
}

impl Batch {
    /// Says whether the line at these bytes of the decoded body was refused.
    #[must_use]
    pub fn refuses(&self, line: &Range<usize>) -> bool {
        self.refused
            .binary_search_by_key(&line.start, |range| range.start as usize)
            .is_ok()
    }

    /// About how many bytes the batch takes in a segment.
    pub(super) fn size_bytes(&self) -> usize {
        RECORD_HEADER_BYTES
            + 32
            + self.database.len()
            + self.provenance.client.len()
            + self.provenance.peer.len()
            + self.provenance.request_id.len()
            + self.refused.len() * 8
            + self.series.len() * 4
            + self.body.len()
    }

    /// Writes the batch as a record behind what `out` holds.
    pub(super) fn encode(&self, sequence: u64, out: &mut Vec<u8>) -> Result<(), JournalError> {
        let start = out.len();
        out.put_u64_le(0);
        out.put_u64_le(sequence);
        out.put_u32_le(VERSION);
        out.put_u8(precision_code(self.precision));
        out.put_u8(match self.encoding {
            Encoding::Identity => 0,
            Encoding::Gzip => 1,
        });
        out.put_i64_le(self.received_ns);
        put_text(&self.database, out)?;
        out.put_u8(u8::from(self.retention_policy.is_some()));
        put_text(self.retention_policy.as_deref().unwrap_or_default(), out)?;
        out.put_u32_le(self.verbatim_lines.unwrap_or(NOT_VERBATIM));
        out.put_u32_le(self.refused.len() as u32);
        for range in &self.refused {
            out.put_u32_le(range.start);
            out.put_u32_le(range.end);
        }
        out.put_u32_le(self.series.len() as u32);
        for series in &self.series {
            out.put_u32_le(*series);
        }
        put_short(&self.provenance.client, out);
        put_short(&self.provenance.peer, out);
        put_short(&self.provenance.request_id, out);
        out.extend_from_slice(&self.body);
        let length = u32::try_from(out.len() - start - RECORD_HEADER_BYTES).map_err(|_| {
            JournalError::BatchInvalid {
                reason: "it is over 4 GiB",
            }
        })?;
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        let checksum = checksum(length, &out[start + CHECKED_FROM..]);
        out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
        Ok(())
    }

    /// Reads meta and body of a record of a known version whose checksum was right.
    pub(super) fn decode(version: u32, mut payload: Bytes) -> Option<Self> {
        let precision = precision_of(payload.try_get_u8().ok()?)?;
        let encoding = match payload.try_get_u8().ok()? {
            0 => Encoding::Identity,
            1 => Encoding::Gzip,
            _ => return None,
        };
        let received_ns = payload.try_get_i64_le().ok()?;
        let database = get_text(&mut payload)?;
        let has_policy = payload.try_get_u8().ok()? == 1;
        let policy = get_text(&mut payload)?;
        let verbatim_lines = payload.try_get_u32_le().ok()?;
        let count = payload.try_get_u32_le().ok()? as usize;
        if payload.len() < count.checked_mul(8)? {
            return None;
        }
        let refused = (0..count)
            .map(|_| payload.get_u32_le()..payload.get_u32_le())
            .collect();
        let count = payload.try_get_u32_le().ok()? as usize;
        if payload.len() < count.checked_mul(4)? {
            return None;
        }
        let series = (0..count).map(|_| payload.get_u32_le()).collect();
        let provenance = match version {
            FORMER_VERSION => Provenance::default(),
            _ => Provenance {
                client: get_short(&mut payload)?,
                peer: get_short(&mut payload)?,
                request_id: get_short(&mut payload)?,
            },
        };
        Some(Self {
            database,
            retention_policy: has_policy.then_some(policy),
            precision,
            received_ns,
            provenance,
            encoding,
            body: payload,
            refused,
            verbatim_lines: (verbatim_lines != NOT_VERBATIM).then_some(verbatim_lines),
            series,
        })
    }
}

/// A record's header, as far as it can be believed before the checksum.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordHeader {
    pub(super) length: usize,
    pub(super) sequence: u64,
    pub(super) version: u32,
    checksum: u32,
}

impl RecordHeader {
    pub(super) fn parse(mut bytes: &[u8]) -> Option<Self> {
        Some(Self {
            length: bytes.try_get_u32_le().ok()? as usize,
            checksum: bytes.try_get_u32_le().ok()?,
            sequence: bytes.try_get_u64_le().ok()?,
            version: bytes.try_get_u32_le().ok()?,
        })
    }

    /// Says whether the bytes from the sequence to the record's end are those that were written.
    pub(super) fn matches(&self, checked: &[u8]) -> bool {
        self.has_known_version() && checksum(self.length as u32, checked) == self.checksum
    }

    fn has_known_version(&self) -> bool {
        matches!(self.version, FORMER_VERSION | VERSION)
    }

    /// The record's size with its header.
    pub(super) fn record_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.length
    }
}

/// Reads the record at the start of `bytes`; `None` if it is not whole.
pub(super) fn whole_record(bytes: &[u8]) -> Option<RecordHeader> {
    let header = RecordHeader::parse(bytes)?;
    let checked = bytes.get(CHECKED_FROM..header.record_bytes())?;
    header.matches(checked).then_some(header)
}

/// Says of bytes that are no whole record, and have none behind them, whether they are the beginning of one whose write was never
/// done. A record that is there in its length is not, and neither is one that would be whole if its length did not say
/// otherwise.
pub(super) fn is_torn(bytes: &[u8]) -> bool {
    let Some(header) = RecordHeader::parse(bytes) else {
        return true;
    };
    let as_it_lies = RecordHeader {
        length: bytes.len() - RECORD_HEADER_BYTES,
        ..header
    };
    bytes.len() < header.record_bytes() && !as_it_lies.matches(&bytes[CHECKED_FROM..])
}

/// Finds the next whole record with a sequence after `after`, past a damaged one.
pub(super) fn next_whole_record(bytes: &[u8], after: u64) -> Option<usize> {
    (1..bytes.len().saturating_sub(RECORD_HEADER_BYTES)).find(|at| {
        RecordHeader::parse(&bytes[*at..]).is_some_and(|header| {
            header.has_known_version()
                && header.sequence > after
                && whole_record(&bytes[*at..]).is_some()
        })
    })
}

fn checksum(length: u32, checked: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), checked)
}

fn put_text(text: &str, out: &mut Vec<u8>) -> Result<(), JournalError> {
    let length = u16::try_from(text.len()).map_err(|_| JournalError::BatchInvalid {
        reason: "the database's or the retention policy's name is over 65535 bytes",
    })?;
    out.put_u16_le(length);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn get_text(payload: &mut Bytes) -> Option<String> {
    let length = usize::from(payload.try_get_u16_le().ok()?);
    take_text(payload, length)
}

/// Writes a text of which 255 bytes are kept.
fn put_short(text: &str, out: &mut Vec<u8>) {
    let kept = &text[..text.floor_char_boundary(u8::MAX.into())];
    out.put_u8(kept.len() as u8);
    out.extend_from_slice(kept.as_bytes());
}

fn get_short(payload: &mut Bytes) -> Option<String> {
    let length = usize::from(payload.try_get_u8().ok()?);
    take_text(payload, length)
}

fn take_text(payload: &mut Bytes, length: usize) -> Option<String> {
    (payload.len() >= length)
        .then(|| payload.split_to(length))
        .and_then(|text| String::from_utf8(text.into()).ok())
}

fn precision_code(precision: Precision) -> u8 {
    match precision {
        Precision::Nanoseconds => 0,
        Precision::Microseconds => 1,
        Precision::Milliseconds => 2,
        Precision::Seconds => 3,
        Precision::Minutes => 4,
        Precision::Hours => 5,
    }
}

fn precision_of(code: u8) -> Option<Precision> {
    Some(match code {
        0 => Precision::Nanoseconds,
        1 => Precision::Microseconds,
        2 => Precision::Milliseconds,
        3 => Precision::Seconds,
        4 => Precision::Minutes,
        5 => Precision::Hours,
        _ => return None,
    })
}
