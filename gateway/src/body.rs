//! Reads a request's body within bounds: of its own, before and after decompression, and of all bodies together.

mod error;
mod intake;

use std::io::{self, Read};

use actix_web::{
    HttpRequest,
    http::header,
    web::{Bytes, BytesMut, Payload},
};
use flate2::{bufread::GzDecoder, read::MultiGzDecoder};
use futures_util::StreamExt;
use tracing::Instrument;

pub use error::BodyError;
pub use intake::{Held, Intake};

/// Line protocol shrinks to a tenth under gzip at best; a body that says it holds more is not believed before it does.
const GZIP_RATIO_EXPECTED: usize = 10;
/// A batch of 5,000 lines is smaller.
const BODY_USUAL_BYTES: u64 = 2 << 20;
/// Where a text is longer than expected, it is given room for at least this much more.
const DECODE_STEP_BYTES: usize = 1 << 20;
/// A larger body is unpacked off the threads that serve connections, which would stand still for it.
const DECODE_INLINE_BYTES: usize = 256 << 10;

/// As far as a packed body that is too large is unpacked to see whether it is one line: twice the longest string.
const LINE_LOOKED_FOR_BYTES: u64 = 2 << 20;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Plain text.
    Identity,
    /// One or more gzip members.
    Gzip,
}

/// A body as it came, and its text.
#[derive(Debug)]
pub struct Body {
    /// How it came.
    pub encoding: Encoding,
    /// As it came.
    pub raw: Bytes,
    /// Decompressed.
    pub text: Bytes,
    /// What it takes in memory.
    pub held: Held,
}

impl Body {
    /// Reads and decompresses a request's body.
    ///
    /// # Errors
    ///
    /// Says which bound was broken, or what is wrong with the encoding.
    pub async fn read(
        request: &HttpRequest,
        payload: Payload,
        intake: &Intake,
    ) -> Result<Self, BodyError> {
        let encoding = encoding(request)?;
        let mut held = intake.hold();
        let timeout = intake.limits().timeout;
        let max_body_bytes = intake.limits().max_body_bytes;
        let coming = collect(request, payload, encoding, max_body_bytes, &mut held);
        let raw =
            tokio::time::timeout(timeout, coming)
                .await
                .unwrap_or(Err(BodyError::TooSlow {
                    limit_s: timeout.as_secs(),
                }))?;
        let (text, held) = match encoding {
            Encoding::Identity => (raw.clone(), held),
            Encoding::Gzip => {
                let span = tracing::debug_span!("unpack");
                unpack(raw.clone(), held, intake).instrument(span).await?
            }
        };
        Ok(Self {
            encoding,
            raw,
            text,
            held,
        })
    }
}

/// Decompresses a body, no more of them at once than may be.
async fn unpack(raw: Bytes, mut held: Held, intake: &Intake) -> Result<(Bytes, Held), BodyError> {
    let limit_bytes = intake.limits().max_decoded_bytes;
    let place = intake.place().await?;
    let is_small = raw.len() <= DECODE_INLINE_BYTES;
    let work = move || {
        // The place is the work's: a client that leaves ends neither.
        let _place = place;
        let text = decode_counting(&raw, limit_bytes, |bytes| held.grow(bytes))?;
        Ok((text.into(), held))
    };
    if is_small {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "decompressing a body panicked");
        BodyError::Panicked
    })?
}

fn encoding(request: &HttpRequest) -> Result<Encoding, BodyError> {
    let Some(value) = request.headers().get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    let word = String::from_utf8_lossy(value.as_bytes())
        .trim()
        .to_ascii_lowercase();
    match word.as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        _ => Err(BodyError::EncodingUnknown(word)),
    }
}

async fn collect(
    request: &HttpRequest,
    mut payload: Payload,
    encoding: Encoding,
    limit_bytes: u64,
    held: &mut Held,
) -> Result<Bytes, BodyError> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // What is announced is believed as far as a usual batch goes; beyond that the bytes must come.
    let expected = announced.unwrap_or(0).min(BODY_USUAL_BYTES);
    let mut body = BytesMut::with_capacity(expected as usize);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| BodyError::Broken(error.to_string()))?;
        if (body.len() + chunk.len()) as u64 > limit_bytes {
            body.extend_from_slice(&chunk);
            return Err(too_large(&body, encoding, limit_bytes));
        }
        held.grow(chunk.len() as u64)?;
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Says that a body is too large of which so much has come. Told so of a single line, Telegraf would send it for ever.
fn too_large(body: &[u8], encoding: Encoding, limit_bytes: u64) -> BodyError {
    let mut unpacked = Vec::new();
    let text = match encoding {
        Encoding::Identity => body,
        Encoding::Gzip => {
            // What is torn off at its end gives what stands before.
            let mut members =
                MultiGzDecoder::new(body).take(limit_bytes.min(LINE_LOOKED_FOR_BYTES));
            let _ = members.read_to_end(&mut unpacked);
            &unpacked
        }
    };
    if memchr::memchr(b'\n', text.trim_ascii_end()).is_none() {
        return BodyError::LineTooLarge { limit_bytes };
    }
    BodyError::TooLarge {
        limit_bytes,
        stage: "",
        setting: "HEADROOM_MAX_BODY_BYTES",
    }
}

/// Decompresses a body of one or more gzip members; an empty body is an empty text.
///
/// # Errors
///
/// Fails if the bytes are no gzip, or hold more than `limit_bytes`.
pub fn decode(raw: &[u8], limit_bytes: u64) -> Result<Vec<u8>, BodyError> {
    decode_counting(raw, limit_bytes, |_| Ok(()))
}

/// Decompresses as [`decode`] does, and announces every piece before it is unpacked.
fn decode_counting(
    raw: &[u8],
    limit_bytes: u64,
    mut announce: impl FnMut(u64) -> Result<(), BodyError>,
) -> Result<Vec<u8>, BodyError> {
    let expected = size_said(raw)
        .min(raw.len().saturating_mul(GZIP_RATIO_EXPECTED))
        .min(limit_bytes as usize);
    announce(expected as u64)?;
    let mut text = Vec::with_capacity(expected);
    if raw.is_empty() {
        return Ok(text);
    }
    let invalid = |error: std::io::Error| BodyError::GzipInvalid(error.to_string());
    let mut unpacked = MultiGzDecoder::new(raw).take(limit_bytes + 1);
    loop {
        let room = text.capacity() - text.len();
        let part = (&mut unpacked).take(room as u64).read_to_end(&mut text);
        // One byte beyond the room tells whether there is more at all.
        let mut next = [0];
        if part.map_err(invalid)? < room || unpacked.read(&mut next).map_err(invalid)? == 0 {
            break;
        }
        let rest = limit_bytes as usize + 1 - text.len();
        let step = text.len().max(DECODE_STEP_BYTES).min(rest);
        announce(step as u64)?;
        text.reserve_exact(step);
        text.extend_from_slice(&next);
    }
    if text.len() as u64 <= limit_bytes {
        Ok(text)
    } else if memchr::memchr(b'\n', &text).is_none() {
        Err(BodyError::LineTooLarge { limit_bytes })
    } else {
        Err(BodyError::TooLarge {
            limit_bytes,
            stage: " after decompression",
            setting: "HEADROOM_MAX_DECODED_BYTES",
        })
    }
}

/// Says whether a gzip body is a single whole member.
#[must_use]
pub fn is_one_member(raw: &[u8]) -> bool {
    let mut member = GzDecoder::new(raw);
    io::copy(&mut member, &mut io::sink()).is_ok() && member.into_inner().is_empty()
}

/// The size that the last member says it has, modulo 2^32: its last four bytes (RFC 1952).
fn size_said(raw: &[u8]) -> usize {
    raw.last_chunk()
        .map_or(0, |size| u32::from_le_bytes(*size) as usize)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn every_member_of_a_gzip_is_read() {
        let two = [gzip(b"m f=1\n"), gzip(b"m f=2")].concat();
        assert_eq!(decode(&two, 100).expect("valid"), b"m f=1\nm f=2");
        assert_eq!(decode(b"", 100).expect("empty"), b"");
        assert!(!is_one_member(&two) && is_one_member(&gzip(b"m f=1\n")));
    }

    #[test]
    fn what_unpacks_beyond_the_limit_is_refused() {
        let bomb = gzip(&b"m f=1\n".repeat(100_000));
        assert!(matches!(
            decode(&bomb, 1000),
            Err(BodyError::TooLarge { .. })
        ));
        let line = gzip(&b"m".repeat(5000));
        assert!(matches!(
            decode(&line, 1000),
            Err(BodyError::LineTooLarge { .. })
        ));
    }

    #[test]
    fn gzip_that_lies_is_refused() {
        let mut torn = gzip(b"m f=1");
        torn.truncate(torn.len() - 3);
        let mut flipped = gzip(b"m f=1");
        let last = flipped.len() - 6;
        flipped[last] ^= 1;
        for raw in [&b"m f=1"[..], &torn, &flipped] {
            assert!(matches!(decode(raw, 1000), Err(BodyError::GzipInvalid(_))));
        }
    }
}
