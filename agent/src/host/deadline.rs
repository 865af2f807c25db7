//! A bound in time on looking at one asset.
//!
//! A read from a dead disk or a stuck file server may never return, and cannot be cancelled. It gets a
//! thread of its own, which is left behind when the deadline passes; the scan goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use atrest_proto::model::Reason;

use crate::snapshot::Trouble;

/// How long one look at one asset may take.
pub const PER_ASSET: Duration = Duration::from_secs(5);

/// No more threads than this are left behind; then nothing that may hang is started.
const MAX_STUCK: usize = 64;

static RUNNING: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs `look` on a thread of its own and waits for it at most `limit`.
pub fn run<T: Send + 'static>(
    limit: Duration,
    what: &str,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Trouble> {
    if RUNNING.fetch_add(1, Ordering::AcqRel) >= MAX_STUCK {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
        return Err(Trouble::new(
            Reason::Timeout,
            format!("{what}: not tried, because {MAX_STUCK} earlier looks are still stuck"),
        ));
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let spawned = std::thread::Builder::new().name("look".to_owned()).spawn(move || {
        let _counted = Counted;
        // Nobody listens any more when the deadline has passed.
        drop(sender.send(look()));
    });
    if let Err(error) = spawned {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
        return Err(Trouble::new(Reason::Unreadable, format!("{what}: no thread: {error}")));
    }
    receiver.recv_timeout(limit).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => {
            Trouble::new(Reason::Timeout, format!("{what}: no answer within {limit:?}"))
        }
        mpsc::RecvTimeoutError::Disconnected => {
            Trouble::new(Reason::Unreadable, format!("{what}: the look ended without an answer"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_time_is_returned() {
        assert_eq!(run(PER_ASSET, "x", || 7), Ok(7));
    }

    #[test]
    fn a_look_that_hangs_costs_its_deadline_only() {
        let (release, held) = mpsc::channel::<()>();
        let trouble =
            run(Duration::from_millis(10), "/dev/dead", move || held.recv().is_ok()).unwrap_err();
        assert_eq!(trouble.reason, Reason::Timeout);
        assert!(trouble.detail.contains("/dev/dead"));
        drop(release);
    }
}
