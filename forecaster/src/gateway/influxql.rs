//! The pieces of InfluxQL that every server answers alike: quoted names, quoted texts, bounds of time.

use std::fmt::Write;

/// Quotes the name of a measurement, a tag or a field.
#[must_use]
pub fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Quotes the value of a tag.
#[must_use]
pub fn text(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Writes a condition that bounds the time from below, included, and above, excluded, in seconds since 1970.
#[must_use]
pub fn during(from_s: i64, until_s: i64) -> String {
    format!("time >= {from_s}000ms AND time < {until_s}000ms")
}

/// Adds a condition that each of these tags has its value.
pub fn push_tags<'a>(
    statement: &mut String,
    tags: impl IntoIterator<Item = (&'a String, &'a String)>,
) {
    for (key, value) in tags {
        let _ = write!(statement, "{} = {} AND ", name(key), text(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_inside_are_escaped() {
        assert_eq!(name(r#"a"b"#), r#""a\"b""#);
        assert_eq!(text("O'Neil"), r"'O\'Neil'");
        assert_eq!(text(r"C:\"), r"'C:\\'");
    }

    #[test]
    fn times_are_bounded_in_milliseconds() {
        assert_eq!(during(5, 10), "time >= 5000ms AND time < 10000ms");
    }
}
