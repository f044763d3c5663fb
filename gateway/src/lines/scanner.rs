//! From a batch's text to lines, in one pass: where each line begins and ends, and what became of it.
//!
//! A line is parsed from separator to separator (`series`, `fields`), and ends where its parser meets a newline outside
//! of a string and not behind a backslash in a name, as in InfluxDB. A line with a fault is passed over to its end by
//! [`Scanner::recover`]: strings that open behind it are stepped over, so that what stands in them is not taken for lines, unless
//! one never closes; and a comment ends at its newline whatever quotes it holds. No byte is passed more than twice.

use std::ops::Range;

use super::{Line, Point, Precision, Refusal, Rule, parts::Parts, separators::Separators};

/// Walks over the lines of a text. What an accepted line consists of is kept until the next one.
pub struct Scanner<'a> {
    pub(super) text: &'a [u8],
    pub(super) precision: Precision,
    pub(super) parts: Parts,
    /// Where the line in hand begins.
    pub(super) start: usize,
    /// The separator in hand.
    pub(super) at: usize,
    /// Its byte; a newline at the text's end.
    pub(super) byte: u8,
    /// Where the next line begins.
    next_start: usize,
    /// Newlines that were passed.
    pub(super) newlines: usize,
    reads_alike: bool,
    pub(super) separators: Separators<'a>,
}

/// How far a scanner has come in a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checkpoint {
    offset: usize,
    newlines: usize,
}

/// A line that is neither blank nor a comment, as it lies in the text.
#[derive(Debug)]
pub struct Judged<'s, 'a> {
    /// Its number in the batch, from 1, as an editor counts.
    pub number: usize,
    /// Where it stands in the batch's text, without its line end and the blanks around it.
    pub bytes: Range<usize>,
    /// Its parts, or why it was refused.
    pub verdict: Result<&'s mut Parts, Refusal>,
    text: &'a [u8],
}

impl<'a> Judged<'_, 'a> {
    /// Builds the point of an accepted line.
    #[must_use]
    pub fn into_line(self) -> Line<'a> {
        let verdict = self.verdict.map(|parts| Point::of(parts, self.text));
        Line {
            number: self.number,
            bytes: self.bytes,
            verdict,
        }
    }
}

/// A parser's way out: the refusal of the line in hand.
pub(super) type Parsed<T> = Result<T, Refusal>;

impl<'a> Scanner<'a> {
    /// Starts before a text's first line.
    #[must_use]
    pub fn new(text: &'a [u8], precision: Precision) -> Self {
        Self {
            text,
            precision,
            parts: Parts::default(),
            start: 0,
            at: 0,
            byte: b'\n',
            next_start: 0,
            newlines: 0,
            reads_alike: true,
            separators: Separators::new(text),
        }
    }

    /// Starts where another scanner of the same text has come to.
    #[must_use]
    pub fn resume(text: &'a [u8], precision: Precision, checkpoint: Checkpoint) -> Self {
        let mut scanner = Self::new(text, precision);
        scanner.separators.rewind(checkpoint.offset.min(text.len()));
        scanner.next_start = checkpoint.offset;
        scanner.newlines = checkpoint.newlines;
        scanner
    }

    /// Where the next line begins.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            offset: self.next_start,
            newlines: self.newlines,
        }
    }

    /// Says whether InfluxDB reads what was passed so far as it is read here: CR LF, and quotes and backslashes in comments,
    /// it reads otherwise.
    #[must_use]
    pub fn reads_alike(&self) -> bool {
        self.reads_alike
    }

    /// Judges the next line; `None` behind the last one.
    pub fn next_line(&mut self) -> Option<Judged<'_, 'a>> {
        let number = self.enter_line()?;
        let verdict = match self.line() {
            Ok(()) => self.parts.check(self.text),
            Err((refusal, in_fields)) => {
                self.recover(in_fields);
                Err(refusal)
            }
        };
        let end = self.line_end();
        self.leave_line();
        let bytes = self.start..trimmed_end(self.text, self.start, end);
        let verdict = self.check_encoding(&bytes).and(verdict);
        Some(Judged {
            number,
            verdict: verdict.map(|()| &mut self.parts),
            bytes,
            text: self.text,
        })
    }

    /// Passes on to the next separator.
    #[inline]
    pub(super) fn advance(&mut self) {
        self.at = self.separators.next();
        self.byte = self.text.get(self.at).copied().unwrap_or(b'\n');
    }

    /// Refuses the line in hand for what stands at an offset in the text.
    #[cold]
    pub(super) fn refuse<T>(&self, rule: Rule, at: usize, reason: &'static str) -> Parsed<T> {
        Err(Refusal::at(rule, at - self.parts.line_start, reason))
    }

    /// Says whether the newline in hand stands in a name: behind a backslash that is none's own escape.
    pub(super) fn newline_is_escaped(&self) -> bool {
        let before = &self.text[self.start..self.at];
        let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
        backslashes.count() % 2 == 1 && self.at + 1 < self.text.len()
    }

    /// Passes over blanks that begin at `from`, the separator in hand being the first at or after it.
    #[inline]
    pub(super) fn skip_blanks(&mut self, mut from: usize) -> usize {
        while self.at == from && matches!(self.byte, b' ' | b'\t' | 0) {
            from += 1;
            self.advance();
        }
        from
    }

    /// Where the line in hand ends, which is before a carriage return if the newline in hand is behind one.
    #[inline]
    pub(super) fn line_end(&self) -> usize {
        let is_crlf =
            self.at < self.text.len() && self.at > self.start && self.text[self.at - 1] == b'\r';
        self.at - usize::from(is_crlf)
    }

    /// Where the part before the separator in hand ends.
    #[inline]
    pub(super) fn part_end(&self) -> usize {
        if self.byte == b'\n' {
            self.line_end()
        } else {
            self.at
        }
    }

    /// Moves to the next line that is neither blank nor a comment, and answers its number.
    fn enter_line(&mut self) -> Option<usize> {
        while self.next_start < self.text.len() {
            self.advance();
            self.parts.line_start = self.next_start;
            self.start = self.skip_blanks(self.next_start);
            match &self.text[self.start..] {
                [b'#', ..] => {
                    while self.byte != b'\n' {
                        self.reads_alike &= !matches!(self.byte, b'"' | b'\\');
                        self.advance();
                    }
                }
                [b'\r', b'\n', ..] => self.advance(),
                [] | [b'\n', ..] => {}
                _ => return Some(self.newlines + 1),
            }
            self.leave_line();
        }
        None
    }

    /// Passes the newline in hand.
    fn leave_line(&mut self) {
        self.reads_alike &= self.line_end() == self.at;
        self.newlines += 1;
        self.next_start = self.at + 1;
    }

    /// Parses the line in hand up to the newline behind it; on a fault says whether it was met in the fields.
    fn line(&mut self) -> Result<(), (Refusal, bool)> {
        self.parts.clear();
        self.series().map_err(|refusal| (refusal, false))?;
        self.fields()
            .and_then(|()| self.timestamp())
            .map_err(|refusal| (refusal, true))
    }

    /// Passes from a fault to the end of its line.
    #[cold]
    fn recover(&mut self, mut in_fields: bool) {
        while self.byte != b'\n' {
            match self.byte {
                b' ' => in_fields = true,
                b'"' if in_fields && self.text[self.at - 1] == b'=' => {
                    self.string();
                    if self.byte == b'\n' {
                        return;
                    }
                }
                _ => {}
            }
            self.advance();
        }
    }

    /// Passes over the string whose opening quote is in hand, to its closing quote. A string that never closes ends with
    /// its first line: the newline is then in hand, and the answer is false.
    pub(super) fn string(&mut self) -> bool {
        let (open, newlines) = (self.at, self.newlines);
        loop {
            self.advance();
            match self.byte {
                b'"' => return true,
                b'\\' => self.skip_escaped(),
                b'\n' if self.at < self.text.len() => self.newlines += 1,
                _ => {}
            }
            if self.at >= self.text.len() {
                break;
            }
        }
        self.newlines = newlines;
        let line = &self.text[open..];
        self.separators
            .rewind(open + memchr::memchr(b'\n', line).unwrap_or(line.len()));
        self.advance();
        false
    }

    /// Passes over the byte behind the backslash in hand, if that byte is a separator.
    pub(super) fn skip_escaped(&mut self) {
        let escaped = self.at + 1;
        let next = self.text.get(escaped).copied();
        if next.is_some_and(Separators::is_one) {
            self.advance();
            self.newlines += usize::from(next == Some(b'\n'));
        }
    }

    /// Refuses a line that is not UTF-8, whatever else is wrong with it.
    fn check_encoding(&mut self, bytes: &Range<usize>) -> Result<(), Refusal> {
        if !self.separators.take_non_ascii() {
            return Ok(());
        }
        match std::str::from_utf8(&self.text[bytes.clone()]) {
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::at(
                Rule::Encoding,
                bytes.start + error.valid_up_to() - self.parts.line_start,
                "the line is not UTF-8 from here on",
            )),
        }
    }
}

fn trimmed_end(text: &[u8], start: usize, end: usize) -> usize {
    let last = text[start..end].iter().rposition(|byte| *byte != b' ');
    last.map_or(start, |last| start + last + 1)
}
