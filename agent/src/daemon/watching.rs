//! The watch as the loop has it: started, ended, and started again after a wait.

use std::io;

use tokio::time::Instant;

use crate::transport::backoff::{Backoff, Bounds};
use crate::watch::{Signals, Watch};

#[derive(Debug)]
pub(super) struct Watching {
    watch: Option<Watch>,
    signals: Option<Signals>,
    backoff: Backoff,
    since: Instant,
    again_at: Option<Instant>,
}

impl Watching {
    pub(super) fn new(watch: Option<Watch>, again: Bounds) -> Self {
        let backoff = Backoff::new(again);
        Self { watch, signals: None, backoff, since: Instant::now(), again_at: None }
    }

    pub(super) fn start(&mut self) -> io::Result<()> {
        self.again_at = None;
        let Some(watch) = &self.watch else { return Ok(()) };
        self.since = Instant::now();
        self.signals = Some(watch.start()?);
        Ok(())
    }

    /// It has ended for this reason: it is told, and started again later.
    pub(super) fn ended(&mut self, why: &str, fraction: f64) {
        self.signals = None;
        let Some(watch) = &self.watch else { return };
        watch.lost(why);
        if self.since.elapsed() >= self.backoff.bounds().most {
            self.backoff.succeeded();
        }
        self.again_at = Some(Instant::now() + self.backoff.after_failure(fraction));
    }

    /// When to start it again.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.again_at
    }

    /// Something changed; `None` when the watch has ended. Without one, never. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Option<()> {
        match &mut self.signals {
            Some(signals) => signals.next().await,
            None => std::future::pending().await,
        }
    }
}
