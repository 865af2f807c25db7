//! Telling again what goes on, to those that forget.

use std::sync::Arc;

use tracing::debug;

use super::Notifier;
use crate::clock::Clock;
use crate::drain::Drain;
use crate::store::Store;

/// Tells a notifier again until `drain` turns true; returns at once when once is enough for it.
pub async fn run(
    notifier: Arc<dyn Notifier>,
    store: Arc<dyn Store>,
    clock: Clock,
    mut drain: Drain,
) {
    let Some(every) = notifier.resend_every() else { return };
    while !drain.is_draining() {
        if let Err(error) = notifier.resend(&*store, &clock).await {
            debug!(notifier = notifier.name(), error = %error, "could not be told again");
        }
        tokio::select! {
            () = clock.sleep(every) => {}
            () = drain.wait() => {}
        }
    }
}
