//! A series' key: its measurement and tags as one text.

/// Escapes what separates a series key's parts.
fn push_escaped(key: &mut String, text: &str, separators: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| separators.contains(&byte)) {
        key.push_str(&rest[..at]);
        key.push('\\');
        key.push_str(&rest[at..=at]);
        rest = &rest[at + 1..];
    }
    key.push_str(rest);
}

/// Writes a series' key as InfluxDB does: `measurement,tag=value,…`.
#[must_use]
pub fn series_key<'a>(
    measurement: &str,
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut key = String::with_capacity(64);
    push_series_key(&mut key, measurement, tags);
    key
}

/// Writes a series' key behind what a text holds.
pub(crate) fn push_series_key<'a>(
    key: &mut String,
    measurement: &str,
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    push_escaped(key, measurement, b", ");
    for (name, value) in tags {
        key.push(',');
        push_escaped(key, name, b", =");
        key.push('=');
        push_escaped(key, value, b", =");
    }
}
