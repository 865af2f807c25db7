//! The watch as the loop has it: started, ended, and started again after a wait.

use std::io;

use tokio::time::Instant;

use crate::observer::{Heard, Watcher};
use crate::transport::backoff::{Backoff, Bounds};

#[derive(Debug)]
pub(super) struct Watching {
    watch: Option<Watcher>,
    signals: Option<Heard>,
    backoff: Backoff,
    since: Instant,
    again_at: Option<Instant>,
}

impl Watching {
    pub(super) fn new(watch: Option<Watcher>, again: Bounds) -> Self {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::watch::Watch;

    const BOUNDS: Bounds = Bounds { first: Duration::from_secs(1), most: Duration::from_mins(1) };

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_ends_is_told_and_started_again_later_each_time() {
        let watch = Watch::new("/", || Timestamp::UNIX_EPOCH);
        let mut watching = Watching::new(Some(watch.clone().into()), BOUNDS);
        for seconds in [1, 2, 4] {
            watching.start().unwrap();
            assert_eq!(watching.due(), None);
            watching.next().await.expect("it tells that it began");
            watching.ended("it fell over", 1.0);
            assert_eq!(watching.due(), Some(Instant::now() + Duration::from_secs(seconds)));
        }
        let gaps = watch.gaps(Timestamp::UNIX_EPOCH);
        assert!(gaps.iter().any(|gap| gap.detail.contains("it fell over")), "{gaps:?}");
        // One that held on for long begins anew.
        watching.start().unwrap();
        tokio::time::advance(BOUNDS.most).await;
        watching.ended("it fell over", 1.0);
        assert_eq!(watching.due(), Some(Instant::now() + BOUNDS.first));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_watch_nothing_is_told_and_nothing_is_due() {
        let mut watching = Watching::new(None, BOUNDS);
        watching.start().unwrap();
        watching.ended("nothing", 1.0);
        assert_eq!(watching.due(), None);
        assert!(tokio::time::timeout(BOUNDS.most, watching.next()).await.is_err());
    }
}
