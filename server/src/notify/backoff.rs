//! How long to wait before the next attempt. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(1);

/// The wait after `attempts` failures: doubles up to an hour. `jitter` in 0..1 spreads it by a quarter each way,
/// so that receivers that come back are not met by everyone at once.
pub fn delay(attempts: u32, jitter: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let delay = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    delay.mul_f64(0.75 + 0.5 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_from_a_second_to_an_hour() {
        let seconds: Vec<_> =
            [1, 2, 3, 12, 13, 99].map(|attempts| delay(attempts, 0.5).as_secs()).into();
        assert_eq!(seconds, [1, 2, 4, 2048, 3600, 3600]);
    }

    #[test]
    fn jitter_spreads_it_both_ways() {
        assert_eq!(delay(3, 0.0), Duration::from_secs(3));
        assert_eq!(delay(3, 1.0), Duration::from_secs(5));
    }
}
