//! What a store told of what lies in it: plain data, the same for all kinds of stores.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::sample::Class;
use crate::snapshot::Observed;

/// Everything that was asked of one store for one repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Facts {
    pub provider: Provider,
    /// What new objects get without asking for it. `Absent`: the store says that it is set to nothing.
    pub default: Observed<Seal>,
    /// Whether the store refuses to write what does not ask to be encrypted.
    pub refuses_plain: Observed<Refusal>,
    /// The keys that seals name, by the names that they are named with.
    pub keys: BTreeMap<String, Observed<KeyFacts>>,
    pub sample: Sample,
    /// How many requests it took.
    pub requests: u32,
}

/// Whose store it is: what may be taken for granted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// An endpoint of Amazon's own. Since 2023-01-05 it encrypts every new object: "Amazon S3 now automatically encrypts all
    /// new objects", S3 user guide.
    Aws,
    /// `storage.googleapis.com`: encrypts always, "Default encryption at rest" of Google Cloud.
    GoogleCloud,
    /// Speaks like it from an address that is not Google's: an emulator, a proxy.
    GoogleLike,
    /// Blob endpoints of Azure's clouds: encrypt always since October 2017, "Azure Storage encryption for data at rest".
    Azure,
    /// Speaks like it from an address that is none of Azure's: an emulator, Azure Stack.
    AzureLike,
    /// Known by its header `Server: MinIO`. It says of every object whether it encrypted it.
    MinIo,
    /// Known by headers `x-rgw-…`. What encrypts below it cannot be seen through it.
    Ceph,
    /// Speaks S3, and nothing else is known of it.
    S3Compatible,
    /// Hadoop.
    Hdfs,
}

impl Provider {
    /// Of a store that speaks like another's and is not that: what it says of encryption nobody vouches for.
    pub const fn is_imitation(&self) -> bool {
        match self {
            Self::GoogleLike | Self::AzureLike => true,
            Self::Aws
            | Self::GoogleCloud
            | Self::Azure
            | Self::MinIo
            | Self::Ceph
            | Self::S3Compatible
            | Self::Hdfs => false,
        }
    }
}

/// How something is encrypted by a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seal {
    /// As the store names it: `AES256`, `aws:kms`, `encryption scope`, …
    pub algorithm: String,
    pub key: SealKey,
}

/// With whose key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SealKey {
    /// The provider's own, which nobody else can withdraw.
    Provider,
    /// A key of a key service, by the name that the store gives: whose it is, [`Facts::keys`] tells.
    Named(String),
    /// Of a key service that the customer runs or owns, as the store's own rules have it.
    Customer(String),
    /// Sent along with every request, known to the client only.
    Supplied,
    /// The store does not say.
    Unknown,
}

/// What the key service says of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyFacts {
    pub manager: KeyManager,
    /// The account or project that owns it.
    pub owner: Option<String>,
    /// As the service names it; `Enabled` is the one in which it works. Empty where it does not tell.
    pub state: String,
    /// Whether the key service replaces the key material by itself.
    pub rotates: Option<bool>,
}

/// Who manages a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyManager {
    Customer,
    Provider,
}

/// What a bucket's policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Writes that ask for no encryption at all.
    Plain,
    /// Writes that ask for anything but a key of the key service.
    AllButKeyService,
}

/// The objects that were asked about, and what they stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sample {
    /// How many objects were seen in listings.
    pub listed: u64,
    /// The listings covered everything that is there.
    pub is_complete: bool,
    /// Sorted by name.
    pub objects: Vec<Object>,
    /// What limited it, one line each: never in silence.
    pub cut: Vec<String>,
    /// Why nothing could be listed or asked.
    pub trouble: Option<crate::snapshot::Trouble>,
    /// What would lift that.
    pub remedy: String,
}

/// An object that was asked about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Object {
    pub name: String,
    pub class: Class,
    pub written_at: Option<Timestamp>,
    /// `Absent`: the store said nothing of encryption.
    pub seal: Observed<Seal>,
}
