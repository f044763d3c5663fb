//! Progress of long work on stderr: a bar on a terminal, a line an item where there is none.

use std::{
    io::{IsTerminal, stderr},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};

const TEMPLATE: &str = "{prefix} [{bar:30}] {pos}/{len}  {elapsed} so far, {eta} left  {msg}";

/// How far a piece of work is.
pub(super) struct Shown {
    what: &'static str,
    total: u64,
    done: AtomicU64,
    begun: Instant,
    bar: Option<ProgressBar>,
}

impl Shown {
    /// Begins to show work on `total` items.
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(TEMPLATE)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            ProgressBar::new(total).with_style(style).with_prefix(what)
        });
        Self {
            what,
            total,
            done: AtomicU64::new(0),
            begun: Instant::now(),
            bar,
        }
    }

    /// Counts an item that is done.
    pub(super) fn done(&self, item: &str) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(bar) = &self.bar {
            bar.set_message(item.to_owned());
            bar.set_position(done);
            return;
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let left = seconds / done as f64 * (self.total.saturating_sub(done)) as f64;
        eprintln!(
            "{} {done}/{}, {seconds:.0} s so far, about {left:.0} s left: {item}",
            self.what, self.total
        );
    }
}
