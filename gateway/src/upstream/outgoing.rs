//! A journalled batch as the text that is sent.

use std::ops::Range;

use super::Version;
use crate::{
    body::{self, Encoding},
    error::Failure,
    journal::Batch,
    lines::{Judged, Precision, Scanner},
};

/// The accepted lines of a batch, each with a timestamp in the precision that is sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) precision: Precision,
    text: Vec<u8>,
    lines: Vec<Range<usize>>,
}

impl Outgoing {
    /// Takes a batch's accepted lines as the client wrote them.
    pub(super) fn of(batch: &Batch, version: Version) -> Result<Self, Failure> {
        let decoded;
        let body: &[u8] = match batch.encoding {
            Encoding::Identity => &batch.body,
            Encoding::Gzip => {
                decoded = body::decode(&batch.body, u64::from(u32::MAX))?;
                &decoded
            }
        };
        let mut outgoing = Self {
            precision: spoken(batch.precision, version),
            text: Vec::with_capacity(body.len() + body.len() / 8),
            lines: Vec::new(),
        };
        let mut lines = Scanner::new(body, batch.precision);
        while let Some(line) = lines.next_line() {
            if !batch.refuses(&line.bytes) {
                outgoing.add(&line, body, batch);
            }
        }
        Ok(outgoing)
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The text of some of the lines.
    pub(super) fn text(&self, lines: Range<usize>) -> &[u8] {
        match (self.lines.get(lines.start), lines.end.checked_sub(1)) {
            (Some(first), Some(last)) if last >= lines.start => {
                &self.text[first.start..self.lines[last].end]
            }
            _ => &[],
        }
    }

    fn add(&mut self, line: &Judged<'_, '_>, body: &[u8], batch: &Batch) {
        let start = self.text.len();
        let text = &body[line.bytes.clone()];
        let parts = line.verdict.as_ref().ok();
        match parts.and_then(|parts| Some((parts.timestamp?, parts.time_ns?))) {
            None => {
                let now = self.precision.from_ns(batch.received_ns);
                self.text.extend_from_slice(text);
                self.text.extend_from_slice(format!(" {now}").as_bytes());
            }
            Some((timestamp, time_ns)) if self.precision != batch.precision => {
                let fields_end = timestamp.start - line.bytes.start;
                self.text.extend_from_slice(&text[..fields_end]);
                let scaled = self.precision.from_ns(time_ns);
                self.text.extend_from_slice(scaled.to_string().as_bytes());
            }
            Some(_) => self.text.extend_from_slice(text),
        }
        self.text.push(b'\n');
        self.lines.push(start..self.text.len());
    }
}

/// The precision that the server understands: minutes and hours are version 1's.
pub(super) fn spoken(precision: Precision, version: Version) -> Precision {
    match (version, precision) {
        (Version::Two | Version::Three, Precision::Minutes | Precision::Hours) => {
            Precision::Seconds
        }
        _ => precision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(body: &str, precision: Precision) -> Batch {
        let refused = crate::lines::scan(body.as_bytes(), precision)
            .filter(|line| line.verdict.is_err())
            .map(|line| line.bytes.start as u32..line.bytes.end as u32)
            .collect();
        Batch {
            database: "d".into(),
            retention_policy: None,
            precision,
            received_ns: 7_000_000_000,
            encoding: Encoding::Identity,
            body: bytes::Bytes::copy_from_slice(body.as_bytes()),
            refused,
            verbatim_lines: None,
            series: Vec::new(),
        }
    }

    fn text(body: &str, precision: Precision, version: Version) -> String {
        let outgoing = Outgoing::of(&batch(body, precision), version).expect("plain text");
        String::from_utf8_lossy(outgoing.text(0..outgoing.len())).into_owned()
    }

    #[test]
    fn the_clients_text_is_sent_without_refused_lines_and_comments() {
        let body = "# it's \"odd\nm,t=a  f=.5 1\r\nbad\n\nm f=\"x\ny\"";
        assert_eq!(
            text(body, Precision::Seconds, Version::Two),
            "m,t=a  f=.5 1\nm f=\"x\ny\" 7\n"
        );
        assert_eq!(text("bad", Precision::Seconds, Version::Two), "");
    }

    #[test]
    fn minutes_and_hours_become_seconds_where_the_server_lacks_them() {
        assert_eq!(
            text("m f=1 2\nm f=1", Precision::Minutes, Version::Two),
            "m f=1 120\nm f=1 7\n"
        );
        assert_eq!(text("m f=1 2", Precision::Hours, Version::One), "m f=1 2\n");
    }

    #[test]
    fn a_part_of_the_lines_is_a_part_of_the_text() {
        let outgoing = Outgoing::of(
            &batch("a f=1 1\nb f=1 1\nc f=1 1", Precision::Seconds),
            Version::Two,
        )
        .expect("plain text");
        assert_eq!(outgoing.text(1..2), b"b f=1 1\n");
        assert_eq!(outgoing.text(1..3), b"b f=1 1\nc f=1 1\n");
        assert_eq!(outgoing.text(1..1), b"");
    }
}
