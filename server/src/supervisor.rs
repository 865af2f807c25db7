//! What the service manager is told (`sd_notify(3)`): that the server serves, that it is alive, that it ends.
//!
//! Started by anybody else, the server tells nobody.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::hub::Hub;

/// The ports are open: what waits for the server may go on.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// The server was asked to end, and drains.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says that the server is alive, twice as often as the service manager wants to hear it, as long as what all
/// requests need answers; for ever.
pub async fn stay_alive(hub: &Hub) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut beat = tokio::time::interval((patience / 2).max(Duration::from_millis(1)));
    loop {
        beat.tick().await;
        hub.answers().await;
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(error = %error, "the service manager cannot be told");
    }
}
