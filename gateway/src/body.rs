//! Reads a request's body within bounds, before and after decompression.

use std::io::Read;

use actix_web::{
    HttpRequest,
    http::header,
    web::{Bytes, BytesMut, Payload},
};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;

use crate::{config::BodyLimits, error::Failure, journal::Encoding};

/// Line protocol shrinks to a tenth under gzip at best; a body that says it holds more is not believed before it does.
const GZIP_RATIO_EXPECTED: usize = 10;

/// A body as it came, and its text.
#[derive(Debug)]
pub struct Body {
    /// How it came.
    pub encoding: Encoding,
    /// As it came.
    pub raw: Bytes,
    /// Decompressed.
    pub text: Bytes,
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
        limits: BodyLimits,
    ) -> Result<Self, Failure> {
        let encoding = encoding(request)?;
        let raw = collect(request, payload, limits.max_body_bytes).await?;
        let text = match encoding {
            Encoding::Identity => raw.clone(),
            Encoding::Gzip => decode(&raw, limits.max_decoded_bytes)?.into(),
        };
        Ok(Self {
            encoding,
            raw,
            text,
        })
    }
}

fn encoding(request: &HttpRequest) -> Result<Encoding, Failure> {
    let Some(value) = request.headers().get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    let word = String::from_utf8_lossy(value.as_bytes())
        .trim()
        .to_ascii_lowercase();
    match word.as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        _ => Err(Failure::EncodingUnknown(word)),
    }
}

async fn collect(
    request: &HttpRequest,
    mut payload: Payload,
    limit_bytes: u64,
) -> Result<Bytes, Failure> {
    let too_large = Failure::BodyTooLarge {
        limit_bytes,
        stage: "",
        setting: "HEADROOM_MAX_BODY_BYTES",
    };
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit_bytes) {
        return Err(too_large);
    }
    let mut body = BytesMut::with_capacity(announced.unwrap_or(0) as usize);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Failure::BodyBroken(error.to_string()))?;
        if (body.len() + chunk.len()) as u64 > limit_bytes {
            return Err(too_large);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Decompresses a body of one or more gzip members; an empty body is an empty text.
///
/// # Errors
///
/// Fails if the bytes are no gzip, or hold more than `limit_bytes`.
pub fn decode(raw: &[u8], limit_bytes: u64) -> Result<Vec<u8>, Failure> {
    let expected = size_said(raw)
        .min(raw.len().saturating_mul(GZIP_RATIO_EXPECTED))
        .min(limit_bytes as usize);
    let mut text = Vec::with_capacity(expected);
    if raw.is_empty() {
        return Ok(text);
    }
    MultiGzDecoder::new(raw)
        .take(limit_bytes + 1)
        .read_to_end(&mut text)
        .map_err(|error| Failure::GzipInvalid(error.to_string()))?;
    if text.len() as u64 <= limit_bytes {
        Ok(text)
    } else if memchr::memchr(b'\n', &text).is_none() {
        // Told that the batch is too large, Telegraf would halve it to one line and send that line for ever.
        Err(Failure::LineTooLarge { limit_bytes })
    } else {
        Err(Failure::BodyTooLarge {
            limit_bytes,
            stage: " after decompression",
            setting: "HEADROOM_MAX_DECODED_BYTES",
        })
    }
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
    }

    #[test]
    fn what_unpacks_beyond_the_limit_is_refused() {
        let bomb = gzip(&b"m f=1\n".repeat(100_000));
        assert!(matches!(
            decode(&bomb, 1000),
            Err(Failure::BodyTooLarge { .. })
        ));
        let line = gzip(&b"m".repeat(5000));
        assert!(matches!(
            decode(&line, 1000),
            Err(Failure::LineTooLarge { .. })
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
            assert!(matches!(decode(raw, 1000), Err(Failure::GzipInvalid(_))));
        }
    }
}
