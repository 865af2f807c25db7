//! Words with a fixed spelling: verdicts, reason codes, uses.
//!
//! The spelling is part of the contract: scripts match on it.

use thiserror::Error;

/// A word that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown {kind} `{word}`")]
pub struct UnknownWord {
    /// What the word should have been, such as `verdict`.
    pub kind: &'static str,
    /// The word as it came.
    pub word: String,
}

/// Declares an enum whose variants have one spelling each, in JSON, on the wire and in text.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $kind:literal { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The one spelling of this word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::model::UnknownWord { kind: $kind, word: word.to_owned() }),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What may be said of the contents of a path or device, worst first.
    Verdict, "verdict" {
        /// No leg passes a layer that encrypts.
        Unencrypted = "unencrypted",
        /// Some legs do and some do not, or something beside the contents gets out in plaintext.
        Partial = "partial",
        /// Could not be decided.
        Unknown = "unknown",
        /// Somebody else says so, and this host cannot prove it.
        Claimed = "claimed",
        /// Memory only: nothing rests.
        Volatile = "volatile",
        /// Every leg passes a layer that this host enforces and that was seen working in the kernel.
        Encrypted = "encrypted",
    }
}

words! {
    /// Why a verdict is not simply `encrypted`. Codes are stable; more may come.
    Reason, "reason" {
        /// A leg ends on a device without encryption.
        PlainDevice = "plain_device",
        /// A crypt target whose cipher does nothing.
        NullCipher = "null_cipher",
        /// Part of the device is mapped without encryption, as during re-encryption.
        PlainSegment = "plain_segment",
        /// Something mounted below the path is not encrypted.
        PlainSubmount = "plain_submount",
        /// The file system's journal or log lies on a plain device.
        PlainJournal = "plain_journal",
        /// A cache that holds contents lies on a plain device.
        PlainCache = "plain_cache",
        /// The copy-on-write store of a snapshot lies on a plain device.
        PlainCow = "plain_cow",
        /// Memory may be written to plain swap.
        PlainSwap = "plain_swap",
        /// Contents are encrypted, file names are not.
        PlainNames = "plain_names",
        /// A cloud or hypervisor says that it encrypts the volume.
        ProviderClaim = "provider_claim",
        /// The drive says that it encrypts itself.
        DriveClaim = "drive_claim",
        /// The server of a remote file system says that it encrypts.
        ServerClaim = "server_claim",
        /// The contents rest on another machine.
        RemoteFilesystem = "remote_filesystem",
        /// The blocks rest on another machine.
        RemoteDevice = "remote_device",
        /// A program in user space decides what is written.
        FuseFilesystem = "fuse_filesystem",
        /// A file system that this version does not know.
        UnknownFilesystem = "unknown_filesystem",
        /// A device-mapper target, device or RAID personality that this version does not know.
        UnknownTarget = "unknown_target",
        /// The path does not exist.
        NotFound = "not_found",
        /// The agent was not allowed to look.
        NoPermission = "no_permission",
        /// Looking took longer than the deadline.
        Timeout = "timeout",
        /// The answer could not be read or made no sense.
        Unreadable = "unreadable",
    }
}

words! {
    /// Why the node writes to a place.
    Use, "use" {
        Data = "data",
        Logs = "logs",
        HeapDump = "heap-dump",
        CoreDump = "core-dump",
        Temp = "temp",
        Swap = "swap",
        Queue = "queue",
        Cache = "cache",
        Config = "config",
        Repository = "repository",
        /// Other machines mount it from this one.
        Export = "export",
        /// Named in the agent's configuration.
        Declared = "declared",
    }
}

impl Reason {
    /// Whether this reason says that plaintext was proven to get out.
    pub const fn is_plain(self) -> bool {
        match self {
            Self::PlainDevice
            | Self::NullCipher
            | Self::PlainSegment
            | Self::PlainSubmount
            | Self::PlainJournal
            | Self::PlainCache
            | Self::PlainCow
            | Self::PlainSwap
            | Self::PlainNames => true,
            Self::ProviderClaim
            | Self::DriveClaim
            | Self::ServerClaim
            | Self::RemoteFilesystem
            | Self::RemoteDevice
            | Self::FuseFilesystem
            | Self::UnknownFilesystem
            | Self::UnknownTarget
            | Self::NotFound
            | Self::NoPermission
            | Self::Timeout
            | Self::Unreadable => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_round_trips_and_is_spelled_once() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse::<Reason>().as_ref(), Ok(reason));
            assert!(seen.insert(reason.as_str()), "{reason} twice");
            assert_eq!(serde_json::to_string(reason).unwrap(), format!("\"{reason}\""));
        }
        for verdict in Verdict::ALL {
            assert_eq!(verdict.as_str().parse::<Verdict>().as_ref(), Ok(verdict));
        }
        for word in Use::ALL {
            assert_eq!(word.as_str().parse::<Use>().as_ref(), Ok(word));
        }
    }

    #[test]
    fn an_unknown_word_is_named_in_the_error() {
        let error = "encryptd".parse::<Verdict>().unwrap_err();
        assert_eq!(error.to_string(), "unknown verdict `encryptd`");
    }
}
