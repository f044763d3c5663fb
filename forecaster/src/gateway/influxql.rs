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

/// Adds a condition that one of these sets of tags has its values; none where a set is empty, which any series meets.
pub fn push_any_of<'a>(
    statement: &mut String,
    any_of: impl IntoIterator<Item = &'a [(String, String)]>,
) {
    let all_of = |tags: &[(String, String)]| {
        let tags = tags.iter();
        let tags = tags.map(|(key, value)| format!("{} = {}", name(key), text(value)));
        tags.collect::<Vec<_>>().join(" AND ")
    };
    let any_of: Vec<String> = any_of.into_iter().map(all_of).collect();
    if any_of.iter().any(String::is_empty) {
        return;
    }
    match any_of.as_slice() {
        [] => {}
        [one] => {
            let _ = write!(statement, "{one} AND ");
        }
        several => {
            let _ = write!(statement, "({}) AND ", several.join(" OR "));
        }
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
    fn sets_of_tags_stand_beside_each_other() {
        let tags = |tags: &[(&str, &str)]| -> Vec<(String, String)> {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            tags.iter().map(owned).collect()
        };
        let pushed = |sets: &[Vec<(String, String)>]| {
            let mut statement = String::new();
            push_any_of(&mut statement, sets.iter().map(Vec::as_slice));
            statement
        };
        let (root, data) = (tags(&[("path", "/")]), tags(&[("path", "/data")]));
        assert_eq!(pushed(std::slice::from_ref(&root)), r#""path" = '/' AND "#);
        assert_eq!(
            pushed(&[root, data]),
            r#"("path" = '/' OR "path" = '/data') AND "#
        );
        let two = tags(&[("a", "1"), ("b", "2")]);
        assert_eq!(
            pushed(&[two.clone(), two]),
            r#"("a" = '1' AND "b" = '2' OR "a" = '1' AND "b" = '2') AND "#
        );
        assert_eq!(pushed(&[Vec::new()]), "");
    }

    #[test]
    fn times_are_bounded_in_milliseconds() {
        assert_eq!(during(5, 10), "time >= 5000ms AND time < 10000ms");
    }
}
