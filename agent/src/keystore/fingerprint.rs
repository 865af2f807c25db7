//! One short text for everything that equal nodes have equal about a keystore, so that a fleet can compare them.
//!
//! It is an HMAC-SHA-256 over metadata, keyed with a label of this product and the name of the cluster. Who knows the
//! name can try all values that the metadata may have, so it hides nothing that the report does not say beside it; it
//! only keeps two clusters from being compared by accident. Nothing of the entries is in it: no salt, no ciphertext, no
//! digest of either.

use ring::hmac;

use super::{Contents, Protection};
use crate::host::Metadata;

/// Changes when what is in the fingerprint changes, so that old and new ones are never compared.
const LABEL: &[u8] = b"atrest keystore metadata 1";

/// What a fingerprint is made of.
pub struct Facts<'a> {
    /// Empty where it is not known.
    pub cluster: &'a str,
    pub product: &'a str,
    pub contents: &'a Contents,
    pub metadata: &'a Metadata,
    pub owner: &'a str,
    pub group: &'a str,
}

/// 64 hexadecimal digits.
pub fn fingerprint(facts: &Facts<'_>) -> String {
    let contents = facts.contents;
    let protection = match contents.protection() {
        Protection::Password => "password",
        Protection::None => "none",
        Protection::FalseFlag => "false flag",
        Protection::MissingFlag => "missing flag",
        Protection::Unknown => "unknown",
    };
    let fields = [
        facts.product,
        &contents.format,
        &contents.version.to_string(),
        protection,
        &contents.kdf,
        &contents.cipher,
        // The size class: equal nodes may have seeds and names of slightly different lengths.
        &facts.metadata.size.checked_next_power_of_two().unwrap_or(u64::MAX).to_string(),
        &format!("{:04o}", facts.metadata.mode),
        facts.owner,
        facts.group,
    ];
    let mut key = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, LABEL));
    key.update(facts.cluster.as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.sign().as_ref());
    let mut tag = hmac::Context::with_key(&key);
    for field in fields {
        // With its length before it, no field can pass for two.
        tag.update(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        tag.update(field.as_bytes());
    }
    tag.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::FileKind;

    fn of(change: impl FnOnce(&mut Contents, &mut Metadata, &mut [String; 4])) -> String {
        let mut contents = Contents {
            format: "elasticsearch".to_owned(),
            version: 7,
            has_password: Some(true),
            opens_without_password: Some(false),
            entries: None,
            kdf: "pbkdf2-hmac-sha512 x 210000".to_owned(),
            cipher: "aes-256-gcm".to_owned(),
        };
        let mut metadata = Metadata {
            kind: FileKind::File,
            mode: 0o660,
            uid: 0,
            gid: 102,
            size: 199,
            links: 1,
            block_device: None,
            changed_at: 0,
        };
        let mut names = ["prod", "elasticsearch", "root", "elasticsearch"].map(str::to_owned);
        change(&mut contents, &mut metadata, &mut names);
        let [cluster, product, owner, group] = &names;
        let (contents, metadata) = (&contents, &metadata);
        fingerprint(&Facts { cluster, product, contents, metadata, owner, group })
    }

    #[test]
    fn equal_nodes_have_equal_fingerprints() {
        let one = of(|_, _, _| {});
        assert_eq!(one.len(), 64);
        // Numbers of accounts, times and a few bytes differ between equal nodes.
        let other = of(|_, metadata, _| {
            (metadata.gid, metadata.changed_at, metadata.size) = (998, 7, 207);
        });
        assert_eq!(one, other);
    }

    #[test]
    fn whatever_is_not_equal_shows() {
        let all = [
            of(|_, _, _| {}),
            of(|_, _, names| names[0] = "test".to_owned()),
            of(|_, _, names| names[1] = "opensearch".to_owned()),
            of(|_, _, names| names[2] = "elasticsearch".to_owned()),
            of(|_, _, names| names[3] = "root".to_owned()),
            of(|contents, _, _| contents.format = "x".to_owned()),
            of(|contents, _, _| contents.version = 6),
            of(|contents, _, _| contents.has_password = Some(false)),
            of(|contents, _, _| contents.opens_without_password = Some(true)),
            of(|contents, _, _| contents.kdf = "x".to_owned()),
            of(|contents, _, _| contents.cipher = "x".to_owned()),
            of(|_, metadata, _| metadata.mode = 0o600),
            of(|_, metadata, _| metadata.size = 4000),
        ];
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
