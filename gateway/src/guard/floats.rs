//! Fields whose integers become floats.
//!
//! `1i` becomes `1`: the letter goes, the digits stay, and so the body that is journalled says what every reader will
//! read. An integer beyond 2^53 becomes, where it is read, the float nearest to it, as any float with that many digits.

use std::str::FromStr;

use crate::{
    glob::Glob,
    lines::{FieldType, Parts},
};

/// The fields that are meant, as pairs of measurement and field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FloatFields(Vec<(Glob, Glob)>);

/// A text that does not name fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no fields; write `measurement.field`, several with commas between them, such as cpu.usage_*,mem.*"
)]
pub struct FloatFieldsInvalid(String);

impl FromStr for FloatFields {
    type Err = FloatFieldsInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pair = |word: &str| {
            let named = word.trim().split_once('.');
            let (measurement, field) = named
                .filter(|(measurement, field)| !measurement.is_empty() && !field.is_empty())
                .ok_or_else(|| FloatFieldsInvalid(word.to_owned()))?;
            Ok((Glob::new(measurement), Glob::new(field)))
        };
        text.split(',')
            .map(pair)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FloatFields {
    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes floats of a line's integers that are meant, and notes where in the text the letters stand that have to go.
    pub fn convert(&self, parts: &mut Parts, text: &[u8], letters: &mut Vec<u32>) {
        let measurement = parts.measurement_name(text);
        let here = |(name, _): &&(Glob, Glob)| name.matches(&measurement);
        if !self.0.iter().any(|pair| here(&pair)) {
            return;
        }
        for field in &mut parts.fields {
            if !matches!(field.field_type, FieldType::Integer | FieldType::Unsigned) {
                continue;
            }
            let name = field.key_name(text);
            let mut globs = self.0.iter().filter(here);
            if globs.any(|(_, glob)| glob.matches(&name)) {
                field.field_type = FieldType::Float;
                field.value.end -= 1;
                letters.push(field.value.end as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::{FieldValue, Point, Precision, Scanner};

    #[test]
    fn integers_of_the_named_fields_become_floats_and_others_stay() {
        let fields: FloatFields = "cpu.usage_*, m*.n".parse().expect("valid");
        let text = b"cpu,host=a usage_idle=9i,usage_user=1u,usage_irq=.5,n=3i";
        let mut scanner = Scanner::new(text, Precision::Nanoseconds);
        let line = scanner.next_line().expect("a line");
        let parts = line.verdict.expect("valid");
        let mut letters = Vec::new();
        fields.convert(parts, text, &mut letters);
        let point = Point::of(parts, text);
        let values: Vec<_> = point.fields.into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            [
                FieldValue::Float(9.0),
                FieldValue::Float(1.0),
                FieldValue::Float(0.5),
                FieldValue::Integer(3)
            ]
        );
        let removed: Vec<u8> = letters.iter().map(|at| text[*at as usize]).collect();
        assert_eq!(removed, b"iu");
    }

    #[test]
    fn beyond_two_to_the_53_the_nearest_float_is_meant() {
        let fields: FloatFields = "m.f".parse().expect("valid");
        for (written, read) in [
            ("9007199254740993i", 9_007_199_254_740_992.0),
            ("-9223372036854775808i", -9_223_372_036_854_775_808.0),
            ("18446744073709551615u", 18_446_744_073_709_551_616.0),
        ] {
            let text = format!("m f={written}");
            let mut scanner = Scanner::new(text.as_bytes(), Precision::Nanoseconds);
            let parts = scanner.next_line().expect("a line").verdict.expect("valid");
            fields.convert(parts, text.as_bytes(), &mut Vec::new());
            let point = Point::of(parts, text.as_bytes());
            assert_eq!(point.fields[0].1, FieldValue::Float(read), "{written}");
        }
    }

    #[test]
    fn a_word_without_measurement_and_field_is_named() {
        for text in ["cpu", "cpu.", ".usage", "cpu.a,,b.c", ""] {
            let error = text.parse::<FloatFields>().expect_err(text);
            assert!(error.to_string().contains("measurement.field"), "{error}");
        }
    }
}
