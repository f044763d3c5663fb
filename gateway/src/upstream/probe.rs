//! Asks the server which version it is.

use reqwest::StatusCode;

use super::{CONNECT_TIMEOUT, Upstream, Version, write::refused};

impl Upstream {
    /// The server's version: as set, or as `/ping` says.
    pub(super) async fn version(&self) -> Result<Version, String> {
        if let Some(version) = self.0.version.get() {
            return Ok(*version);
        }
        // Version 3 wants its token here too; the others do not look.
        let request = self.authorized(self.0.client.get(self.url("/ping")));
        let answer = request
            .timeout(CONNECT_TIMEOUT)
            .send()
            .await
            .map_err(|error| describe(&error))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("/ping: {}", refused(status)));
        }
        let named = answer.headers().get("x-influxdb-version");
        if named.is_none() && status != StatusCode::NO_CONTENT {
            return Err(format!(
                "/ping: it answered {status} without a version; check that its address is an InfluxDB's, or set \
                 HEADROOM_INFLUX_VERSION"
            ));
        }
        let header = named
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        // Version 2 says `v2.7.x` or, built from source, nothing useful; VictoriaMetrics, which takes version 2, answers 204
        // without the header; the others always say theirs.
        let number = header.trim_start_matches('v');
        let version = if number.starts_with("1.") {
            Version::One
        } else if number.starts_with("3.") {
            Version::Three
        } else {
            Version::Two
        };
        tracing::info!(server = header, ?version, "InfluxDB answers");
        Ok(*self.0.version.get_or_init(|| version))
    }
}

/// Says what went wrong with a request, to its root, without the address, which may hold credentials.
pub(super) fn describe(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        cause.to_string()
    }
}
