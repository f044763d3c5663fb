//! Pushes a file of line protocol to a running gateway, with a progress bar.
//!
//! The file goes in batches of whole lines, also where a quoted text holds a newline. What the gateway asks to send later
//! is sent again; lines that it refuses are counted and named in the log, and the import goes on.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Client, StatusCode};

use super::CommandError;
use crate::{
    config::ImportArgs,
    lines::{self, Precision},
};

/// A batch's size: some thousands of lines, and well under every default limit.
const BATCH_BYTES: usize = 2 << 20;
/// A line that is longer than this ends the import: it is no line protocol.
const LINE_BYTES_MAX: usize = 64 << 20;
/// How long a batch may take.
const TIMEOUT: Duration = Duration::from_mins(1);
/// How often a batch is sent again before the import ends.
const REPEATS: usize = 8;

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Batches that were taken whole.
    pub batches: u64,
    /// Batches of which lines were refused.
    pub batches_with_refusals: u64,
    /// Bytes of line protocol that were sent.
    pub sent_bytes: u64,
}

/// Why a batch did not go through.
enum PushError {
    /// It may be sent again.
    Later(String),
    Never(String),
}

/// Imports a file.
///
/// # Errors
///
/// When the file cannot be read, or the gateway does not take a batch at all.
pub async fn import(args: &ImportArgs) -> Result<ImportReport, CommandError> {
    let precision = Precision::of_v1(&args.precision)
        .map_err(|error| CommandError::Invalid(error.to_string()))?;
    let target = Target::new(args)?;
    let (mut reader, bar) = open(&args.file)?;
    let mut report = ImportReport::default();
    let mut pending: Vec<u8> = Vec::new();
    loop {
        let read = reader
            .by_ref()
            .take(BATCH_BYTES as u64)
            .read_to_end(&mut pending)
            .map_err(CommandError::file("read", &args.file))?;
        let whole = if read == 0 {
            pending.len()
        } else {
            whole_lines(&pending, precision)
        };
        if whole == 0 && read > 0 && pending.len() > LINE_BYTES_MAX {
            return Err(CommandError::Invalid(format!(
                "{} has a line of over {LINE_BYTES_MAX} bytes; it is no line protocol",
                args.file.display()
            )));
        }
        if whole > 0 {
            let rest = pending.split_off(whole);
            let batch = Bytes::from(std::mem::replace(&mut pending, rest));
            let sent_bytes = batch.len() as u64;
            match target.push(batch).await? {
                None => report.batches += 1,
                Some(refused) => {
                    report.batches_with_refusals += 1;
                    bar.suspend(|| tracing::warn!("{refused}"));
                }
            }
            report.sent_bytes += sent_bytes;
        }
        if read == 0 {
            bar.finish();
            return Ok(report);
        }
    }
}

/// Returns where the last whole line ends.
fn whole_lines(text: &[u8], precision: Precision) -> usize {
    // The last line may go on in what is not read yet.
    let mut ends = lines::scan(text, precision).map(|line| line.bytes.start);
    let mut start_of_last = 0;
    for start in &mut ends {
        start_of_last = start;
    }
    start_of_last
}

fn open(path: &Path) -> Result<(Box<dyn Read>, ProgressBar), CommandError> {
    let failed = CommandError::file("open", path);
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(size).with_style(style);
    let mut reader = BufReader::new(bar.wrap_read(file));
    let start =
        std::io::BufRead::fill_buf(&mut reader).map_err(CommandError::file("read", path))?;
    let is_gzip = start.starts_with(&[0x1f, 0x8b]);
    let reader: Box<dyn Read> = if is_gzip {
        Box::new(MultiGzDecoder::new(reader))
    } else {
        Box::new(reader)
    };
    Ok((reader, bar))
}

/// The gateway and where its points go.
struct Target {
    client: Client,
    args: ImportArgs,
    url: url::Url,
}

impl Target {
    fn new(args: &ImportArgs) -> Result<Self, CommandError> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| CommandError::Invalid(error.to_string()))?;
        let mut url = args.url.clone();
        url.path_segments_mut()
            .map_err(|()| {
                CommandError::Invalid("the URL has no path; write http://HOST:PORT".to_owned())
            })?
            .pop_if_empty()
            .push("write");
        url.query_pairs_mut()
            .append_pair("db", &args.database)
            .append_pair("precision", &args.precision);
        if let Some(policy) = &args.retention_policy {
            url.query_pairs_mut().append_pair("rp", policy);
        }
        Ok(Self {
            client,
            args: args.clone(),
            url,
        })
    }

    /// Sends a batch until it is taken; answers the refusal where lines were refused.
    async fn push(&self, batch: Bytes) -> Result<Option<String>, CommandError> {
        let once = || self.push_once(batch.clone());
        let repeats = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_times(REPEATS);
        let is_later = |error: &PushError| matches!(error, PushError::Later(_));
        once.retry(repeats).when(is_later).await.map_err(|error| {
            let (PushError::Later(reason) | PushError::Never(reason)) = error;
            CommandError::Gateway {
                url: self.args.url.clone(),
                reason,
            }
        })
    }

    async fn push_once(&self, batch: Bytes) -> Result<Option<String>, PushError> {
        let mut request = self.client.post(self.url.clone()).body(batch);
        if let Some(token) = &self.args.token {
            request = request.bearer_auth(token.expose());
        }
        let away = |error: reqwest::Error| PushError::Later(format!("cannot be reached: {error}"));
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        let body = answer.text().await.unwrap_or_default();
        match status {
            StatusCode::NO_CONTENT => Ok(None),
            StatusCode::BAD_REQUEST => Ok(Some(body)),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                Err(PushError::Later(format!("asked to come later: {body}")))
            }
            _ => Err(PushError::Never(format!("answered {status}: {body}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_before_the_line_that_may_go_on() {
        let text = b"m a=1 1\nm b=\"x\ny\" 2\nm c=\"not yet";
        let whole = whole_lines(text, Precision::Nanoseconds);
        assert_eq!(&text[whole..], b"m c=\"not yet");
        assert_eq!(whole_lines(b"m a=1", Precision::Nanoseconds), 0);
    }
}
