//! What one repository may cost: requests and time.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use super::store::Failure;

/// Counts down. It is one look's own, on one thread.
#[derive(Debug)]
pub(super) struct Budget {
    allowed: u32,
    used: Cell<u32>,
    ends: Instant,
    timeout: Duration,
}

impl Budget {
    pub(super) fn new(requests: u32, timeout: Duration) -> Self {
        Self { allowed: requests, used: Cell::new(0), ends: Instant::now() + timeout, timeout }
    }

    /// Pays for a request; `Err` says in a line for people what was used up.
    pub(super) fn pay(&self) -> Result<(), String> {
        if self.used.get() >= self.allowed {
            return Err(format!("the {} requests that are allowed were used up", self.allowed));
        }
        if Instant::now() >= self.ends {
            return Err(format!("the {} s that are allowed were used up", self.timeout.as_secs()));
        }
        self.used.set(self.used.get() + 1);
        Ok(())
    }

    pub(super) fn used(&self) -> u32 {
        self.used.get()
    }

    /// Waits for one request for as long as there is time. What it ends with is an answer, or `Unreachable`.
    pub(super) async fn within<T>(
        &self,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::time::timeout_at(self.ends, request).await.unwrap_or_else(|_| {
            Err(Failure::Unreachable(format!("no answer in {} s", self.timeout.as_secs())))
        })
    }
}
