//! Progress on stderr: a bar on a terminal, a line every tenth where there is none.

use std::{
    io::{IsTerminal, stderr},
    sync::atomic::{AtomicU64, Ordering},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const TEMPLATE: &str =
    "{msg:>10} [{bar:40}] {percent:>3} %  {human_pos} lines, {per_sec}, {eta} left";

/// How far a push is.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: u64,
    done: AtomicU64,
    tenths: AtomicU64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins to show a push of about `total` lines.
    #[must_use]
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(TEMPLATE)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            bar.with_style(style).with_message(what)
        });
        Self {
            what,
            total: total.max(1),
            done: AtomicU64::new(0),
            tenths: AtomicU64::new(0),
            bar,
        }
    }

    /// Shows nothing but notes: for a push without an end.
    #[must_use]
    pub fn endless(what: &'static str) -> Self {
        Self {
            what,
            total: u64::MAX,
            done: AtomicU64::new(0),
            tenths: AtomicU64::new(0),
            bar: None,
        }
    }

    /// Counts lines that were pushed.
    pub fn advance(&self, lines: u64) {
        let done = self.done.fetch_add(lines, Ordering::Relaxed) + lines;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let tenths = (done as f64 / self.total as f64 * 10.0) as u64;
        if self.tenths.fetch_max(tenths, Ordering::Relaxed) < tenths {
            eprintln!("{}: {} %, {done} lines", self.what, (tenths * 10).min(100));
        }
    }

    /// Says something without disturbing the bar.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("{}: {text}", self.what)),
            None => eprintln!("{}: {text}", self.what),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
