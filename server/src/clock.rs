//! The one place that reads the clock. Everything else is told what time it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// How long to sleep before looking at the clock again.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Where the time comes from: the machine, or a test.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { made_at: Instant },
    Manual { made_at: Timestamp, now: Arc<watch::Sender<Timestamp>> },
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System { made_at: instant() })
    }

    /// A clock that stands still until [`Clock::advance`] moves it. For tests.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual { made_at: start, now: Arc::new(watch::Sender::new(start)) })
    }

    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => system_now(),
            Source::Manual { now, .. } => *now.borrow(),
        }
    }

    /// For how long this clock has run. It goes on steadily when the time of day is set, so that nobody has been silent
    /// for an hour because a clock was wrong.
    pub fn uptime(&self) -> Duration {
        match &self.0 {
            Source::System { made_at } => instant().saturating_duration_since(*made_at),
            Source::Manual { made_at, now } => {
                Duration::try_from(now.borrow().duration_since(*made_at)).unwrap_or_default()
            }
        }
    }

    /// Moves a manual clock, and wakes who sleeps until then. The machine's clock is not moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { now: at, .. } = &self.0 {
            at.send_modify(|now| *now = after(*now, by));
        }
    }

    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(after(self.now(), duration)).await;
    }

    /// Returns at once when that time has passed.
    pub async fn sleep_until(&self, until: Timestamp) {
        match &self.0 {
            Source::System { .. } => loop {
                let left = until.duration_since(system_now());
                let Some(left) = Duration::try_from(left).ok().filter(|left| !left.is_zero())
                else {
                    return;
                };
                // The time may be set meanwhile.
                tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
            },
            Source::Manual { now: at, .. } => {
                // The sender lives in `self`: waiting cannot fail while it is borrowed.
                drop(at.subscribe().wait_for(|now| *now >= until).await);
            }
        }
    }
}

fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the shell that reads the clock")]
fn system_now() -> Timestamp {
    Timestamp::now()
}

/// `at` plus `by`, or the end of time.
pub fn after(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// `at` minus `by`, or the beginning of time.
pub fn before(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(Timestamp::from_second(60).unwrap()).await;
                clock.now()
            }
        });
        clock.advance(Duration::from_mins(1));
        assert_eq!(sleeper.await.unwrap(), Timestamp::from_second(60).unwrap());
    }
}
