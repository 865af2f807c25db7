//! Telling people: takes what is due from the outbox, delivers it, and tries again until it is delivered.
//!
//! At least once, with the same id each time; a message of an alert waits for the one before it. What cannot be
//! delivered is kept and listed.

pub mod backoff;
pub mod signature;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use tracing::{debug, info, warn};

use crate::alert::{Alert, AlertState};
use crate::clock::{self, Clock};
use crate::config::Webhook;
use crate::drain::Drain;
use crate::logging::chain;
use crate::store::{Attempt, DueDelivery, Store, StoreError};
use webhook::WebhookError;

/// Messages that are on their way at one time, for one notifier.
const TOGETHER: usize = 8;
/// Messages that are taken from the outbox at one time.
const BATCH: usize = 64;
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

/// Why a message was not taken.
#[derive(Debug, Clone, Error)]
#[error("{0}")]
pub struct NotTaken(pub String);

/// A way to tell people.
#[async_trait]
pub trait Notifier: Send + Sync + std::fmt::Debug {
    fn name(&self) -> &str;
    /// After this many attempts a message is given up.
    fn max_attempts(&self) -> u32;
    async fn deliver(&self, message: &Message<'_>, clock: &Clock) -> Result<(), NotTaken>;
}

/// Makes every notifier that the configuration names.
pub fn build(webhooks: &[Webhook]) -> Result<Vec<Arc<dyn Notifier>>, WebhookError> {
    webhooks
        .iter()
        .map(|webhook| Ok(Arc::new(webhook::Notifier::open(webhook)?) as Arc<dyn Notifier>))
        .collect()
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
    let message = Message { alert: &alert, state };
    let taken = notifier.deliver(&message, clock).await;
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
            debug!(notifier = notifier_name, alert_id, attempts, error = %error, "will try again");
            Attempt::RetryAt { next_at: clock::after(now, delay), error: error.to_string() }
        }
    }
}
