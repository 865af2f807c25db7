//! Everything a host says of itself at one time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::finding::{Finding, Gap};
use super::layer::{EncryptedBy, Layer, PlainLeg};
use super::words::{Reason, Use, Verdict, words};

/// Who is speaking. Nothing here decides identity: that is the certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub hostname: String,
    /// A hash of the machine id, keyed to this product: tells clones apart, gives nothing away.
    pub machine_fingerprint: String,
    /// `PRETTY_NAME` of os-release.
    pub os: String,
    /// The kernel's release.
    pub kernel: String,
    pub architecture: String,
    pub boot_id: String,
    pub agent_version: String,
}

/// A running or installed product of the search stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Service {
    /// `elasticsearch`, `opensearch`, …
    pub product: String,
    /// Tells instances on one host apart.
    pub name: String,
    /// `running` or `installed`.
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_name: Option<String>,
    pub roles: Vec<String>,
    /// The data tiers that it holds, such as `hot`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub config_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<i32>,
}

/// The verdict on one path or device, with its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathPosture {
    /// The stable id, such as `data:/var/lib/elasticsearch`.
    pub asset: String,
    /// As it was asked for.
    pub path: String,
    /// After symbolic links; `None` when it does not exist.
    pub resolved: Option<String>,
    #[serde(rename = "use")]
    pub usage: Use,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    pub verdict: Verdict,
    /// Sorted.
    pub reasons: Vec<Reason>,
    /// The legs that end in plaintext, sorted by device.
    pub plain: Vec<PlainLeg>,
    /// The layers that encrypt, sorted.
    pub encrypted_by: Vec<EncryptedBy>,
    /// Who claims to encrypt, and what backs it.
    pub claimed_by: Vec<String>,
    /// The legs that could not be decided, and why, sorted.
    pub undecided: Vec<Undecided>,
    pub stack: Vec<Layer>,
    /// For a path that does not exist: what it would rest on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nearest: Option<NearestParent>,
}

/// A leg that could not be decided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Undecided {
    pub reason: Reason,
    /// What stood in the way.
    pub detail: String,
}

/// The nearest existing parent of a path that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearestParent {
    pub path: String,
    pub verdict: Verdict,
}

words! {
    /// Whether a keystore has a password.
    Password, "password state" {
        Protected = "protected",
        /// Anyone who can read the file can open it.
        Unprotected = "unprotected",
        Unknown = "unknown",
    }
}

/// A keystore file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keystore {
    pub asset: String,
    pub path: String,
    pub product: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    /// The name of the format, such as `elasticsearch`.
    pub format: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format_version: Option<u32>,
    pub password: Password,
    /// How a password becomes a key, such as `pbkdf2-hmac-sha512 x 210000`; empty when the file could not be read.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub kdf: String,
    /// What the entries are encrypted with, such as `aes-256-gcm`; empty when the file could not be read.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub cipher: String,
    /// The empty password, or one that lies in the file itself, was tried; absent when it could not be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opens_without_password: Option<bool>,
    /// Permission bits, octal, such as `0660`.
    pub mode: String,
    pub owner: String,
    pub group: String,
    /// The verdict of the volume below it.
    pub at_rest: Verdict,
    /// Equal for keystores of one cluster whose format, password state, algorithms, size class, mode and owner are equal:
    /// an HMAC of those, keyed with the cluster's name. Nothing of the entries is in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<String>,
    /// Why it could not be read or understood.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
}

/// A snapshot repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    pub asset: String,
    pub name: String,
    /// `fs`, `s3`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub location: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    /// Where it was found: `declared`, `api`, `config`.
    pub source: String,
    /// The cluster that it is registered in, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster: Option<String>,
    /// `client_side`, `customer_key`, `provider_key`, `plaintext`, `unproven` or `unreachable`.
    pub encryption: String,
    /// What that rests on.
    pub evidence: String,
    /// The keys that it is encrypted with, as the store names them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub keys: Vec<String>,
}

/// Everything a host says of itself at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posture {
    pub host: Host,
    pub observed_at: Timestamp,
    pub services: Vec<Service>,
    pub paths: Vec<PathPosture>,
    pub keystores: Vec<Keystore>,
    pub repositories: Vec<Repository>,
    pub findings: Vec<Finding>,
    pub gaps: Vec<Gap>,
    /// The version of the catalogue of checks that judged.
    pub catalogue_version: u32,
}
