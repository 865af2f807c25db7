//! Telling people: takes what is due from the outbox, delivers it, and tries again until it is delivered.
//!
//! At least once, with the same id each time; a message of an alert waits for the one before it. What cannot be
//! delivered is kept and listed.

pub mod alertmanager;
pub mod backoff;
pub mod elasticsearch;
pub mod email;
#[cfg(test)]
mod fixture;
mod http;
pub(crate) mod link;
mod open;
pub mod pagerduty;
pub mod resend;
pub mod signature;
pub mod slack;
pub mod syslog;
pub mod text;
pub mod webhook;
pub mod why;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use tracing::{debug, info, warn};

use crate::alert::{Alert, AlertState};
use crate::clock::{self, Clock};
use crate::drain::Drain;
use crate::hex;
use crate::logging::chain;
use crate::store::{Attempt, DueDelivery, Store, StoreError};
pub use open::{OpenError, build, check};

/// Messages that are on their way at one time, for one notifier.
const TOGETHER: usize = 8;
/// Messages that are taken from the outbox at one time.
const BATCH: usize = 64;
/// The longest pause that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// How long to leave a store alone that does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Something to tell.
#[derive(Debug)]
pub struct Message<'a> {
    pub alert: &'a Alert,
    /// What is told of it; the alert may have moved on since.
    pub state: AlertState,
}

impl Message<'_> {
    /// The same for every attempt: receivers deduplicate on it.
    pub fn id(&self) -> String {
        format!("{}-{}", self.alert.alert_id, self.state.as_str())
    }
}

/// Messages that are told together: at least one, all of one cluster, of no alert more than one.
#[derive(Debug)]
pub struct Notice<'a> {
    pub messages: Vec<Message<'a>>,
}

impl Notice<'_> {
    /// The same for the same messages, in whatever order. Of a single message it is the message's own.
    pub fn id(&self) -> String {
        if let [message] = self.messages.as_slice() {
            return message.id();
        }
        let mut ids: Vec<String> = self.messages.iter().map(Message::id).collect();
        ids.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(b"atrest.notice/1");
        for id in ids {
            hash.update([0]);
            hash.update(id.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        hex::encode(digest.split_at(16).0)
    }
}

/// Why a notice was not taken.
#[derive(Debug, Clone, Error)]
#[error("{why}")]
pub struct NotTaken {
    /// For people. Without a secret, also not of a URL.
    pub why: String,
    /// How long the receiver asked to be left alone.
    pub retry_after: Option<Duration>,
}

impl NotTaken {
    pub fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), retry_after: None }
    }
}

/// A way to tell people.
#[async_trait]
pub trait Notifier: Send + Sync + std::fmt::Debug {
    fn name(&self) -> &str;
    /// After this many attempts a message is given up.
    fn max_attempts(&self) -> u32;
    /// How many messages one notice may hold, at least one.
    fn together(&self) -> usize;
    /// Tells of all messages of a notice, or fails: then all of them are told again.
    async fn deliver(&self, notice: &Notice<'_>, clock: &Clock) -> Result<(), NotTaken>;
    /// How often to call `resend`; `None` where once is enough.
    fn resend_every(&self) -> Option<Duration> {
        None
    }
    /// Tells again of everything that fires and that it was told of.
    async fn resend(&self, _: &dyn Store, _: &Clock) -> Result<(), NotTaken> {
        Ok(())
    }
}

/// Delivers for one notifier until `drain` turns true.
pub async fn run(
    notifier: Arc<dyn Notifier>,
    store: Arc<dyn Store>,
    mut outbox: watch::Receiver<u64>,
    clock: Clock,
    mut drain: Drain,
) {
    // What was done but could not be written down: it is not done again.
    let unrecorded = Mutex::new(Vec::<(i64, Attempt)>::new());
    while !drain.is_draining() {
        outbox.mark_unchanged();
        let due = match take(&*notifier, &*store, &unrecorded, &clock).await {
            Ok(due) => due,
            Err(error) => {
                debug!(notifier = notifier.name(), error = chain(&error), "the outbox waits");
                tokio::select! {
                    () = tokio::time::sleep(STORE_PAUSE) => {}
                    () = drain.wait() => {}
                }
                continue;
            }
        };
        if due.deliveries.is_empty() {
            let next = async {
                match due.next_at {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = next => {}
                changed = outbox.changed() => if changed.is_err() { break },
                () = drain.wait() => {}
            }
            continue;
        }
        futures_util::stream::iter(due.deliveries)
            .for_each_concurrent(TOGETHER, |delivery| async {
                let id = delivery.delivery_id;
                let attempt = attempt(&*notifier, delivery, &clock).await;
                if store.delivery_record(id, attempt.clone()).await.is_err() {
                    unrecorded.lock().await.push((id, attempt));
                }
            })
            .await;
    }
}

async fn take(
    notifier: &dyn Notifier,
    store: &dyn Store,
    unrecorded: &Mutex<Vec<(i64, Attempt)>>,
    clock: &Clock,
) -> Result<crate::store::Due, StoreError> {
    let mut unrecorded = unrecorded.lock().await;
    while let Some((id, attempt)) = unrecorded.last() {
        store.delivery_record(*id, attempt.clone()).await?;
        unrecorded.pop();
    }
    store.delivery_due(notifier.name().to_owned(), BATCH, clock.now()).await
}

async fn attempt(notifier: &dyn Notifier, delivery: DueDelivery, clock: &Clock) -> Attempt {
    let DueDelivery { state, attempts, alert, .. } = delivery;
    let notice = Notice { messages: vec![Message { alert: &alert, state }] };
    let taken = notifier.deliver(&notice, clock).await;
    let (notifier_name, now) = (notifier.name(), clock.now());
    let alert_id = &alert.alert_id;
    let attempts = attempts.saturating_add(1);
    match taken {
        Ok(()) => {
            let state = state.as_str();
            info!(notifier = notifier_name, alert_id, state, attempts, "delivered an alert");
            Attempt::Delivered { at: now }
        }
        Err(error) if attempts >= notifier.max_attempts() => {
            warn!(notifier = notifier_name, alert_id, attempts, error = %error, "gave up on an alert");
            Attempt::GivenUp { error: error.to_string() }
        }
        Err(error) => {
            let delay = backoff::delay(attempts, rand::random());
            let delay =
                error.retry_after.map_or(delay, |asked| delay.max(asked.min(LONGEST_PAUSE)));
            debug!(notifier = notifier_name, alert_id, attempts, error = %error, "will try again");
            Attempt::RetryAt { next_at: clock::after(now, delay), error: error.to_string() }
        }
    }
}
