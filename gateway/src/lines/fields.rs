//! Fields and timestamp: `key=value[,key=value…] [timestamp]`.
//!
//! In keys and strings backslashes pair, as in InfluxDB: what stands behind one is escaped, be it a backslash itself.

use super::{
    FieldType, Rule, STRING_MAX_BYTES,
    parts::{FieldSpan, Span},
    scanner::{Parsed, Scanner},
    value,
};

impl Scanner<'_> {
    /// Parses the fields behind the space in hand, up to the space or the line's end behind them.
    #[inline]
    pub(super) fn fields(&mut self) -> Parsed<()> {
        let mut start = self.skip_blanks(self.at);
        loop {
            let key = self.field_key(start)?;
            let field = self.field_value(key)?;
            self.parts.fields.push(field);
            if self.byte != b',' {
                return Ok(());
            }
            start = self.at + 1;
            self.advance();
        }
    }

    /// Parses the key that begins at `start`, up to its equals sign.
    #[inline]
    fn field_key(&mut self, start: usize) -> Parsed<Span> {
        while self.byte != b'=' {
            match self.byte {
                b'\\' => self.skip_escaped(),
                b',' | b' ' | b'\n' => return self.refuse_key(start),
                _ => {}
            }
            self.advance();
        }
        let key = Span {
            start,
            end: self.at,
        };
        if key.is_empty() {
            return self.refuse(Rule::Field, start, "a field has no key; write `key=value`");
        }
        if self.text[self.at - 1] == b'\\' {
            return self.refuse(
                Rule::Field,
                self.at - 1,
                "a field key ends in a backslash, which can be read in two ways; end it in another character",
            );
        }
        Ok(key)
    }

    #[cold]
    fn refuse_key<T>(&self, start: usize) -> Parsed<T> {
        let end = self.part_end();
        let is_last = self.byte == b'\n';
        let reason = match (self.parts.fields.is_empty(), end == start) {
            (true, _) if is_last => "the line has no fields; write `measurement,tag=value field=1`",
            (_, true) => "a field is missing here; write `key=value`",
            (_, false) => "a field has no value; write `key=value`",
        };
        self.refuse(Rule::Field, end, reason)
    }

    /// Parses the value behind the equals sign in hand, up to the comma, the space or the line's end behind it.
    #[inline]
    fn field_value(&mut self, key: Span) -> Parsed<FieldSpan> {
        let start = self.at + 1;
        if self.text.get(start) == Some(&b'"') {
            return self.string_value(key);
        }
        self.advance();
        while !matches!(self.byte, b',' | b' ' | b'\n') {
            self.advance();
        }
        let end = self.part_end();
        if end == start {
            return self.refuse(
                Rule::Field,
                start,
                "a field's value is empty; leave the field out instead",
            );
        }
        let value = Span { start, end };
        let text = value.of(self.text);
        let non_digits = self.separators.non_digits(start, end);
        let field_type = non_digits.and_then(|non_digits| value::judge_plain(text, non_digits));
        match field_type.map_or_else(|| value::judge(text), Ok) {
            Ok(field_type) => Ok(FieldSpan {
                key,
                value,
                field_type,
            }),
            Err((rule, reason)) => self.refuse(rule, start, reason),
        }
    }

    fn string_value(&mut self, key: Span) -> Parsed<FieldSpan> {
        self.advance();
        let start = self.at;
        if !self.string() {
            return self.refuse(Rule::Quotes, start, "the string's closing quote is missing");
        }
        let end = self.at + 1;
        self.advance();
        if self.byte == b'\r' && self.at == end && self.text.get(end + 1) == Some(&b'\n') {
            self.advance();
        }
        if self.part_end() != end || !matches!(self.byte, b',' | b' ' | b'\n') {
            return self.refuse(
                Rule::Quotes,
                end,
                "text stands behind the string's closing quote; write a quote inside a string as `\\\"`",
            );
        }
        if end - start - 2 > STRING_MAX_BYTES {
            return self.refuse(Rule::TooLong, start, "the string is over 1 MiB");
        }
        Ok(FieldSpan {
            key,
            value: Span { start, end },
            field_type: FieldType::Text,
        })
    }

    /// Parses what stands behind the fields: nothing, or a timestamp.
    #[inline]
    pub(super) fn timestamp(&mut self) -> Parsed<()> {
        if self.byte == b'\n' {
            return Ok(());
        }
        let start = self.skip_blanks(self.at);
        while !matches!(self.byte, b' ' | b'\n') {
            self.advance();
        }
        let span = Span {
            start,
            end: self.part_end(),
        };
        if span.is_empty() {
            return Ok(());
        }
        let Some(timestamp) = value::integer(span.of(self.text)) else {
            return self.refuse(
                Rule::Timestamp,
                start,
                "what follows the fields is no timestamp; a timestamp is one whole number",
            );
        };
        while self.byte == b' ' {
            self.advance();
        }
        let behind = if self.byte == b'\n' {
            self.line_end()
        } else {
            self.at + 1
        };
        let mut rest = self.text[span.end..behind].iter();
        if let Some(offset) = rest.position(|byte| *byte != b' ') {
            return self.refuse(
                Rule::Timestamp,
                span.end + offset,
                "text stands behind the timestamp",
            );
        }
        let time_ns = timestamp
            .ok()
            .and_then(|timestamp| self.precision.to_ns(timestamp));
        if time_ns.is_none() {
            return self.refuse(
                Rule::TimeRange,
                start,
                "the timestamp is outside the years 1677 to 2262; check the precision of the request",
            );
        }
        self.parts.timestamp = Some(span);
        self.parts.time_ns = time_ns;
        Ok(())
    }
}
