//! What an fscrypt policy makes of a file system's legs.
//!
//! Below a directory with a policy the kernel lets nothing be made without it: contents and names are ciphertext before they
//! reach the file system's devices. ext4 does not journal the contents of such files, with `data=journal` either. See the
//! kernel's `Documentation/filesystems/fscrypt.rst`.

use atrest_proto::model::{EncryptedBy, Reason};

use super::Outcome;
use crate::snapshot::Fscrypt;

/// `FSCRYPT_MODE_*` of `include/uapi/linux/fscrypt.h`: the number, its name, and the size of its key in bits.
const MODES: &[(u8, &str, u32)] = &[
    (1, "AES-256-XTS", 512),
    (4, "AES-256-CBC-CTS", 256),
    (5, "AES-128-CBC-ESSIV", 128),
    (6, "AES-128-CBC-CTS", 128),
    (7, "SM4-XTS", 256),
    (8, "SM4-CBC-CTS", 128),
    (9, "Adiantum", 256),
    (10, "AES-256-HCTR2", 256),
];

fn mode(number: u8) -> Option<(&'static str, u32)> {
    MODES.iter().find(|(known, ..)| *known == number).map(|(_, name, bits)| (*name, *bits))
}

/// The cipher of contents and names, as shown: `AES-256-XTS, names AES-256-CBC-CTS`.
pub(super) fn describe(policy: Fscrypt) -> String {
    if policy.version.is_none() {
        return "policy not readable".to_owned();
    }
    let name =
        |number| mode(number).map_or_else(|| format!("mode {number}"), |(name, _)| name.to_owned());
    format!("{}, names {}", name(policy.contents_mode), name(policy.names_mode))
}

/// What rests below `point`, whose file system comes to `below` without the policy.
pub(super) fn apply(policy: Fscrypt, point: &str, below: &Outcome) -> Outcome {
    let known = match policy.version {
        // The kernel says that it is encrypted; how, it may not tell us.
        None => Some(("fscrypt", None)),
        Some(_) => mode(policy.contents_mode)
            .filter(|_| mode(policy.names_mode).is_some())
            .map(|(name, bits)| (name, Some(bits))),
    };
    let Some((cipher, key_bits)) = known else {
        return Outcome::unknown(
            Reason::UnknownTarget,
            format!("{point}: fscrypt with {}, which this version does not know", describe(policy)),
        );
    };
    let mut outcome = below.only_encrypted();
    outcome.encrypted(EncryptedBy {
        technology: "fscrypt".to_owned(),
        device: point.to_owned(),
        cipher: cipher.to_owned(),
        key_bits,
    });
    outcome
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Verdict;

    use super::*;

    fn plain() -> Outcome {
        let mut outcome = Outcome::default();
        outcome.plain("/dev/sda", Reason::PlainDevice);
        outcome
    }

    #[test]
    fn a_policy_encrypts_whatever_is_below() {
        let policy = Fscrypt { version: Some(2), contents_mode: 1, names_mode: 4 };
        let outcome = apply(policy, "/data", &plain());
        assert_eq!(outcome.verdict(), Verdict::Encrypted);
        assert_eq!(outcome.encrypted_by()[0].cipher, "AES-256-XTS");
        let hidden = Fscrypt { version: None, contents_mode: 0, names_mode: 0 };
        assert_eq!(apply(hidden, "/data", &plain()).verdict(), Verdict::Encrypted);
    }

    #[test]
    fn a_mode_that_is_not_known_is_no_proof() {
        for (contents_mode, names_mode) in [(0, 4), (1, 0), (200, 4)] {
            let policy = Fscrypt { version: Some(2), contents_mode, names_mode };
            assert_eq!(apply(policy, "/data", &plain()).verdict(), Verdict::Unknown);
        }
    }
}
