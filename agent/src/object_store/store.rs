//! What every store can be asked, and how it can fail.

use std::fmt;

use crate::repository::facts::Seal;
use crate::repository::sample::Listed;
use crate::snapshot::{Observed, Trouble};
use atrest_proto::model::Reason;

/// Why a store did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// No name, no connection, no TLS, no answer in time.
    Unreachable(String),
    /// 401 or 403: what has to be allowed, in the words of the store's own permissions.
    Refused { action: String, detail: String },
    /// The agent has nothing to show: where it would take it from.
    NoCredentials { detail: String, remedy: String },
    /// It is not there: the bucket, container or directory itself.
    Gone(String),
    /// It asks to be asked less: after how many seconds it may be asked again, where it says so.
    Throttled(Option<u64>),
    /// It does not know the question.
    NotSupported(String),
    /// Anything else, in its own words.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { action, detail } => write!(f, "{action} is refused: {detail}"),
            Self::Throttled(None) => f.write_str("the store asks to be asked less"),
            Self::Throttled(Some(seconds)) => {
                write!(f, "the store asks to be asked less, and again in {seconds} s")
            }
            Self::NoCredentials { detail, .. }
            | Self::Unreachable(detail)
            | Self::Gone(detail)
            | Self::NotSupported(detail)
            | Self::Other(detail) => f.write_str(detail),
        }
    }
}

impl Failure {
    /// What would lift it.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Unreachable(_) => {
                "see that this host reaches the store: name, route, proxy, authority \
                                     (remote_repositories.proxy and ca_file)"
                    .to_owned()
            }
            Self::Refused { action, .. } => format!("allow {action} to the agent's own identity"),
            Self::NoCredentials { remedy, .. } => remedy.clone(),
            Self::Gone(_) => "see whether the repository is still in use".to_owned(),
            Self::Throttled(_) => "raise remote_repositories.interval".to_owned(),
            Self::NotSupported(_) => {
                "have whoever runs the store attest to how it encrypts".to_owned()
            }
            Self::Other(_) => "look at what the store says".to_owned(),
        }
    }

    /// As a fact about what was asked for.
    pub(super) fn trouble(&self) -> Trouble {
        let reason = match self {
            Self::Unreachable(_) | Self::Throttled(_) => Reason::Timeout,
            Self::Refused { .. } | Self::NoCredentials { .. } => Reason::NoPermission,
            Self::Gone(_) => Reason::NotFound,
            Self::NotSupported(_) | Self::Other(_) => Reason::Unreadable,
        };
        Trouble::new(reason, self.to_string())
    }

    /// The fact in place of an answer.
    pub(super) fn observed<T>(&self) -> Observed<T> {
        Observed::Unreadable(self.trouble())
    }
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// With names as the store has them, in full.
    pub(crate) objects: Vec<Listed>,
    /// What the delimiter cut off, in full and with it at the end.
    pub(crate) directories: Vec<String>,
    /// To go on with; `None` at the end.
    pub(crate) next: Option<String>,
    /// What it leaves out, in a line for people.
    pub(crate) cut: Option<String>,
}

/// A store of objects with names.
pub(super) trait Store {
    /// Whether its flat listings say of each object how it is encrypted: then everything is listed.
    fn listings_tell(&self) -> bool {
        false
    }

    /// A page of at most 1,000 names that start with `prefix`; with `is_flat` also those below directories.
    async fn list(&self, prefix: &str, is_flat: bool, from: Option<&str>) -> Result<Page, Failure>;

    /// How an object is encrypted, as the store says; `None` when it says nothing.
    async fn seal(&self, name: &str) -> Result<Option<Seal>, Failure>;
}
