//! The one place that reads the clock. Everything else is told what time it is.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// Where the time comes from: the machine, or a test.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::advance`] moves it. For tests.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(watch::Sender::new(start))))
    }

    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => system_now(),
            Source::Manual(at) => *at.borrow(),
        }
    }

    /// Moves a manual clock, and wakes who sleeps until then. The machine's clock is not moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(at) = &self.0 {
            at.send_modify(|now| *now = after(*now, by));
        }
    }

    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(after(self.now(), duration)).await;
    }

    /// Returns at once when that time has passed.
    pub async fn sleep_until(&self, until: Timestamp) {
        match &self.0 {
            Source::System => {
                let left = until.duration_since(system_now());
                tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
            }
            Source::Manual(at) => {
                // The sender lives in `self`: waiting cannot fail while it is borrowed.
                drop(at.subscribe().wait_for(|now| *now >= until).await);
            }
        }
    }
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
