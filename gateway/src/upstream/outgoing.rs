//! A journalled batch as the text that is sent: its accepted lines, each with a timestamp in the precision that is sent, in pieces
//! that fit into a request.

use std::ops::Range;

use bytes::Bytes;

use super::Version;
use crate::{
    journal::Batch,
    lines::{Judged, Precision, Scanner},
};

/// What is left of a batch to send.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    batch: &'a Batch,
    precision: Precision,
    /// The batch's body, unpacked.
    body: Bytes,
    /// Where the next piece begins in it, and how many of its lines stand before.
    at: usize,
    lines_before: usize,
    piece_max_bytes: usize,
}

/// Lines that are sent together.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) precision: Precision,
    text: Vec<u8>,
    lines: Vec<Sent>,
}

/// A line of a piece.
#[derive(Debug)]
struct Sent {
    /// Where it ends in the piece's text; the next one begins there.
    end: usize,
    /// Its number in the client's batch, from 1.
    number: usize,
}

impl<'a> Outgoing<'a> {
    /// Takes a batch's accepted lines as the client wrote them, from its body as it is unpacked.
    pub(super) fn new(
        batch: &'a Batch,
        body: Bytes,
        version: Version,
        piece_max_bytes: usize,
    ) -> Self {
        Self {
            batch,
            precision: spoken(batch.precision, version),
            body,
            at: 0,
            lines_before: 0,
            piece_max_bytes,
        }
    }

    /// The next lines, as many as fit into a request, but one at least; `None` behind the last one.
    pub(super) fn next_piece(&mut self) -> Option<Piece> {
        let mut piece = Piece {
            precision: self.precision,
            text: Vec::new(),
            lines: Vec::new(),
        };
        let (begin, before) = (self.at, self.lines_before);
        let body = self.body.slice(begin..);
        let mut lines = Scanner::new(&body, self.batch.precision);
        while piece.text.len() < self.piece_max_bytes
            && let Some(line) = lines.next_line()
        {
            let range = begin + line.bytes.start..begin + line.bytes.end;
            if self.batch.refuses(&range) {
                continue;
            }
            // What comes next is scanned from here, so its first line is what is left of this one.
            self.at = range.end;
            self.lines_before = before + line.number - 1 + newlines(&body[line.bytes.clone()]);
            piece.add(&line, &body, self.batch, before + line.number);
        }
        (!piece.lines.is_empty()).then_some(piece)
    }
}

fn newlines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}

impl Piece {
    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The text of some of the lines.
    pub(super) fn text(&self, lines: Range<usize>) -> &[u8] {
        let end_of = |count: usize| match count.checked_sub(1) {
            Some(last) => self.lines[last].end,
            None => 0,
        };
        &self.text[end_of(lines.start)..end_of(lines.end)]
    }

    /// Some of the lines, each with its number in the client's batch and without its line end.
    pub(super) fn lines(&self, lines: Range<usize>) -> impl Iterator<Item = (usize, &[u8])> {
        lines.map(|at| {
            (
                self.lines[at].number,
                self.text(at..at + 1).trim_ascii_end(),
            )
        })
    }

    fn add(&mut self, line: &Judged<'_, '_>, body: &[u8], batch: &Batch, number: usize) {
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
        self.lines.push(Sent {
            end: self.text.len(),
            number,
        });
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
    use crate::{body::Encoding, journal::Provenance};

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
            provenance: Provenance::default(),
            encoding: Encoding::Identity,
            body: bytes::Bytes::copy_from_slice(body.as_bytes()),
            refused,
            verbatim_lines: None,
            series: Vec::new(),
        }
    }

    fn whole(body: &str, precision: Precision, version: Version) -> Option<Piece> {
        let batch = batch(body, precision);
        Outgoing::new(&batch, batch.body.clone(), version, usize::MAX).next_piece()
    }

    fn text(body: &str, precision: Precision, version: Version) -> String {
        let piece = whole(body, precision, version);
        let text = piece.map(|piece| String::from_utf8_lossy(piece.text(0..piece.len())).into());
        text.unwrap_or_default()
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
        let piece = whole(
            "a f=1 1\nb f=1 1\nc f=1 1",
            Precision::Seconds,
            Version::Two,
        )
        .expect("three lines");
        assert_eq!(piece.text(1..2), b"b f=1 1\n");
        assert_eq!(piece.text(1..3), b"b f=1 1\nc f=1 1\n");
        assert_eq!(piece.text(1..1), b"");
    }

    #[test]
    fn pieces_together_are_the_whole_and_know_their_lines() {
        let body = "# one\n a f=\"x\ny\" 1\r\nbad\n\nb f=1 1\nbad again\nc f=\"\n\n\"\n  d f=1 1\n";
        let batch = batch(body, Precision::Seconds);
        let whole = text(body, Precision::Seconds, Version::Two);
        for piece_max_bytes in 1..=whole.len() {
            let mut outgoing =
                Outgoing::new(&batch, batch.body.clone(), Version::Two, piece_max_bytes);
            let (mut sent, mut numbers) = (Vec::new(), Vec::new());
            while let Some(piece) = outgoing.next_piece() {
                sent.extend_from_slice(piece.text(0..piece.len()));
                numbers.extend(piece.lines(0..piece.len()).map(|(number, _)| number));
            }
            assert_eq!(
                String::from_utf8_lossy(&sent),
                whole,
                "in pieces of {piece_max_bytes}"
            );
            assert_eq!(numbers, [2, 6, 8, 11], "in pieces of {piece_max_bytes}");
        }
    }
}
