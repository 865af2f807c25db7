//! The API of the node itself, asked over loopback: a third source beside its arguments and its files.
//!
//! Discovery names the [`Endpoint`]s and touches no network; [`contacts()`] adds what only the half that looks can read of
//! them. [`talk()`] is of the half that talks: it asks, and judges nothing. [`hear()`] is pure: it adds what only the API knows
//! to what was discovered, and keeps what the API claims beside the claims of the other sources.

mod access;
pub(crate) mod answer;
mod ask;
mod client;
mod contact;
mod merge;
pub(crate) mod sockets;
mod tls;

use std::net::SocketAddr;

use atrest_proto::model::Gap;
use serde::{Deserialize, Serialize};

use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};
pub use access::{Access, Settings};
pub use answer::Told;
pub use ask::{ask, consult, hear, list_clusters, talk};
pub use contact::{Contact, Holds, contacts};
pub use merge::merge;

/// The API of one running node, and how its answer is told from that of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// As in [`atrest_proto::model::Service::name`].
    pub service: String,
    /// As in [`atrest_proto::model::Service::product`].
    pub product: String,
    /// As this host counts.
    pub pid: i32,
    /// As the node itself counts, in its own pid namespace.
    pub own_pid: i32,
    /// The account that it runs as, as the host names it; `None` where that is not known.
    pub user: Option<String>,
    /// In which its paths mean something.
    pub namespace: Namespace,
    /// What relative paths of the Java machine are relative to.
    pub cwd: HostPath,
    /// Where the process listens, best first; or why it cannot be asked.
    pub listeners: Result<Vec<Listener>, Trouble>,
    /// Whether the settings say that it speaks TLS there.
    pub tls: bool,
    /// Files of authorities that its certificate may come from, as the process sees them.
    pub authorities: Vec<HostPath>,
}

/// A socket of the node's own process on which it can be reached over loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// To connect to: always loopback.
    pub address: SocketAddr,
    /// Of the socket that listens. No other socket ever has it while this one is open.
    pub inode: u64,
    /// Of that socket in the process.
    pub descriptor: u32,
}

/// What came of asking all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Talk {
    /// There was none, or none that can be asked from here.
    #[default]
    Nobody,
    /// The configuration says so.
    Forbidden,
    Asked {
        answers: Vec<Answer>,
        /// What the configuration names to ask with and could not be read.
        gaps: Vec<Gap>,
    },
}

/// What came of asking one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub service: String,
    pub outcome: Outcome,
    /// What was asked for and not answered.
    pub gaps: Vec<Gap>,
}

/// The answer itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Told(Box<Told>),
    /// Nobody expects an answer: why not.
    NotAsked(String),
    Failed {
        trouble: Trouble,
        /// What would lift it.
        remedy: String,
    },
}

/// Whether the API of a service was seen: what is kept for the checks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sight {
    pub service: String,
    pub seen: Seen,
}

/// What was seen of an API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Seen {
    Told {
        /// `process.mlockall`: whether the node's own call to lock its memory succeeded.
        memory_locked: Option<bool>,
    },
    NotAsked(String),
    Failed(Trouble),
}
