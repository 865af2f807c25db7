//! Keystore files: what they are, and who can open or replace them.

pub mod access;
pub mod acl;
pub mod beats;
mod der;
pub mod elastic_agent_store;
pub mod elastic_agent_vault;
pub mod elasticsearch;
pub mod fingerprint;
pub mod ids;
pub mod kibana;
pub mod kibana_entries;
pub mod leftover;
pub mod lock;
pub mod logstash;
pub mod observe;
pub mod password_source;
pub mod pkcs12;
pub mod reader;
#[cfg(test)]
mod tests;
pub mod trials;

use access::{Access, Directory};
pub use password_source::PasswordSource;
use serde::{Deserialize, Serialize};

use crate::path::HostPath;
use crate::snapshot::{Namespace, Observed, Trouble};

/// What a keystore file was seen to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub path: HostPath,
    pub namespace: Namespace,
    /// `elasticsearch`, `opensearch`, …
    pub product: String,
    pub service: Option<String>,
    /// The name of the user that the service runs as, when known.
    pub run_as: Option<Account>,
    /// Root's ids in the service's user namespace, where they are others and the file was looked at from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<ids::Root>,
    /// The name of the format that is expected, in [`FORMATS`].
    pub format: String,
    /// Of the file itself, symbolic links followed.
    pub file: Observed<Access>,
    /// Where the file really is.
    pub resolved: Option<crate::snapshot::Resolved>,
    /// It is a symbolic link.
    pub is_symlink: bool,
    /// The directories that lead to it, and those of links on the way: from the nearest up.
    pub parents: Vec<Directory>,
    pub contents: Observed<Contents>,
    /// What lies beside it.
    #[serde(default)]
    pub leftovers: leftover::Leftovers,
    /// Where its password comes from, as far as that was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub password_sources: Vec<password_source::SourceObservation>,
    /// What around the file could not be looked at: access-control list, parents, account names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
}

/// A format of keystore files.
pub struct Format {
    pub name: &'static str,
    /// In bytes: a bigger file is refused unread.
    pub limit: usize,
    pub look: Look,
    /// Names of other files of this format that belong into the same directory.
    pub siblings: &'static [&'static str],
}

/// What is looked at to know a file of a format.
pub enum Look {
    Bytes {
        /// Whether a file that starts so may be of this format.
        starts: fn(&[u8]) -> bool,
        /// What the bytes say, or why they cannot be believed.
        parse: fn(&[u8]) -> Result<Parsed, reader::Error>,
    },
    /// The bytes are a key; their number says enough.
    Length(fn(u64) -> Result<Contents, reader::Error>),
}

/// What the bytes of a keystore say, and what a password must open.
pub struct Parsed {
    pub contents: Contents,
    pub lock: Option<lock::Lock>,
}

/// Every format that is known. The one of Elasticsearch is OpenSearch's, too, and Kibana's that of OpenSearch Dashboards.
pub static FORMATS: &[Format] = &[
    Format {
        name: "elasticsearch",
        limit: elasticsearch::MAX_SIZE,
        look: Look::Bytes { starts: elasticsearch::starts, parse: elasticsearch::parse },
        siblings: &[],
    },
    Format {
        name: "kibana",
        limit: kibana::MAX_SIZE,
        look: Look::Bytes { starts: kibana::starts, parse: kibana::parse },
        siblings: &[],
    },
    Format {
        name: "logstash",
        limit: logstash::MAX_SIZE,
        look: Look::Bytes { starts: logstash::starts, parse: logstash::parse },
        siblings: &[],
    },
    Format {
        name: "beats",
        limit: beats::MAX_SIZE,
        look: Look::Bytes { starts: beats::starts, parse: beats::parse },
        siblings: &[],
    },
    Format {
        name: "elastic-agent-vault",
        limit: 64,
        look: Look::Length(elastic_agent_vault::parse),
        siblings: &[".seed", ".seedV2"],
    },
    Format {
        name: "elastic-agent-store",
        limit: elastic_agent_store::MAX_SIZE,
        look: Look::Bytes {
            starts: elastic_agent_store::starts,
            parse: elastic_agent_store::parse,
        },
        siblings: &["fleet.enc", "state.enc"],
    },
];

/// The format of this name.
pub fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// The bytes that a base64 text, which begins at byte `at` of its file, stands for. One newline may end it: the products
/// pass over it.
fn base64_text(text: &[u8], at: usize) -> Result<Vec<u8>, reader::Error> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    STANDARD.decode(text).map_err(|error| {
        let offset = match error {
            base64::DecodeError::InvalidByte(offset, _)
            | base64::DecodeError::InvalidLastSymbol { offset, .. } => offset,
            base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
                text.len()
            }
        };
        reader::Error::Base64 { at: at + offset }
    })
}

/// A user and its primary group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    pub user: String,
    pub group: String,
}

/// What the bytes of a keystore say without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// `elasticsearch`, `opensearch`, `kibana`, …: what the bytes are, whatever the product is called.
    pub format: String,
    pub version: u32,
    /// What the file says of itself. `Some(false)`: anyone who can read it can open it. `None`: the format does not tell.
    pub has_password: Option<bool>,
    /// The empty password, or one that is stored in the file, was tried and opens it; `None` when it was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_without_password: Option<bool>,
    /// What its entries tell, where it opened and they are looked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<kibana_entries::Entries>,
    /// The key-derivation function with its cost, such as `pbkdf2-hmac-sha512 x 210000`.
    pub kdf: String,
    /// The cipher of the entries, such as `aes-256-gcm`.
    pub cipher: String,
}

impl Contents {
    /// What the file says and what trying it showed, taken together.
    pub const fn protection(&self) -> Protection {
        match (self.has_password, self.opens_without_password) {
            (Some(true), Some(true)) => Protection::FalseFlag,
            (Some(false), Some(false)) => Protection::MissingFlag,
            (_, Some(true)) | (Some(false), None) => Protection::None,
            (_, Some(false)) | (Some(true), None) => Protection::Password,
            (None, None) => Protection::Unknown,
        }
    }
}

/// Whether a password protects a keystore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    Password,
    /// Whoever can read the file can open it.
    None,
    /// The file says that there is a password, and opens without.
    FalseFlag,
    /// The file says that there is none, and does not open without.
    MissingFlag,
    Unknown,
}
