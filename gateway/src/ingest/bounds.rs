//! What a token may write, line by line.

use crate::{
    access::Bounds,
    glob::Glob,
    lines::{Parts, Refusal, Rule},
};

/// The tag that says whose points they are.
const HOST_TAG: &[u8] = b"host";

/// Holds an accepted line to measurements and host.
///
/// # Errors
///
/// Says what the token may write.
pub(super) fn check_line(bounds: &Bounds, parts: &Parts, text: &[u8]) -> Result<(), Refusal> {
    let measurement = parts.measurement_name(text);
    let is_meant = |name: &Glob| name.matches(&measurement);
    if !bounds.measurements.is_empty() && !bounds.measurements.iter().any(is_meant) {
        let names: Vec<_> = bounds.measurements.iter().map(Glob::to_string).collect();
        return Err(Refusal::at(
            Rule::TokenMeasurement,
            parts.measurement.start - parts.line_start,
            format!(
                "the token may write the measurements {} only",
                names.join(", ")
            ),
        ));
    }
    let Some(host) = &bounds.host else {
        return Ok(());
    };
    let tag = parts.tags.iter().find(|tag| tag.key.of(text) == HOST_TAG);
    match tag {
        Some(tag) if is_value(tag.value.of(text), host) => Ok(()),
        Some(tag) => Err(Refusal::at(
            Rule::TokenHost,
            tag.value.start - parts.line_start,
            format!("the token may write points of the host {host:?} only"),
        )),
        None => Err(Refusal::whole(
            Rule::TokenHost,
            format!(
                "the token may write points of the host {host:?} only, and the line has no tag host"
            ),
        )),
    }
}

/// Says whether a tag's value, escaped as in a line, is a text.
fn is_value(escaped: &[u8], value: &str) -> bool {
    let mut value = value.bytes();
    let mut bytes = escaped.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'\\' => bytes.next_if(|next| b", =".contains(next)).unwrap_or(byte),
            _ => byte,
        };
        if value.next() != Some(byte) {
            return false;
        }
    }
    value.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::{Precision, Scanner};

    #[test]
    fn lines_are_held_to_measurements_and_host() {
        let bounds = Bounds {
            buckets: Vec::new(),
            measurements: vec![Glob::new("cpu*"), Glob::new("my disk")],
            host: Some("web 1".into()),
        };
        for (line, rule) in [
            ("cpu,host=web\\ 1 f=1", None),
            ("cpu_load,a=b,host=web\\ 1 f=1", None),
            ("my\\ disk,host=web\\ 1 f=1", None),
            ("mem,host=web\\ 1 f=1", Some(Rule::TokenMeasurement)),
            ("cpu,host=web\\ 10 f=1", Some(Rule::TokenHost)),
            ("cpu,host=web f=1", Some(Rule::TokenHost)),
            ("cpu,ghost=web\\ 1 f=1", Some(Rule::TokenHost)),
        ] {
            let mut scanner = Scanner::new(line.as_bytes(), Precision::Seconds);
            let judged = scanner.next_line().expect("a line");
            let parts = judged.verdict.expect("a good line");
            let checked = check_line(&bounds, parts, line.as_bytes());
            assert_eq!(checked.err().map(|refusal| refusal.rule), rule, "{line}");
        }
    }
}
