//! Block layers: what each kind of block device does with what is written to it.
//!
//! Each kind is one file; [`LAYERS`] names them in the order they are tried. A device that none recognises is
//! unknown, never a pass.

mod bcache;
pub mod device_mapper;
mod disk;
mod drbd;
mod loop_device;
pub mod md;
mod network;
mod partition;
mod zram;

use std::collections::BTreeMap;

use atrest_proto::model::{EncryptedBy, Reason};

use crate::path::HostPath;
use crate::snapshot::{BlockDevice, DeviceNumber, LoopFacts};

/// One route that contents take from a layer downwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leg {
    /// On to another device.
    Device { device: DeviceNumber, role: Role },
    /// On to a file, wherever that lies.
    LoopFile(LoopFacts),
    /// On to a device, by the name of its node on the host.
    Node { path: HostPath, role: Role },
    /// On to a device, file or directory, by its name on the host.
    Path { path: HostPath, role: Role },
    /// On to a directory, as its name led when the mount that names it was made.
    MountTimePath { path: HostPath, role: Role },
    /// Here it is encrypted.
    Encrypted(EncryptedBy),
    /// It rests here, in plaintext.
    Plain(Reason),
    /// Somebody else says that it is encrypted.
    Claimed { reason: Reason, who: String },
    /// It stays in memory that the kernel never writes out.
    Memory,
    /// It stays in memory that may be swapped out.
    SwappableMemory,
    /// Nothing that a node writes ends here.
    Nothing,
    /// It could not be decided.
    Unknown { reason: Reason, detail: String },
}

impl Leg {
    /// A leg that goes on with contents on another device.
    pub const fn contents(device: DeviceNumber) -> Self {
        Self::Device { device, role: Role::Contents }
    }
}

/// What a leg holds: it decides what follows when the leg turns out to be plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Contents,
    /// A part of a device whose other parts are encrypted.
    Segment,
    /// Below a crypt target whose cipher does nothing.
    NullCipher,
    Journal,
    Cache,
    CopyOnWrite,
    Swap,
    Submount,
    /// Names and sizes of files whose contents are encrypted above.
    Names,
    /// Contents that the drive below says it encrypts.
    DriveClaim,
    /// Contents of a file system that may encrypt by itself, and could not be asked.
    PerhapsEncrypted,
}

/// What follows from a plain leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenPlain {
    /// Plaintext gets out, for this reason.
    Plain(Reason),
    /// Somebody else says that it is encrypted there.
    Claimed(Reason),
    /// It cannot be decided.
    Unknown(Reason),
}

impl Role {
    /// What follows when a leg in this role ends in plaintext.
    pub const fn when_plain(self) -> WhenPlain {
        WhenPlain::Plain(match self {
            Self::Contents => Reason::PlainDevice,
            Self::Segment => Reason::PlainSegment,
            Self::NullCipher => Reason::NullCipher,
            Self::Journal => Reason::PlainJournal,
            Self::Cache => Reason::PlainCache,
            Self::CopyOnWrite => Reason::PlainCow,
            Self::Swap => Reason::PlainSwap,
            Self::Submount => Reason::PlainSubmount,
            Self::Names => Reason::PlainNames,
            Self::DriveClaim => return WhenPlain::Claimed(Reason::DriveClaim),
            Self::PerhapsEncrypted => return WhenPlain::Unknown(Reason::UnknownFilesystem),
        })
    }
}

/// What a device is, and where its contents go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anatomy {
    /// In the kernel's words, such as `dm-crypt` or `partition`.
    pub kind: String,
    /// Facts for the stack, by name.
    pub detail: BTreeMap<String, String>,
    pub legs: Vec<Leg>,
    /// Devices below that hold no contents, or only ciphertext: shown, not counted.
    pub shown: Vec<DeviceNumber>,
}

impl Anatomy {
    /// A kind with its legs and nothing else to say.
    pub fn new(kind: impl Into<String>, legs: Vec<Leg>) -> Self {
        Self { kind: kind.into(), detail: BTreeMap::new(), legs, shown: Vec::new() }
    }
}

/// A kind of block device.
pub struct Layer {
    pub name: &'static str,
    /// `None` when the device is not of this kind.
    pub dissect: fn(&BlockDevice) -> Option<Anatomy>,
}

/// Every kind, the most specific first: a partition of an md array is a partition.
pub static LAYERS: &[Layer] = &[
    Layer { name: "partition", dissect: partition::dissect },
    Layer { name: "device-mapper", dissect: device_mapper::dissect },
    Layer { name: "md", dissect: md::dissect },
    Layer { name: "loop", dissect: loop_device::dissect },
    Layer { name: "zram", dissect: zram::dissect },
    Layer { name: "bcache", dissect: bcache::dissect },
    Layer { name: "drbd", dissect: drbd::dissect },
    Layer { name: "network", dissect: network::dissect },
    Layer { name: "disk", dissect: disk::dissect },
];

/// What `device` is, by the first kind that recognises it.
pub fn dissect(device: &BlockDevice) -> Anatomy {
    let found = LAYERS.iter().find_map(|layer| (layer.dissect)(device));
    let mut anatomy = found.unwrap_or_else(|| {
        let detail = format!("{}: a kind of device that this version does not know", device.node());
        Anatomy {
            shown: device.slaves.clone(),
            ..Anatomy::new("unknown", vec![Leg::Unknown { reason: Reason::UnknownTarget, detail }])
        }
    });
    if let Some(trouble) = &device.trouble {
        anatomy.legs.push(Leg::Unknown { reason: trouble.reason, detail: trouble.detail.clone() });
    }
    anatomy
}
