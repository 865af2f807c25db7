//! Writes the audit log for what is not a change: calls that were denied, and calls that failed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{debug, warn};

use crate::audit::{Denials, Denied, Entry, denied};
use crate::clock::{self, Clock};
use crate::logging::chain;
use crate::store::Store;

/// How long the log is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) keep_for: Duration,
    pub(crate) max_entries: u64,
}

/// The writing end of the audit log.
#[derive(Debug)]
pub(crate) struct Journal {
    store: Arc<dyn Store>,
    clock: Clock,
    retention: Retention,
    denials: Mutex<Denials>,
}

impl Journal {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock, retention: Retention) -> Self {
        Self { store, clock, retention, denials: Mutex::default() }
    }

    /// A call was denied. Costs no write.
    pub(crate) fn deny(&self, denied: Denied) {
        let now = self.clock.now();
        self.denials.lock().unwrap_or_else(PoisonError::into_inner).note(denied, now);
    }

    /// A call failed. The caller is answered whether or not this could be written.
    pub(crate) async fn fail(&self, entry: Entry) {
        if let Err(error) = self.store.audit_append(vec![entry]).await {
            warn!(error = chain(&error), "a failed call is missing from the audit log");
        }
    }

    /// Writes what was denied since the last time.
    pub(crate) async fn flush(&self) {
        let taken = self.denials.lock().unwrap_or_else(PoisonError::into_inner).take();
        if taken.is_empty() {
            return;
        }
        let entries = taken.iter().map(|(key, at, count)| denied(key, *at, *count)).collect();
        if let Err(error) = self.store.audit_append(entries).await {
            debug!(error = chain(&error), "denied calls are kept for the next time");
            self.denials.lock().unwrap_or_else(PoisonError::into_inner).put_back(taken);
        }
    }

    /// Throws away what is older, or more, than is to be kept.
    pub(crate) async fn prune(&self) {
        let Retention { keep_for, max_entries } = self.retention;
        let before = clock::before(self.clock.now(), keep_for);
        loop {
            match self.store.audit_prune(before, max_entries).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    debug!(error = chain(&error), "the audit log is pruned next time");
                    return;
                }
            }
        }
    }
}
