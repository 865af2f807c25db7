//! The stack below a path, as proof of its verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::words::Reason;

/// One layer between a path and the physical devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// What it is, in the kernel's words: `mount`, `dm-crypt`, `dm-linear`, `md-raid1`, `partition`, `disk`, …
    pub kind: String,
    /// The device as an operator would type it, or the mount point.
    pub name: String,
    /// The device number, `254:0`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub major_minor: Option<String>,
    /// Facts about this layer by name: cipher, level, file system type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub detail: BTreeMap<String, String>,
    /// This device stands elsewhere in the same stack, with its children.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub repeated_above: bool,
    pub children: Vec<Layer>,
}

/// A route down the stack that ends on a device without meeting encryption.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlainLeg {
    /// Where it ends: the device that holds plaintext.
    pub device: String,
    /// The devices between the path and that one, from the top.
    pub via: Vec<String>,
    pub reason: Reason,
}

/// A layer that encrypts a leg, as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EncryptedBy {
    /// `dm-crypt`, `fscrypt`, `ecryptfs`, `zfs`.
    pub technology: String,
    pub device: String,
    /// The cipher specification of the kernel, such as `aes-xts-plain64`.
    pub cipher: String,
    /// The size of the volume key in bits; `None` when the kernel does not say.
    pub key_bits: Option<u32>,
}
