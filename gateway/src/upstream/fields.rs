//! Asks the server which fields it has, and of which types.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{BUCKET_DEFAULT, Upstream, probe::describe};
use crate::{guard::ListedField, lines::FieldType};

/// A server with millions of fields takes its time.
const TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Outcome>,
    /// What is wrong with the request as a whole; version 2 has it in `message`.
    #[serde(alias = "message")]
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    #[serde(default)]
    series: Vec<Series>,
    error: Option<String>,
}

/// A measurement with its fields; version 3 has the measurement in a column.
#[derive(Debug, Deserialize)]
struct Series {
    #[serde(default)]
    name: String,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(default)]
    values: Vec<Vec<Value>>,
}

impl Upstream {
    /// The bucket that is there from the start.
    #[must_use]
    pub fn default_bucket(&self) -> String {
        let set = self.0.settings.bucket.clone();
        set.unwrap_or_else(|| BUCKET_DEFAULT.to_owned())
    }

    /// Lists the fields of a bucket with their types; a field that has several stands there once for each. `None`: the
    /// server does not list fields.
    ///
    /// # Errors
    ///
    /// Says why the server did not answer.
    pub async fn fields(&self, bucket: &str) -> Result<Option<Vec<ListedField>>, String> {
        let mut parameters = vec![("q", "SHOW FIELD KEYS")];
        match bucket.split_once('/') {
            Some((database, policy)) => parameters.extend([("db", database), ("rp", policy)]),
            None => parameters.push(("db", bucket)),
        }
        let request = self.0.client.get(self.url("/query")).query(&parameters);
        let answer = self
            .authorized(request)
            .timeout(TIMEOUT)
            .send()
            .await
            .map_err(|error| describe(&error))?;
        let status = answer.status();
        if status.is_server_error()
            || status.is_redirection()
            || matches!(status.as_u16(), 401 | 403 | 429)
        {
            return Err(format!("SHOW FIELD KEYS was answered {status}"));
        }
        let body = answer.bytes().await.map_err(|error| describe(&error))?;
        Ok(listed(&body))
    }
}

/// Reads the answer to SHOW FIELD KEYS. A bucket that is not there has no fields.
fn listed(body: &[u8]) -> Option<Vec<ListedField>> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let errors = answer
        .results
        .iter()
        .filter_map(|outcome| outcome.error.as_deref());
    if let Some(error) = errors.chain(answer.error.as_deref()).next() {
        return error.contains("not found").then(Vec::new);
    }
    let series = answer.results.iter().flat_map(|outcome| &outcome.series);
    (!answer.results.is_empty()).then(|| series.flat_map(Series::fields).collect())
}

impl Series {
    fn fields(&self) -> Vec<ListedField> {
        let column = |name: &str| self.columns.iter().position(|column| column == name);
        let (Some(field), Some(field_type)) = (column("fieldKey"), column("fieldType")) else {
            return Vec::new();
        };
        let measurement = column("iox::measurement");
        let text =
            |row: &[Value], at: usize| row.get(at).and_then(Value::as_str).map(str::to_owned);
        let fields = self.values.iter().filter_map(|row| {
            let named = measurement.and_then(|at| text(row, at));
            Some(ListedField {
                measurement: named.unwrap_or_else(|| self.name.clone()),
                field: text(row, field)?,
                field_type: type_named(&text(row, field_type)?)?,
            })
        });
        fields.collect()
    }
}

fn type_named(name: &str) -> Option<FieldType> {
    FieldType::ALL
        .into_iter()
        .find(|field_type| field_type.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(measurement: &str, field: &str, field_type: FieldType) -> ListedField {
        ListedField {
            measurement: measurement.to_owned(),
            field: field.to_owned(),
            field_type,
        }
    }

    #[test]
    fn versions_1_and_2_list_a_series_for_each_measurement() {
        let body = br#"{"results":[{"statement_id":0,"series":[
            {"name":"cpu","columns":["fieldKey","fieldType"],"values":[["idle","float"],["n","integer"],["n","unsigned"]]},
            {"name":"log","columns":["fieldKey","fieldType"],"values":[["text","string"],["up","boolean"]]}]}]}"#;
        assert_eq!(
            listed(body).expect("a list"),
            [
                field("cpu", "idle", FieldType::Float),
                field("cpu", "n", FieldType::Integer),
                field("cpu", "n", FieldType::Unsigned),
                field("log", "text", FieldType::Text),
                field("log", "up", FieldType::Boolean),
            ]
        );
    }

    #[test]
    fn version_3_may_name_the_measurement_in_a_column() {
        let body = br#"{"results":[{"series":[{"name":"x","columns":["iox::measurement","fieldKey","fieldType"],"values":[["cpu","idle","float"]]}]}]}"#;
        let listed = listed(body).expect("a list");
        assert_eq!(listed, [field("cpu", "idle", FieldType::Float)]);
    }

    #[test]
    fn a_bucket_that_is_missing_has_no_fields_and_other_errors_say_nothing() {
        for (body, expected) in [
            (&b""[..], None),
            (b"unsupported path", None),
            (br#"{"error":"unable to parse"}"#, None),
            (
                br#"{"code":"not found","message":"database not found"}"#,
                Some(Vec::new()),
            ),
            (
                br#"{"results":[{"error":"database not found: x"}]}"#,
                Some(Vec::new()),
            ),
            (br#"{"results":[{"statement_id":0}]}"#, Some(Vec::new())),
        ] {
            assert_eq!(listed(body), expected);
        }
    }
}
