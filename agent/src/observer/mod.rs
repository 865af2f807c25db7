//! The half that looks, as the half that judges and talks has it: in the same process, or behind a socket.
//!
//! The cut is a closed set of typed requests ([`wire::Request`]). None of them names a file, a device or a command: what is
//! looked at follows from the configuration that the looking half reads for itself, from what it discovers, and from what a
//! node's API names, which is added to what was discovered of that node and never read, only resolved. What comes back is
//! typed facts, made for leaving the host.
//!
//! * [`local`] looks; [`serve`] does so for others, as a process of its own.
//! * [`client`] asks such a process.
//! * [`unseen`] is what is left when nobody looks.
//! * [`wire`] is what they say to each other.

#![forbid(unsafe_code)]

pub mod client;
pub mod local;
pub mod serve;
mod unseen;
pub mod wire;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use atrest_proto::model::{Gap, Reason};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::nfs::Export;
use crate::node_api::{Contact, Listener, Talk};
use crate::object_store::volumes::Disks;
use crate::snapshot::{Snapshot, Trouble};
use crate::watch::{Signals, Watch};

pub use client::Remote;
pub use local::Local;
pub use unseen::unseen;

/// Where the half that looks listens, when it is a process of its own.
pub const SOCKET: &str = "/run/atrest/observer.sock";

/// What is seen of a host at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub snapshot: Box<Snapshot>,
    /// What other machines may mount from this one.
    pub exports: Vec<Export>,
    /// Where they reach it.
    pub addresses: BTreeSet<IpAddr>,
    /// What may be asked of the provider of this machine.
    pub disks: Disks,
    /// The stores of repositories, and the provider, may be asked from here: see [`crate::host::Host::is_this_machine`].
    pub asks_stores: bool,
}

/// The half that looks does not answer.
#[derive(Debug, Error)]
pub enum Lost {
    #[error("{path}: {source}")]
    Connection { path: String, source: io::Error },
    #[error("an answer that makes no sense: {0}")]
    Senseless(String),
    #[error("refused: {0}")]
    Refused(String),
}

impl Lost {
    /// The same as something that was not seen.
    pub fn gap(&self) -> Gap {
        Gap {
            subject: "the half of the agent that looks".to_owned(),
            reason: Reason::Unreadable,
            detail: self.to_string(),
            remedy: "find out why atrest-observer.service does not answer: `systemctl status atrest-observer`".to_owned(),
        }
    }
}

/// What the half that judges and talks may ask of the half that looks.
pub trait Observer: Send {
    /// Finds out what there is. Answers with the nodes whose API can be asked before [`Self::look`].
    fn begin(&mut self) -> Result<Vec<Contact>, Lost>;

    /// Whether a socket of one of these nodes is still its own.
    fn holds(&mut self, pid: i32, listener: Listener) -> Result<(), Trouble>;

    /// Looks at everything that [`Self::begin`] found and the nodes told.
    fn look(&mut self, talk: Talk) -> Result<Seen, Lost>;
}

/// Who tells that something changed.
#[derive(Debug, Clone)]
pub enum Watcher {
    /// A thread of this process.
    Own(Watch),
    /// The process that looks.
    Observer(client::Address),
}

impl From<Watch> for Watcher {
    fn from(watch: Watch) -> Self {
        Self::Own(watch)
    }
}

impl Watcher {
    /// Begins to listen.
    pub fn start(&self) -> io::Result<Heard> {
        match self {
            Self::Own(watch) => watch.start().map(Heard::Own),
            Self::Observer(address) => address.subscribe().map(Heard::Observer),
        }
    }

    /// It has ended: what happened since may have been missed. The process that looks goes on watching by itself.
    pub fn lost(&self, why: &str) {
        match self {
            Self::Own(watch) => watch.lost(why),
            Self::Observer(_) => {}
        }
    }
}

/// What is heard of changes.
#[derive(Debug)]
pub enum Heard {
    Own(Signals),
    Observer(client::Subscription),
}

impl Heard {
    /// Something changed; `None` when nothing more will be told. May be dropped and called again.
    pub async fn next(&mut self) -> Option<()> {
        match self {
            Self::Own(signals) => signals.next().await,
            Self::Observer(subscription) => subscription.next().await,
        }
    }
}
