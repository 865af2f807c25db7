//! Secrets that stand where anybody who reads the disk finds them: by name, file and line, never by value.
//!
//! Each form of settings has a reader that hands one [`Leaf`] after another to the [`Collector`]. Only there a value is
//! looked at, by comparing; names, lines and what kind of thing it is go on.

pub(crate) mod arguments;
pub mod catalogue;
mod collector;
pub(crate) mod container;
pub(crate) mod json;
pub mod observe;
pub(crate) mod pipeline;
mod scan;
mod sweep;
pub mod value;
pub(crate) mod variables;
pub(crate) mod yaml;

use serde::{Deserialize, Serialize};

use crate::host::Metadata;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Observed, Resolved};

pub(crate) use collector::{Collector, Leaf, Naming};

/// A file, directory or environment that settings stand in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub path: HostPath,
    pub form: Form,
    pub namespace: Namespace,
    /// As in [`atrest_proto::model::Service::product`].
    pub product: String,
    pub service: Option<String>,
}

/// How settings are written in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Form {
    /// The product's own settings, such as `elasticsearch.yml`.
    Yaml,
    /// One option of the Java machine a line: `jvm.options`.
    JavaOptions,
    /// `NAME=value` a line, as shells and systemd read them: `/etc/default/elasticsearch`.
    Variables,
    /// A systemd unit or drop-in.
    Unit,
    /// `/proc/PID/environ`.
    Environment,
    /// `/proc/PID/cmdline`.
    Arguments,
    /// A configuration directory, to be looked through for private keys and files that everybody may read.
    Directory,
    /// A pipeline of Logstash: `conf.d/*.conf`.
    Pipeline,
    /// What Docker keeps of a container: `config.v2.json`.
    Container,
    /// Any other file of a configuration directory that holds a key or a password's hash.
    Other,
}

impl Form {
    /// What rests in memory only, as long as the process runs.
    pub const fn is_memory(self) -> bool {
        match self {
            Self::Environment | Self::Arguments => true,
            Self::Yaml
            | Self::JavaOptions
            | Self::Variables
            | Self::Unit
            | Self::Directory
            | Self::Pipeline
            | Self::Container
            | Self::Other => false,
        }
    }
}

/// What was seen in a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub place: Place,
    /// A service was found to have it; others were come across.
    pub is_named: bool,
    /// The version of the service, when known.
    pub version: Option<String>,
    /// A keystore of the product lies on this host.
    pub has_keystore: bool,
    /// Symbolic links followed.
    pub file: Observed<Metadata>,
    pub owner: String,
    pub group: String,
    /// By the mode of the file and of every directory above it.
    pub others_may_read: bool,
    /// Where the file really is.
    pub resolved: Option<Resolved>,
    pub contents: Observed<Contents>,
}

/// What a place holds, without a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Sorted by line and name.
    pub sightings: Vec<Sighting>,
    /// The line from which on the file makes no sense; it was then looked through line by line.
    pub broken_at: Option<u64>,
    pub saved_objects_keys: SavedObjectsKeys,
    /// `cluster.state.encryption.required`.
    pub state_encryption: Option<Switch>,
    /// What of a directory was looked at.
    pub swept: Option<Swept>,
}

/// How far the look through a directory got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    pub entries: usize,
    /// Files that hold something: each has an observation of its own.
    pub found: usize,
    /// What was left out, and why; empty when nothing was.
    pub left_out: Vec<String>,
}

/// A setting that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// From 1; `None` where the form has no lines.
    pub line: Option<u64>,
    /// The dotted name, the variable's, or what kind of file it is.
    pub setting: String,
    pub kind: Kind,
    pub value: Value,
    /// It stands in a comment: the product does not read it, whoever reads the disk does.
    pub is_comment: bool,
    /// What to use instead, where the product has something.
    pub instead: Option<Instead>,
}

impl Sighting {
    /// Whether the secret itself stands there.
    pub const fn is_plain(&self) -> bool {
        match self.value {
            Value::Set | Value::WellKnown => true,
            Value::Reference | Value::Empty => false,
        }
    }
}

/// What sort of secret it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    Password,
    /// A key of an API, a cloud account or an encryption.
    Key,
    Token,
    /// Not encrypted.
    PrivateKey,
    /// A URL or connection string with a password in it.
    Url,
    /// A file with keys or hashes in it that everybody may read.
    OpenFile,
}

impl Kind {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Key => "key",
            Self::Token => "token",
            Self::PrivateKey => "private key",
            Self::Url => "URL with a password",
            Self::OpenFile => "file of keys that everybody may read",
        }
    }
}

/// What may be said of a value without keeping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Value {
    Set,
    /// A default that everybody knows, such as `changeme`.
    WellKnown,
    /// `${NAME}`: an entry of the keystore or a variable of the environment. Never followed.
    Reference,
    /// Nothing, or what stands for it in templates.
    Empty,
}

/// What a product has in place of a secret in plain text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Instead {
    /// The entry of the keystore that takes the setting's place.
    Entry(String),
    /// `${NAME}` in the setting, with NAME in the keystore.
    Reference(String),
}

/// What may be said of the keys of Kibana's saved objects without keeping them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedObjectsKeys {
    /// `xpack.encryptedSavedObjects.encryptionKey`, each time it is set.
    pub primary: Vec<KeyFacts>,
    /// `xpack.encryptedSavedObjects.keyRotation.decryptionOnlyKeys`.
    pub retired: Vec<KeyFacts>,
}

/// What may be said of one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyFacts {
    pub line: Option<u64>,
    pub value: Value,
    /// At least 32 characters: `config.ts` of the plug-in `encrypted_saved_objects`. Of a reference it is not known.
    pub is_long_enough: bool,
    /// 32 times `a`, as a build for development has it.
    pub is_development_default: bool,
    /// The same as the primary key of the same file.
    pub is_primary: bool,
}

/// What a setting that is on or off was set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    pub line: Option<u64>,
    /// `None` where the value is a reference or neither.
    pub is_on: Option<bool>,
}
