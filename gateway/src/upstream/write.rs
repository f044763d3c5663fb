//! One write request, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use futures_util::stream;
use reqwest::{Body, Response, StatusCode, header};

use super::{Upstream, Version, WRITE_TIMEOUT, bucket, probe::describe};
use crate::{body::Encoding, journal::Batch, lines::Precision};

/// How much of an error answer is read: enough for its message.
const MESSAGE_MAX_BYTES: usize = 4096;
/// What InfluxDB says of lines that they will never take; any other 400 is about the request as a whole.
const CONTENT_WORDS: [&str; 8] = [
    "unable to parse",
    "partial write",
    "field type conflict",
    "beyond retention policy",
    "outside range",
    "point is invalid",
    "key length",
    "dropped=",
];

/// A server that wants to be left alone for longer is asked again after this all the same: nobody would notice its mistake.
const RETRY_AFTER_MOST: Duration = Duration::from_mins(10);

/// A request's body, in parts that are not copied together.
#[derive(Debug, Clone)]
pub(super) struct Payload {
    pub(super) encoding: Encoding,
    pub(super) chunks: Vec<Bytes>,
}

impl Payload {
    pub(super) fn size_bytes(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    fn into_body(self) -> Body {
        Body::wrap_stream(stream::iter(
            self.chunks
                .into_iter()
                .map(Ok::<_, std::convert::Infallible>),
        ))
    }
}

/// What became of a write.
#[derive(Debug)]
pub(super) enum Answer {
    /// The server has the lines.
    Taken,
    /// The server will never take one of the lines, for what is in it.
    ContentRefused(String),
    /// The bucket is missing.
    BucketMissing,
    /// The same request may succeed later.
    Later {
        /// Why it did not now.
        reason: String,
        /// When the server wants to see it again.
        after: Option<Duration>,
    },
}

impl Upstream {
    /// The bucket or database that a batch goes to.
    pub(super) fn bucket_of(&self, batch: &Batch) -> String {
        self.bucket_named(&batch.database, batch.retention_policy.as_deref())
    }

    /// The bucket or database that what comes for a database and retention policy goes to.
    #[must_use]
    pub fn bucket_named(&self, database: &str, retention_policy: Option<&str>) -> String {
        match (&self.0.settings.bucket, retention_policy) {
            (Some(bucket), _) => bucket.clone(),
            (None, Some(policy)) => format!("{database}/{policy}"),
            (None, None) => database.to_owned(),
        }
    }

    /// Sends lines to a bucket.
    pub(super) async fn write(
        &self,
        bucket: &str,
        precision: Precision,
        payload: Payload,
    ) -> Answer {
        let version = match self.version().await {
            Ok(version) => version,
            Err(reason) => {
                return Answer::Later {
                    reason,
                    after: None,
                };
            }
        };
        let mut url = match version {
            Version::One => self.url("/write"),
            Version::Two => self.url("/api/v2/write"),
            Version::Three => self.url("/api/v3/write_lp"),
        };
        address(
            &mut url.query_pairs_mut(),
            version,
            bucket,
            precision,
            self.0.settings.org.as_deref(),
        );
        let mut request = self
            .0
            .client
            .post(url)
            .timeout(WRITE_TIMEOUT)
            .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
            .header(header::CONTENT_LENGTH, payload.size_bytes());
        if payload.encoding == Encoding::Gzip {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        let request = request.body(payload.into_body());
        match self.authorized(request).send().await {
            Err(error) => Answer::Later {
                reason: describe(&error),
                after: None,
            },
            Ok(answer) => judge(answer).await,
        }
    }
}

fn address(
    query: &mut url::form_urlencoded::Serializer<'_, url::UrlQuery<'_>>,
    version: Version,
    bucket: &str,
    precision: Precision,
    org: Option<&str>,
) {
    let precision_v2_v3 = match precision {
        Precision::Nanoseconds => "ns",
        Precision::Microseconds => "us",
        Precision::Milliseconds => "ms",
        Precision::Seconds => "s",
        Precision::Minutes => "m",
        Precision::Hours => "h",
    };
    match version {
        Version::Two => {
            query.append_pair("bucket", bucket);
            query.append_pair("precision", precision_v2_v3);
            if let Some(org) = org {
                query.append_pair("org", org);
            }
        }
        // It has no retention policies: `db/rp` is a name of its own.
        Version::Three => {
            query.append_pair("db", bucket);
            query.append_pair("precision", precision_v2_v3);
        }
        Version::One => {
            let (database, policy) = bucket::split(bucket);
            query.append_pair("db", database);
            if let Some(policy) = policy {
                query.append_pair("rp", policy);
            }
            let precision = match precision {
                Precision::Nanoseconds => "n",
                Precision::Microseconds => "u",
                _ => precision_v2_v3,
            };
            query.append_pair("precision", precision);
        }
    }
}

async fn judge(answer: Response) -> Answer {
    let status = answer.status();
    if status == StatusCode::NO_CONTENT {
        return Answer::Taken;
    }
    let after = retry_after(answer.headers());
    let message = beginning(answer).await;
    let about_content = CONTENT_WORDS.iter().any(|word| message.contains(word));
    match status {
        StatusCode::NOT_FOUND if message.contains("not found") => Answer::BucketMissing,
        // InfluxDB 1 says of a database that it is not found, and of a policy that the server failed.
        _ if message.contains("retention policy not found") => Answer::BucketMissing,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Answer::ContentRefused(message)
        }
        StatusCode::BAD_REQUEST if about_content => Answer::ContentRefused(message),
        _ if status.is_success() => Answer::Later {
            reason: format!(
                "it answered {status}, where an InfluxDB that has the lines answers 204; check that its address is an InfluxDB's"
            ),
            after,
        },
        _ => Answer::Later {
            // The message may quote lines, which no log shows; the status and the code are enough to act on.
            reason: refused(status),
            after,
        },
    }
}

/// Reads the beginning of an answer's text; the rest is not waited for.
async fn beginning(mut answer: Response) -> String {
    let mut text = Vec::new();
    while text.len() < MESSAGE_MAX_BYTES
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        text.extend_from_slice(&chunk);
    }
    text.truncate(MESSAGE_MAX_BYTES);
    String::from_utf8_lossy(&text).into_owned()
}

/// When the server wants to see the request again: in so many seconds, or at an instant by its own clock.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let instant = |text| DateTime::parse_from_rfc2822(text).ok();
    let wanted = text(header::RETRY_AFTER)?;
    let after = match wanted.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (instant(wanted)? - instant(text(header::DATE)?)?)
            .to_std()
            .unwrap_or_default(),
    };
    Some(after.min(RETRY_AFTER_MOST))
}

/// Says what a status that is none of success means, and what would be right.
pub(super) fn refused(status: StatusCode) -> String {
    format!("it answered {status}{}", hint(status))
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "; set HEADROOM_INFLUX_TOKEN to a token that may write to the bucket"
        }
        StatusCode::BAD_REQUEST => {
            "; check HEADROOM_INFLUX_ORG and HEADROOM_INFLUX_BUCKET, and the server's log"
        }
        StatusCode::NOT_FOUND => "; check HEADROOM_INFLUX_URL",
        _ if status.is_redirection() => {
            "; set HEADROOM_INFLUX_URL to the address that it sends to, which is not followed"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_an_instant_and_never_endless() {
        let after = |wanted: &str, date: Option<&str>| {
            let mut headers = header::HeaderMap::new();
            headers.insert(header::RETRY_AFTER, wanted.parse().expect("a header"));
            if let Some(date) = date {
                headers.insert(header::DATE, date.parse().expect("a header"));
            }
            retry_after(&headers).map(|after| after.as_secs())
        };
        let now = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(after("7", None), Some(7));
        assert_eq!(after("99999999", None), Some(600));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(30));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(0));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:07 GMT", None), None);
        assert_eq!(after("soon", now), None);
    }
}
