//! How what was found gets to the server: enrolment, the spool, and the stream.
//!
//! Nothing here needs a privilege beyond its own state directory, looks at the host, or reads the wall clock: time and
//! chance are parameters. [`enroll`] makes an [`identity`]; [`outbox`] decides what is worth a report and keeps it in
//! the [`spool`]; [`session`] is the protocol without I/O, [`client`] the I/O without the protocol. [`failure`] names
//! what can go wrong between the two ends and what to do about it.

#![forbid(unsafe_code)]

pub mod backoff;
pub mod client;
pub mod enroll;
pub mod failure;
pub mod files;
pub mod held;
pub mod identity;
pub mod outbox;
pub mod session;
mod size;
pub mod spool;
pub mod tls;

use std::path::{Path, PathBuf};

/// Where the agent keeps its state when nothing else is said.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/atrest-agent";

/// The files of a state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Key, certificate, authorities, server: everything that makes this host known, in one file.
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity.json")
    }

    /// The key of an enrolment that has not been answered yet.
    pub fn pending_key(&self) -> PathBuf {
        self.0.join("enrolling.key")
    }

    /// Held by whoever changes the identity.
    pub fn identity_lock(&self) -> PathBuf {
        self.0.join("identity.lock")
    }

    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// What failed at the last look, and may be seen to be gone at the next.
    pub fn failed(&self) -> PathBuf {
        self.0.join("failed.json")
    }

    /// What failed when this agent looked, whoever's turn it is.
    pub fn held(&self) -> PathBuf {
        self.0.join("held.json")
    }

    /// What the daemon last said of itself.
    pub fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }

    /// Held by the daemon for as long as it runs.
    pub fn daemon_lock(&self) -> PathBuf {
        self.0.join("daemon.lock")
    }
}
