//! eCryptfs: each file encrypted on its own, stacked on a directory of another file system. Names stay as they are unless
//! a key for them was given.
//!
//! See the kernel's `Documentation/filesystems/ecryptfs.rst`; the options are those that `ecryptfs_show_options` prints
//! (`fs/ecryptfs/super.c`).

use atrest_proto::model::{EncryptedBy, Reason};

use super::{flag, option};
use crate::layer::{Leg, Role};
use crate::snapshot::{FilesystemFacts, Mount};

pub(super) const NAMES: &[&str] = &["ecryptfs"];

/// `ecryptfs_cipher_code_str_map` of `fs/ecryptfs/crypto.c`: what the kernel writes files with.
const CIPHERS: &[&str] = &["aes", "blowfish", "des3_ede", "cast5", "twofish", "cast6"];

pub(super) fn dissect(mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    let below = |role| {
        if mount.source.is_absolute() {
            Leg::MountTimePath { path: mount.source.normalised(), role }
        } else {
            unknown(mount, "the directory that it is stacked on has no absolute name")
        }
    };
    let cipher = option(mount, "ecryptfs_cipher").unwrap_or_default();
    if !CIPHERS.contains(&cipher) {
        return vec![
            unknown(mount, &format!("the cipher `{cipher}`")),
            below(Role::PerhapsEncrypted),
        ];
    }
    if flag(mount, "ecryptfs_encrypted_view") {
        // What is written here goes below as it is.
        return vec![below(Role::PerhapsEncrypted)];
    }
    let bytes = option(mount, "ecryptfs_key_bytes").and_then(|bytes| bytes.parse::<u32>().ok());
    let mut legs = vec![Leg::Encrypted(EncryptedBy {
        technology: "ecryptfs".to_owned(),
        device: mount.mount_point.to_string(),
        cipher: cipher.to_owned(),
        key_bits: bytes.and_then(|bytes| bytes.checked_mul(8)),
    })];
    if flag(mount, "ecryptfs_passthrough") {
        // Files that were there in plaintext are read and written as they are.
        legs.push(below(Role::Contents));
    }
    if option(mount, "ecryptfs_fnek_sig").is_none() {
        legs.push(below(Role::Names));
    }
    legs
}

fn unknown(mount: &Mount, why: &str) -> Leg {
    let detail = format!("{}: eCryptfs: {why}", mount.mount_point);
    Leg::Unknown { reason: Reason::UnknownFilesystem, detail }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mount;
    use super::*;

    fn legs(options: &str) -> Vec<Leg> {
        let mut mount = mount("ecryptfs", options);
        mount.source = "/srv/lower".into();
        dissect(&mount, &FilesystemFacts::default())
    }

    const BELOW: fn(Role) -> Leg =
        |role| Leg::MountTimePath { path: crate::path::HostPath::from("/srv/lower"), role };

    #[test]
    fn contents_are_encrypted_and_names_only_with_a_key() {
        let with =
            legs("rw,ecryptfs_fnek_sig=0,ecryptfs_sig=0,ecryptfs_cipher=aes,ecryptfs_key_bytes=32");
        assert!(matches!(&with[..], [Leg::Encrypted(by)] if by.key_bits == Some(256)));
        let without = legs("rw,ecryptfs_sig=0,ecryptfs_cipher=aes,ecryptfs_key_bytes=16");
        assert_eq!(without[1], BELOW(Role::Names));
    }

    #[test]
    fn what_is_let_through_is_not_encrypted() {
        let through = legs(
            "rw,ecryptfs_fnek_sig=0,ecryptfs_cipher=aes,ecryptfs_key_bytes=16,ecryptfs_passthrough",
        );
        assert_eq!(through[1..], [BELOW(Role::Contents)]);
        assert_eq!(
            legs("rw,ecryptfs_cipher=aes,ecryptfs_encrypted_view"),
            [BELOW(Role::PerhapsEncrypted)]
        );
    }

    #[test]
    fn a_cipher_that_is_not_known_is_no_proof() {
        for options in ["rw", "rw,ecryptfs_cipher=cipher_null,ecryptfs_key_bytes=16"] {
            assert!(legs(options).iter().all(|leg| !matches!(leg, Leg::Encrypted(_))), "{options}");
        }
    }
}
