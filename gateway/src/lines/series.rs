//! Measurement and tags: `measurement[,key=value…]`.
//!
//! A backslash escapes the separator behind it, whatever stands before the backslash, as in InfluxDB.

use super::{
    Rule,
    parts::{Span, TagSpan},
    scanner::{Parsed, Scanner},
};

const FIELDS_MISSING: &str = "the line has no fields; write `measurement,tag=value field=1`";
const VALUE_MISSING: &str = "a tag has no value; write `key=value`";

impl Scanner<'_> {
    /// Parses measurement and tags up to the space behind them.
    #[inline]
    pub(super) fn series(&mut self) -> Parsed<()> {
        let start = self.start;
        if self.text[start] == b',' {
            return self.refuse(
                Rule::Measurement,
                start,
                "the measurement is missing before the tags",
            );
        }
        let mut comma_is_escaped = false;
        loop {
            match self.byte {
                b',' | b' ' if !self.is_escaped(start) => break,
                b',' => comma_is_escaped = true,
                b'=' if comma_is_escaped => {
                    return self.refuse(
                        Rule::Measurement,
                        self.at,
                        "the comma before this tag is escaped, which makes the tag a part of the measurement; write it without the backslash",
                    );
                }
                b'\n' if !self.newline_is_escaped() => {
                    return self.refuse(Rule::Field, self.line_end(), FIELDS_MISSING);
                }
                b'\n' => self.newlines += 1,
                _ => {}
            }
            self.advance();
        }
        self.parts.measurement = Span {
            start,
            end: self.at,
        };
        while self.byte == b',' {
            let key = self.tag_key()?;
            let value = self.tag_value()?;
            self.parts.tags.push(TagSpan { key, value });
        }
        Ok(())
    }

    /// Parses a tag's key behind the comma in hand, up to its equals sign.
    #[inline]
    fn tag_key(&mut self) -> Parsed<Span> {
        let start = self.at + 1;
        self.advance();
        if self.at == start {
            match self.byte {
                b',' | b' ' | b'\n' => {
                    return self.refuse(
                        Rule::Tag,
                        start,
                        "a tag is missing behind the comma; write `,key=value`",
                    );
                }
                b'=' => {
                    return self.refuse(Rule::Tag, start, "a tag has no key; write `key=value`");
                }
                _ => {}
            }
        }
        loop {
            match self.byte {
                b'=' if !self.is_escaped(start) => break,
                b',' | b' ' if !self.is_escaped(start) => {
                    return self.refuse(Rule::Tag, self.at, VALUE_MISSING);
                }
                b'\n' if !self.newline_is_escaped() => {
                    return self.refuse(Rule::Tag, self.line_end(), VALUE_MISSING);
                }
                b'\n' => self.newlines += 1,
                _ => {}
            }
            self.advance();
        }
        Ok(Span {
            start,
            end: self.at,
        })
    }

    /// Parses a tag's value behind the equals sign in hand, up to the comma or space behind it.
    #[inline]
    fn tag_value(&mut self) -> Parsed<Span> {
        let start = self.at + 1;
        self.advance();
        if self.at == start && matches!(self.byte, b',' | b' ' | b'\n') {
            return self.refuse(
                Rule::Tag,
                start,
                "a tag's value is empty; leave the tag out instead",
            );
        }
        loop {
            match self.byte {
                b',' | b' ' if !self.is_escaped(start) => break,
                b'=' if self.at > start && !self.is_escaped(start) => {
                    return self.refuse(
                        Rule::Tag,
                        self.at,
                        "a tag's value holds an equals sign; write it as `\\=`",
                    );
                }
                b'\n' if !self.newline_is_escaped() => {
                    return self.refuse(Rule::Field, self.line_end(), FIELDS_MISSING);
                }
                b'\n' => self.newlines += 1,
                _ => {}
            }
            self.advance();
        }
        Ok(Span {
            start,
            end: self.at,
        })
    }

    /// Says whether the separator in hand stands behind a backslash of the name that begins at `start`.
    #[inline]
    fn is_escaped(&self, start: usize) -> bool {
        self.at > start && self.text[self.at - 1] == b'\\'
    }
}
