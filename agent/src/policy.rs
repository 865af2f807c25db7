//! What the checks demand: thresholds and choices, with a default for each.
//!
//! Plain data. Where it comes from (a file, the server) is not known here.

use serde::{Deserialize, Serialize};

/// The thresholds and choices that checks judge by. An empty table gives the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// A provider's, drive's or server's word that it encrypts counts as a pass.
    pub accept_claims: bool,
    /// How well a LUKS passphrase must be stretched.
    pub kdf: KdfPolicy,
    /// More keyslots in use than this are surplus.
    pub max_keyslots: usize,
    /// A volume that only a TPM, a token or a Tang server opens needs a passphrase or recovery key beside it.
    pub require_recovery_keyslot: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            accept_claims: false,
            kdf: KdfPolicy::default(),
            max_keyslots: 8,
            require_recovery_keyslot: true,
        }
    }
}

/// The least cost of deriving a key from a passphrase.
///
/// The defaults follow the OWASP password storage cheat sheet for PBKDF2, and what cryptsetup itself never goes
/// below by much on ordinary hardware: its benchmark aims at two seconds, which is above a million iterations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KdfPolicy {
    /// Of PBKDF2 with SHA-256 or anything slower to compute.
    pub pbkdf2_iterations: u32,
    /// Of PBKDF2 with SHA-1 or RIPEMD-160, which are cheaper to try.
    pub pbkdf2_iterations_short_hash: u32,
    /// Of Argon2, in KiB.
    pub argon2_memory_kib: u32,
    /// Passes of Argon2 over its memory.
    pub argon2_time: u32,
}

impl Default for KdfPolicy {
    fn default() -> Self {
        Self {
            pbkdf2_iterations: 600_000,
            pbkdf2_iterations_short_hash: 1_300_000,
            argon2_memory_kib: 65_536,
            argon2_time: 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_gives_the_defaults_and_an_unknown_key_is_refused() {
        assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), Policy::default());
        assert!(serde_json::from_str::<Policy>(r#"{"max_keyslot":3}"#).is_err());
    }
}
