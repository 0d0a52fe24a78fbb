//! A bar on standard error while a run goes on, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::interval;

/// Time between two pictures.
const TICK: Duration = Duration::from_millis(100);

/// A bar that looks by itself how far things are; gone when it is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    ticker: JoinHandle<()>,
}

impl Progress {
    /// `done` of `all` things; without `all` only their number.
    pub(crate) fn show(
        is_quiet: bool,
        what: &'static str,
        all: Option<u64>,
        mut done: impl FnMut() -> u64 + Send + 'static,
    ) -> Self {
        // Where standard error is no terminal, nothing is drawn.
        let target = if is_quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(all, target);
        let template = match all {
            Some(_) => "{msg:<12} {wide_bar} {human_pos} of {human_len}",
            None => "{msg:<12} {spinner} {human_pos} in {elapsed}, {per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        let shown = bar.clone();
        let ticker = tokio::spawn(async move {
            let mut ticks = interval(TICK);
            loop {
                ticks.tick().await;
                shown.set_position(done());
                shown.tick();
            }
        });
        Self { bar, ticker }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.ticker.abort();
        self.bar.finish_and_clear();
    }
}
