//! Keystore files: what they are, and who can open or replace them.

pub mod acl;
pub mod elasticsearch;
pub mod observe;

use serde::{Deserialize, Serialize};

use crate::host::Metadata;
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
    /// Of the file itself, symbolic links followed.
    pub file: Observed<Metadata>,
    /// Where the file really is.
    pub resolved: Option<crate::snapshot::Resolved>,
    /// It is a symbolic link.
    pub is_symlink: bool,
    pub owner: String,
    pub group: String,
    /// Names and rights of access-control entries beyond owner, group and other.
    pub acl: Vec<String>,
    /// The directories above it, from the nearest up.
    pub parents: Vec<ParentDirectory>,
    pub contents: Observed<Contents>,
    /// What around the file could not be looked at: access-control list, parents, account names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
}

/// A format of keystore files.
pub struct Format {
    pub name: &'static str,
    /// A bigger file is refused unread.
    pub limit: usize,
    /// What the bytes say, or why they cannot be believed.
    pub parse: fn(&[u8]) -> Result<Contents, String>,
}

/// Every format that is known. The one of Elasticsearch is OpenSearch's, too.
pub static FORMATS: &[Format] =
    &[Format { name: "elasticsearch", limit: elasticsearch::MAX_SIZE, parse: parse_elasticsearch }];

fn parse_elasticsearch(bytes: &[u8]) -> Result<Contents, String> {
    elasticsearch::parse(bytes).map_err(|error| error.to_string())
}

/// A user and its primary group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    pub user: String,
    pub group: String,
}

/// A directory on the way to a keystore: who can write it can replace the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentDirectory {
    pub path: HostPath,
    pub metadata: Metadata,
}

/// What the bytes of a keystore say without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// `elasticsearch` or `opensearch`.
    pub format: String,
    pub version: u32,
    /// The password flag. `Some(false)`: anyone who can read the file can open it.
    pub has_password: Option<bool>,
    /// The key-derivation function with its cost, such as `pbkdf2-hmac-sha512 x 210000`.
    pub kdf: String,
    /// The cipher of the entries, such as `aes-256-gcm`.
    pub cipher: String,
}
