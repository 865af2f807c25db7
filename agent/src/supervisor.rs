//! What the service manager is told (`sd_notify(3)`): that the daemon runs, that it is alive, that it ends.
//!
//! Started by anybody else, the daemon tells nobody.

#![forbid(unsafe_code)]

use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon runs: what waits for it may go on.
pub(crate) fn ready() {
    tell(NotifyState::Ready);
}

/// The daemon was asked to end, and does so in good order.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says that the daemon is alive, twice as often as the service manager wants to hear it; for ever.
///
/// It has to run on the daemon's own thread: while that thread is stuck, nothing is said.
pub(crate) async fn stay_alive() {
    stay_alive_while(|| true).await;
}

/// The same, as long as `is_well` says so.
pub(crate) async fn stay_alive_while(is_well: impl Fn() -> bool) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut beat = tokio::time::interval((patience / 2).max(Duration::from_millis(1)));
    loop {
        beat.tick().await;
        if is_well() {
            tell(NotifyState::Watchdog);
        }
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
