//! How long the past is kept: what ended long ago is thrown away, a little at a time.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use crate::clock::{self, Clock};
use crate::logging::chain;
use crate::store::Store;

/// What is over, and how long that is kept.
#[derive(Debug)]
pub(crate) struct Archive {
    store: Arc<dyn Store>,
    clock: Clock,
    keep_for: Duration,
}

impl Archive {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock, keep_for: Duration) -> Self {
        Self { store, clock, keep_for }
    }

    /// Throws away what ended too long ago. Each batch is a job of its own: what comes in meanwhile goes between.
    pub(crate) async fn prune(&self) {
        let before = clock::before(self.clock.now(), self.keep_for);
        loop {
            match self.store.history_prune(before).await {
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => return,
                Err(error) => {
                    debug!(error = chain(&error), "the history is pruned next time");
                    return;
                }
            }
        }
    }
}
