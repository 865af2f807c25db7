//! Snapshot repositories: where the copies of a cluster rest, and who encrypts them there.
//!
//! [`registered`] reads what a node says is registered, [`remote_store`] what its attributes declare; [`kind`] says for each type
//! where its data lies. What stores answer is [`facts`]; [`judge`] makes an outcome of it. Everything here is pure: the half that
//! talks is [`crate::object_store`].

mod assemble;
pub mod bucket_policy;
pub mod facts;
pub mod judge;
pub mod kind;
pub mod registered;
pub mod remote_store;
pub mod sample;
pub mod share;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::snapshot::Namespace;
pub use assemble::assemble;
pub use facts::Facts;
pub use judge::{Encryption, Judged};
pub use kind::Backend;

/// A repository that a node has registered, or that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Registered {
    pub name: String,
    /// `fs`, `s3`, … as the product names it.
    pub kind: String,
    /// The settings by their dotted names, of those that say where it lies: never a secret.
    pub settings: BTreeMap<String, String>,
    /// What encrypts before anything is sent, as the registration says.
    pub client_side: Option<ClientSide>,
    pub service: Option<String>,
    /// The product of the service: one name can be two types.
    pub product: Option<String>,
    /// The name of the cluster that it is registered in.
    pub cluster: Option<String>,
    pub source: Source,
    pub namespace: Namespace,
}

/// Who encrypts before anything leaves the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientSide {
    /// `key_provider_type` of OpenSearch, such as `aws-kms`; for a type that always encrypts, that type.
    pub provider: String,
    /// The key that keys of data are wrapped with, where it is named.
    pub key: Option<String>,
}

/// Where a repository was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Named in the agent's configuration.
    Declared,
    /// An attribute of the node, in its settings file or arguments.
    Config,
    /// Registered in the cluster, as its API says.
    Api,
}

impl Source {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Config => "config",
            Self::Api => "api",
        }
    }
}

impl Registered {
    /// The stable id of what is registered once. Clusters on one host may have repositories of one name.
    fn asset(&self) -> String {
        match &self.cluster {
            Some(cluster) => format!("repository:{cluster}/{}", self.name),
            None => format!("repository:{}", self.name),
        }
    }

    /// A setting that is set to something.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// A repository, and what was learnt of where it lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Observation {
    /// The stable id. Where services tell different things of one name, each has its own.
    pub asset: String,
    pub registered: Registered,
    pub backend: Backend,
    /// Of a remote store; `None` where nobody is to be asked.
    pub looked: Option<Looked>,
}

/// What came of asking a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Looked {
    Told(Box<Facts>),
    /// No connection, no name, no answer in time.
    Unreachable {
        detail: String,
        remedy: String,
    },
    /// It was not asked: switched off, or no credentials.
    NotAsked {
        detail: String,
        remedy: String,
    },
    /// Another agent of the cluster asks.
    Elsewhere {
        host: String,
    },
}

/// Whether the repositories of a service are known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unlisted {
    pub service: String,
    pub detail: String,
    pub remedy: String,
}
