//! The settings of the service around the pushes, judged: connections, times, TLS, rejects, traces.

use std::{path::PathBuf, time::Duration};

use url::Url;

use super::{BodyLimits, ByteSize, ConfigError, Merged};

/// Ten times the agents of a large site; each takes a few kilobytes while it is idle.
pub(super) const MAX_CONNECTIONS_DEFAULT: u32 = 4096;
/// Four of the largest bodies, and thousands of the usual ones.
pub(super) const MAX_INFLIGHT_BYTES_DEFAULT: ByteSize = ByteSize(1 << 30);
/// Unpacking keeps a core busy; more at once than a small machine has cores would only make all of them late.
pub(super) const MAX_CONCURRENT_DECODES_DEFAULT: u32 = 4;
/// Heads are small: whoever takes longer is not about to send a request.
pub(super) const HEAD_TIMEOUT_S_DEFAULT: u32 = 5;
/// Six times as long as Telegraf waits for an answer.
pub(super) const BODY_TIMEOUT_S_DEFAULT: u32 = 30;
/// Longer than any push, shorter than a supervisor's kill.
pub(super) const DRAIN_TIMEOUT_S_DEFAULT: u32 = 20;
/// A few hundred thousand lines.
pub(super) const REJECTS_MAX_BYTES_DEFAULT: ByteSize = ByteSize(64 << 20);
/// A week: a cause that is found on Monday is mended before its lines are gone.
pub(super) const REJECTS_MAX_AGE_H_DEFAULT: u32 = 7 * 24;
/// Every request, as long as nobody asks for less.
pub(super) const OTLP_SAMPLE_DEFAULT: f64 = 1.0;

/// Below this a handful of long lines would push each other out.
const REJECTS_MAX_BYTES_LEAST: ByteSize = ByteSize(1 << 20);
/// A day: nothing waits longer for a client.
const TIMEOUT_S_MOST: u32 = 86_400;

/// The bounds on connections and on their ends.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// How many connections may be open.
    pub max_connections: usize,
    /// How long a head, and a TLS handshake, may take.
    pub head_timeout: Duration,
    /// How long requests may take to finish after the order to stop.
    pub drain_timeout: Duration,
}

/// Certificate chain and key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What may be kept of refused lines.
#[derive(Debug, Clone, Copy)]
pub struct RejectsLimits {
    /// The most they may take on disk.
    pub max_bytes: u64,
    /// How long they are kept.
    pub max_age: Duration,
}

/// Where traces go.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// The collector.
    pub url: Url,
    /// The part of requests without a trace of their own that are traced.
    pub sample: f64,
}

impl Merged {
    pub(super) fn body_limits(&self) -> Result<BodyLimits, ConfigError> {
        if self.max_body_bytes.0 == 0 || self.max_decoded_bytes < self.max_body_bytes {
            return mismatch(
                "HEADROOM_MAX_DECODED_BYTES is smaller than HEADROOM_MAX_BODY_BYTES, or one is 0; a body grows when it is decompressed",
            );
        }
        if self.max_decoded_bytes.0 > u64::from(u32::MAX) {
            return mismatch("HEADROOM_MAX_DECODED_BYTES is over 4GiB; smaller batches are faster");
        }
        if self.max_inflight_bytes.0 < self.max_body_bytes.0 + self.max_decoded_bytes.0 {
            return mismatch(
                "HEADROOM_MAX_INFLIGHT_BYTES is smaller than HEADROOM_MAX_BODY_BYTES and HEADROOM_MAX_DECODED_BYTES together; the largest body would never be taken",
            );
        }
        Ok(BodyLimits {
            max_body_bytes: self.max_body_bytes.0,
            max_decoded_bytes: self.max_decoded_bytes.0,
            max_inflight_bytes: self.max_inflight_bytes.0,
            max_decodes: within("MAX_CONCURRENT_DECODES", self.max_concurrent_decodes, 1024)?
                as usize,
            timeout: seconds("BODY_TIMEOUT_S", self.body_timeout_s)?,
        })
    }

    pub(super) fn connection_limits(&self) -> Result<ConnectionLimits, ConfigError> {
        Ok(ConnectionLimits {
            max_connections: within("MAX_CONNECTIONS", self.max_connections, 1_000_000)? as usize,
            head_timeout: seconds("HEAD_TIMEOUT_S", self.head_timeout_s)?,
            drain_timeout: seconds("DRAIN_TIMEOUT_S", self.drain_timeout_s)?,
        })
    }

    pub(super) fn tls(&self) -> Result<Option<TlsFiles>, ConfigError> {
        match (&self.tls_cert_file, &self.tls_key_file) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            })),
            _ => mismatch(
                "HEADROOM_TLS_CERT_FILE and HEADROOM_TLS_KEY_FILE belong together; give both, or neither to speak plain HTTP",
            ),
        }
    }

    pub(super) fn rejects(&self) -> Result<RejectsLimits, ConfigError> {
        if self.rejects_max_bytes < REJECTS_MAX_BYTES_LEAST {
            return mismatch("HEADROOM_REJECTS_MAX_BYTES is under 1MiB; a few lines would fill it");
        }
        let hours = within("REJECTS_MAX_AGE_H", self.rejects_max_age_h, 1_000_000)?;
        Ok(RejectsLimits {
            max_bytes: self.rejects_max_bytes.0,
            max_age: Duration::from_hours(hours.into()),
        })
    }

    pub(super) fn traces(&self) -> Result<Option<TraceSettings>, ConfigError> {
        if !(0.0..=1.0).contains(&self.otlp_sample) {
            return mismatch("HEADROOM_OTLP_SAMPLE is a part of all requests, from 0 to 1");
        }
        let Some(text) = &self.otlp_url else {
            return Ok(None);
        };
        let url = super::http_url(text).ok_or_else(|| {
            ConfigError::Mismatch(
                "HEADROOM_OTLP_URL is no address; write http://HOST:4318 or https://HOST:4318"
                    .to_owned(),
            )
        })?;
        Ok(Some(TraceSettings {
            url,
            sample: self.otlp_sample,
        }))
    }
}

fn mismatch<T>(text: &str) -> Result<T, ConfigError> {
    Err(ConfigError::Mismatch(text.to_owned()))
}

fn within(name: &str, value: u32, most: u32) -> Result<u32, ConfigError> {
    if (1..=most).contains(&value) {
        Ok(value)
    } else {
        mismatch(&format!(
            "HEADROOM_{name} is {value}; it can be 1 to {most}"
        ))
    }
}

fn seconds(name: &str, value: u32) -> Result<Duration, ConfigError> {
    within(name, value, TIMEOUT_S_MOST).map(|seconds| Duration::from_secs(seconds.into()))
}
