//! Where lines begin and end.
//!
//! A newline ends a line unless it stands inside a string, and quotes count only where a field's value is due (after
//! the first unescaped space, with more `=` than `,`), as in InfluxDB. Where InfluxDB's own rule would let one line
//! swallow others, this one does not: a comment ends at its newline whatever quotes it holds, a backslash outside a
//! string does not hide a newline, and a string that never closes ends with its first line.

use std::ops::Range;

/// Where a line stands in the batch's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLine {
    /// Its number, from 1, as an editor counts.
    pub number: usize,
    /// Its bytes, without the line end and the blanks around it.
    pub bytes: Range<usize>,
}

/// Finds the lines that are neither blank nor comments.
pub fn split(text: &[u8]) -> impl Iterator<Item = RawLine> {
    let mut at = 0;
    let mut number = 1;
    std::iter::from_fn(move || {
        while at < text.len() {
            let start = at + leading_blanks(&text[at..]);
            let end = if text.get(start) == Some(&b'#') {
                first_newline(text, start)
            } else {
                line_end(text, start)
            };
            let newlines = memchr::memchr_iter(b'\n', &text[at..end]).count();
            let this = number;
            number += newlines + 1;
            at = end + 1;
            let end = start + trimmed_len(&text[start..end]);
            if end > start && text[start] != b'#' {
                return Some(RawLine {
                    number: this,
                    bytes: start..end,
                });
            }
        }
        None
    })
}

fn leading_blanks(text: &[u8]) -> usize {
    text.iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
        .count()
}

fn trimmed_len(line: &[u8]) -> usize {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.iter()
        .rposition(|byte| *byte != b' ')
        .map_or(0, |last| last + 1)
}

fn first_newline(text: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', &text[from..]).map_or(text.len(), |offset| from + offset)
}

/// The offset of the newline that ends the line at `start`, or the text's length.
fn line_end(text: &[u8], start: usize) -> usize {
    let plain_end = first_newline(text, start);
    // Nearly every line holds no quote, and is done here.
    if memchr::memchr(b'"', &text[start..plain_end]).is_none() {
        return plain_end;
    }
    let (mut in_fields, mut quoted) = (false, false);
    let (mut equals, mut commas) = (0_usize, 0_usize);
    let mut at = start;
    while at < text.len() {
        match text[at] {
            // Outside a string an escaped newline still ends the line.
            b'\\' if quoted || text.get(at + 1) != Some(&b'\n') => at += 1,
            b'\n' if !quoted => return at,
            b' ' if !quoted => in_fields = true,
            b'"' if in_fields && equals > commas => quoted = !quoted,
            b'=' if in_fields && !quoted => equals += 1,
            b',' if in_fields && !quoted => commas += 1,
            _ => {}
        }
        at += 1;
    }
    if quoted { plain_end } else { text.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(usize, &str)> {
        split(text.as_bytes())
            .map(|line| (line.number, &text[line.bytes]))
            .collect()
    }

    #[test]
    fn blanks_and_comments_are_passed_over_and_counted() {
        assert_eq!(
            lines("\n# it's \"odd\nm f=1\r\n\r\n  n f=2  \n\n"),
            [(3, "m f=1"), (5, "n f=2")]
        );
        assert_eq!(lines(""), []);
        assert_eq!(lines("\n\n # only a comment"), []);
    }

    #[test]
    fn a_newline_in_a_string_does_not_end_its_line() {
        assert_eq!(
            lines("m f=\"a\nb\",g=1\nn f=2"),
            [(1, "m f=\"a\nb\",g=1"), (3, "n f=2")]
        );
        assert_eq!(lines("m,t=\"a f=1\nn f=2").len(), 2);
        assert_eq!(
            lines("m f=\"a\\\"\nb\" 1\nn f=2"),
            [(1, "m f=\"a\\\"\nb\" 1"), (3, "n f=2")]
        );
    }

    #[test]
    fn a_string_that_never_closes_ends_with_its_first_line() {
        assert_eq!(
            lines("m f=\"open\nn f=1\no f=2"),
            [(1, "m f=\"open"), (2, "n f=1"), (3, "o f=2")]
        );
    }

    #[test]
    fn a_backslash_does_not_hide_a_newline() {
        assert_eq!(lines("m f=1\\\nn f=2"), [(1, "m f=1\\"), (2, "n f=2")]);
        assert_eq!(
            lines("m f=\"x\",g=1\\\nn f=2"),
            [(1, "m f=\"x\",g=1\\"), (2, "n f=2")]
        );
    }
}
