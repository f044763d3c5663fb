//! A recording in memory: its lines, whose times they are, and where they are moved.

use std::{
    collections::HashMap,
    fmt,
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use influxdb_line_protocol::{parse_lines, split_lines};

use crate::push::Batch;

/// A recording is held in memory; a larger one is not taken, in bytes after decompression.
pub const RECORDING_MAX_BYTES: u64 = 2 << 30;

/// The first bytes of a gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file is not readable, or its gzip is damaged.
    #[error("the recording {path} is not readable")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is too large.
    #[error(
        "the recording {path} holds more than {RECORDING_MAX_BYTES} bytes; split it and replay the parts"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not text.
    #[error(
        "the recording {path} is not UTF-8 at byte {at}; line protocol, plain or gzipped, is right"
    )]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first bad byte.
        at: usize,
    },
    /// There is nothing to replay.
    #[error("the recording holds no good line with a timestamp{}", first_reason(.bad))]
    Empty {
        /// What is wrong with the lines that there are.
        bad: Vec<BadLine>,
    },
    /// A timestamp leaves the range of its precision when it is moved.
    #[error(
        "line {line}: the timestamp {time} cannot be moved to now; is --precision the unit of the file's timestamps?"
    )]
    OutOfRange {
        /// The line's number, from 1.
        line: usize,
        /// Its timestamp.
        time: i64,
    },
}

fn first_reason(bad: &[BadLine]) -> String {
    bad.first()
        .map(|line| format!("; {line}"))
        .unwrap_or_default()
}

/// A line that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The line's number, from 1.
    pub number: usize,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.reason)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Line {
    number: usize,
    /// The line's text up to its timestamp.
    text: Range<usize>,
    pub(super) time: i64,
    host: usize,
}

/// A recording in memory.
#[derive(Debug)]
pub struct Recording {
    text: String,
    lines: Vec<Line>,
    /// The last timestamp of each host; lines without a host share one.
    last: Vec<i64>,
    /// The lines that are left out.
    pub bad: Vec<BadLine>,
}

/// Reads a file of line protocol, gzipped or not.
///
/// # Errors
///
/// Where the file is not readable, too large or not text.
pub fn read(path: &Path) -> Result<String, ReplayError> {
    let unreadable = |source| ReplayError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let raw = std::fs::read(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    if raw.starts_with(&GZIP_MAGIC) {
        MultiGzDecoder::new(&raw[..])
            .take(RECORDING_MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
    } else {
        bytes = raw;
    }
    if bytes.len() as u64 > RECORDING_MAX_BYTES {
        return Err(ReplayError::TooLarge {
            path: path.to_owned(),
        });
    }
    String::from_utf8(bytes).map_err(|error| ReplayError::NotText {
        path: path.to_owned(),
        at: error.utf8_error().valid_up_to(),
    })
}

impl Recording {
    /// Parses a recording.
    ///
    /// # Errors
    ///
    /// Where no line is good. Single bad lines are kept in [`Recording::bad`].
    pub fn parse(text: String) -> Result<Self, ReplayError> {
        let mut lines = Vec::new();
        let mut bad = Vec::new();
        let mut hosts: HashMap<String, usize> = HashMap::new();
        let mut last: Vec<i64> = Vec::new();
        let (mut number, mut offset) = (1, 0);
        for piece in split_lines(&text) {
            match parse_line(piece) {
                None => {}
                Some(Err(reason)) => bad.push(BadLine { number, reason }),
                Some(Ok((length, time, host))) => {
                    let next = hosts.len();
                    let host = *hosts.entry(host).or_insert(next);
                    if host == last.len() {
                        last.push(time);
                    }
                    last[host] = last[host].max(time);
                    lines.push(Line {
                        number,
                        text: offset..offset + length,
                        time,
                        host,
                    });
                }
            }
            number += 1 + piece.bytes().filter(|byte| *byte == b'\n').count();
            offset += piece.len() + 1;
        }
        if lines.is_empty() {
            return Err(ReplayError::Empty { bad });
        }
        Ok(Self {
            text,
            lines,
            last,
            bad,
        })
    }

    /// Answers how many lines will be pushed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Says whether there is nothing to push; a parsed recording always has a line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Answers how many hosts there are.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.last.len()
    }

    /// Moves the times so that the last point, or each host's last point, lies at `now`.
    ///
    /// # Errors
    ///
    /// Where a time leaves the range of 64 bits.
    pub fn move_to(&mut self, now: i64, align_hosts: bool) -> Result<(), ReplayError> {
        let end = self.last.iter().copied().max().unwrap_or(now);
        for line in &mut self.lines {
            let last = if align_hosts {
                self.last[line.host]
            } else {
                end
            };
            // Every time is at most the last, so that now − (last − time) is at most now.
            let moved = last
                .checked_sub(line.time)
                .and_then(|before| now.checked_sub(before));
            line.time = moved.ok_or(ReplayError::OutOfRange {
                line: line.number,
                time: line.time,
            })?;
        }
        self.last.fill(now);
        Ok(())
    }

    /// Sorts the lines by time; lines of one time keep their order.
    pub fn sort(&mut self) {
        self.lines.sort_by_key(|line| line.time);
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Writes a run of lines with their moved times.
    pub(super) fn batch(&self, lines: &[Line]) -> Batch {
        let mut text = Vec::with_capacity(lines.len() * 128);
        for line in lines {
            text.extend_from_slice(&self.text.as_bytes()[line.text.clone()]);
            text.push(b' ');
            text.extend_from_slice(line.time.to_string().as_bytes());
            text.push(b'\n');
        }
        Batch::new(lines.len() as u64, &text)
    }

    /// Answers the whole as batches of at most `batch_lines`.
    pub fn batches(&self, batch_lines: usize) -> impl Iterator<Item = Batch> {
        self.lines
            .chunks(batch_lines)
            .map(|lines| self.batch(lines))
    }
}

/// Answers the length up to the timestamp, the timestamp and the host; none for a blank line or a comment.
fn parse_line(piece: &str) -> Option<Result<(usize, i64, String), String>> {
    let line = piece.trim_end();
    let parsed = match parse_lines(line).next()? {
        Ok(parsed) => parsed,
        Err(error) => return Some(Err(error.to_string())),
    };
    let Some(time) = parsed.timestamp else {
        return Some(Err(
            "no timestamp; a replay needs one on every line".to_owned()
        ));
    };
    let host = parsed
        .series
        .tag_set
        .iter()
        .flatten()
        .find(|(key, _)| *key == "host")
        .map(|(_, value)| value.to_string())
        .unwrap_or_default();
    let length = line.rfind(' ')?;
    Some(Ok((line[..length].trim_end().len(), time, host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# recorded\ncpu,cpu=cpu-total,host=a usage_idle=1 100\n\
        mem,host=b used=2i,note=\"two\nlines 7\" 900\r\ncpu,host=a usage_idle=3 200\nup f=1 50\n";

    fn moved(now: i64, align_hosts: bool) -> String {
        let mut recording = Recording::parse(FILE.to_owned()).expect("good lines");
        recording.move_to(now, align_hosts).expect("small times");
        let batch = recording.batches(100).next().expect("a batch");
        let mut text = String::new();
        MultiGzDecoder::new(&batch.body[..])
            .read_to_string(&mut text)
            .expect("gzip of text");
        text
    }

    #[test]
    fn one_shift_moves_the_last_point_to_now() {
        assert_eq!(
            moved(1000, false),
            "cpu,cpu=cpu-total,host=a usage_idle=1 200\nmem,host=b used=2i,note=\"two\nlines 7\" 1000\n\
             cpu,host=a usage_idle=3 300\nup f=1 150\n"
        );
    }

    #[test]
    fn alignment_moves_every_hosts_last_point_to_now() {
        assert_eq!(
            moved(1000, true),
            "cpu,cpu=cpu-total,host=a usage_idle=1 900\nmem,host=b used=2i,note=\"two\nlines 7\" 1000\n\
             cpu,host=a usage_idle=3 1000\nup f=1 1000\n"
        );
    }

    #[test]
    fn bad_lines_are_named_and_left_out() {
        let recording =
            Recording::parse("cpu f=1 1\n\ncpu f=\"a\nb\" 2\ncpu f=oops 3\ncpu f=1\n".into())
                .expect("good lines");
        assert_eq!(recording.len(), 2);
        let numbers: Vec<usize> = recording.bad.iter().map(|bad| bad.number).collect();
        assert_eq!(numbers, [5, 6]);
        assert!(recording.bad[1].reason.contains("no timestamp"));
        assert!(matches!(
            Recording::parse("oops\n".into()),
            Err(ReplayError::Empty { bad }) if bad.len() == 1
        ));
    }

    #[test]
    fn a_time_that_cannot_be_moved_is_named() {
        let text = format!("m f=1 {}\nm f=1 {}\n", i64::MIN + 1, i64::MAX - 1);
        let mut recording = Recording::parse(text).expect("good lines");
        let error = recording.move_to(1000, false).expect_err("too far apart");
        assert!(error.to_string().contains("--precision"), "{error}");
    }
}
