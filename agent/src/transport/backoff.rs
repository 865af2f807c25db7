//! How long to wait before the next try: exponential, bounded, with full jitter, so that a fleet that was cut off at
//! one moment does not come back at one moment. Chance is a parameter.

use std::time::Duration;

/// How many of the longest waits pass before a server that is done with this agent is asked again: an hour with the
/// defaults. Enrolling again is noticed at once; this is for a server that was restored from a backup.
const PARKED: u32 = 60;

/// A server that asks to be left alone for longer is not obeyed.
const LONGEST_ASKED: Duration = Duration::from_mins(10);

/// How long to stay away when the server asked for that: never less, and not exactly as long as others that it asked the
/// same. `fraction` is uniform in `[0, 1)`.
pub fn as_asked(asked: Duration, fraction: f64) -> Duration {
    asked.min(LONGEST_ASKED).mul_f64(fraction.clamp(0.0, 1.0).mul_add(0.25, 1.0))
}

/// A source of fractions in `[0, 1)`.
pub type Chance = Box<dyn FnMut() -> f64 + Send>;

/// The bounds of the waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first wait is at most this. After a server restart the whole fleet spreads over it.
    pub first: Duration,
    /// No wait is longer.
    pub most: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { first: Duration::from_secs(2), most: Duration::from_mins(1) }
    }
}

/// Counts the tries since the last success.
#[derive(Debug, Clone)]
pub struct Backoff {
    bounds: Bounds,
    failures: u32,
}

impl Backoff {
    pub const fn new(bounds: Bounds) -> Self {
        Self { bounds, failures: 0 }
    }

    /// The wait after one more failure. `fraction` is uniform in `[0, 1)`.
    pub fn after_failure(&mut self, fraction: f64) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(fraction.clamp(0.0, 1.0))
    }

    /// The wait after a refusal that only a person can lift: always long, never exactly together.
    pub fn after_refusal(&mut self, fraction: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.bounds.most.mul_f64(fraction.clamp(0.0, 1.0).mul_add(0.5, 0.5))
    }

    /// The wait after the server said that it is done with this agent's identity.
    pub fn after_the_end(&mut self, fraction: f64) -> Duration {
        self.after_refusal(fraction).saturating_mul(PARKED)
    }

    /// It worked: the next failure starts from the beginning.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub const fn bounds(&self) -> Bounds {
        self.bounds
    }

    fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.bounds.first.saturating_mul(factor).min(self.bounds.most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_doubles_up_to_the_bound_and_starts_again_after_success() {
        let mut backoff = Backoff::new(Bounds::default());
        let waits: Vec<_> = (0..8).map(|_| backoff.after_failure(1.0).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        backoff.succeeded();
        assert_eq!(backoff.after_failure(0.5), Duration::from_secs(1));
    }

    #[test]
    fn what_the_server_asks_for_is_kept_and_not_by_all_at_one_moment() {
        let minute = Duration::from_mins(1);
        assert_eq!(as_asked(minute, 0.0), minute);
        assert_eq!(as_asked(minute, 1.0), Duration::from_secs(75));
        assert_eq!(as_asked(Duration::from_hours(9), 0.0), LONGEST_ASKED);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_bound(failures in 0_usize..200, fraction in 0.0_f64..1.0) {
            let mut backoff = Backoff::new(Bounds::default());
            for _ in 0..failures {
                prop_assert!(backoff.after_failure(fraction) <= backoff.bounds().most);
            }
            let refused = backoff.after_refusal(fraction);
            prop_assert!(refused <= backoff.bounds().most && refused >= backoff.bounds().most / 2);
            prop_assert!(backoff.after_the_end(fraction) >= Duration::from_mins(30));
        }
    }
}
