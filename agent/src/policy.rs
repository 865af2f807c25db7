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
    /// Discards may pass through dm-crypt: they tell which blocks are free.
    pub accept_discards: bool,
    /// How strong the cipher of a dm-crypt device must be.
    pub cipher: CipherPolicy,
    /// How well a LUKS passphrase must be stretched.
    pub kdf: KdfPolicy,
    /// More keyslots in use than this are surplus.
    pub max_keyslots: usize,
    /// A volume that only a TPM, a token or a Tang server opens needs a passphrase or recovery key beside it.
    pub require_recovery_keyslot: bool,
    /// What becomes of a keystore that could have a password and has none.
    pub keystores_without_password: WithoutPassword,
    /// What is demanded of snapshot repositories.
    pub repositories: RepositoryPolicy,
}

/// What becomes of a keystore that could have a password and has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutPassword {
    #[default]
    Fail,
    /// It passes where it is proven to rest on an encrypted volume, or in memory only.
    AcceptOnEncrypted,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            accept_claims: false,
            accept_discards: false,
            cipher: CipherPolicy::default(),
            kdf: KdfPolicy::default(),
            max_keyslots: 8,
            require_recovery_keyslot: true,
            keystores_without_password: WithoutPassword::default(),
            repositories: RepositoryPolicy::default(),
        }
    }
}

/// What is demanded of snapshot repositories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepositoryPolicy {
    /// A key that the provider holds does not pass: the customer has to manage it.
    pub require_customer_key: bool,
    /// A repository whose store does not say how it encrypts passes; one that could not be asked does not.
    pub accept_unproven: bool,
}

/// The weakest cipher that passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CipherPolicy {
    /// Of the key that encrypts, in bits. XTS takes two keys, so that 256 bits in the table are 128 here.
    pub min_key_bits: u32,
    /// CBC with an IV that cannot be foretold, such as ESSIV, and LRW: the defaults of older volumes.
    pub accept_legacy_modes: bool,
}

impl Default for CipherPolicy {
    fn default() -> Self {
        // NIST SP 800-57 part 1 revision 5, table 4: 128 bits are acceptable beyond 2030.
        Self { min_key_bits: 128, accept_legacy_modes: true }
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
    fn another_word_for_keystores_without_a_password_is_refused_with_those_that_there_are() {
        let policy = |word: &str| {
            let text = format!("keystores_without_password = {word}");
            toml::from_str::<Policy>(&text).map(|policy| policy.keystores_without_password)
        };
        assert_eq!(policy("\"fail\"").unwrap(), WithoutPassword::Fail);
        assert_eq!(policy("\"accept_on_encrypted\"").unwrap(), WithoutPassword::AcceptOnEncrypted);
        for word in ["\"accept\"", "\"\"", "true"] {
            let error = policy(word).unwrap_err().to_string();
            assert!(error.contains("keystores_without_password"), "{error}");
        }
        let error = policy("\"accept\"").unwrap_err().to_string();
        assert!(error.contains("`fail` or `accept_on_encrypted`"), "{error}");
    }

    #[test]
    fn an_empty_table_gives_the_defaults_and_an_unknown_key_is_refused() {
        assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), Policy::default());
        assert!(serde_json::from_str::<Policy>(r#"{"max_keyslot":3}"#).is_err());
    }
}
