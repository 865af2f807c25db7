//! Telling people: what is due in the outbox is grouped, delivered, and tried again until it is delivered.
//!
//! At least once, with the same id each time; messages of one asset go out in their order. What cannot be delivered is
//! kept and listed. [`schedule`], [`rate`], [`quiet`] and [`backoff`] are pure; [`courier`] does what they say.

pub mod alertmanager;
pub mod backoff;
pub mod courier;
pub mod elasticsearch;
pub mod email;
#[cfg(test)]
mod fixture;
mod http;
pub(crate) mod link;
mod open;
pub mod pagerduty;
pub mod quiet;
pub mod rate;
mod redact;
pub mod resend;
pub mod schedule;
pub mod signature;
pub mod slack;
pub mod syslog;
pub mod text;
pub mod webhook;
pub mod why;

use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::alert::{Alert, AlertState};
use crate::clock::Clock;
use crate::hex;
use crate::store::Store;
pub use open::{OpenError, build, check};

/// Something to tell.
#[derive(Debug)]
pub struct Message<'a> {
    pub alert: &'a Alert,
    /// What is told of it; the alert may have moved on since.
    pub state: AlertState,
    /// How often it was told before, as a reminder of what goes on; 0 for the first time.
    pub repeat: u32,
}

impl Message<'_> {
    /// The same for every attempt: receivers deduplicate on it.
    pub fn id(&self) -> String {
        let first = format!("{}-{}", self.alert.alert_id, self.state.as_str());
        if self.repeat == 0 { first } else { format!("{first}-{}", self.repeat) }
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
    /// The receiver understood it, and does not want it: fewer messages at a time may be wanted.
    pub refused: bool,
}

impl NotTaken {
    pub fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), retry_after: None, refused: false }
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
    /// Whether people read it: they are told once of many things, a moment later, and not too often. Programs are told
    /// at once.
    fn is_for_people(&self) -> bool {
        true
    }
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
