//! The keystore of a Beat or of APM Server: `v1` or `v2` and base64. `file_keystore.go` of Beats.
//!
//! Its password is always empty: what is in it is obfuscated, and rests on the file's mode and on the disk.

use std::num::NonZeroU32;

use super::lock::{Cipher, Gcm, Lock, NONCE, SALT, TAG};
use super::reader::{Error, Reader};
use super::{Contents, Parsed, base64_text};

/// A bigger file is no keystore.
pub const MAX_SIZE: usize = 1 << 20;

/// 2 is what builds for FIPS write; the bytes mean the same.
const NEWEST: u32 = 2;

const ITERATIONS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();

/// Whether a file that starts so may be one.
pub fn starts(bytes: &[u8]) -> bool {
    bytes.starts_with(b"v1") || bytes.starts_with(b"v2")
}

/// What the bytes of a keystore file say.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    let mut reader = Reader::new(bytes);
    let version = match reader.array("the version")? {
        [b'v', b'0'] => return Err(Error::Version { version: 0, at: 1 }),
        [b'v', digit @ b'1'..=b'9'] => u32::from(digit - b'0'),
        _ => return Err(Error::Magic { expected: "a version such as v1" }),
    };
    if version > NEWEST {
        return Err(Error::TooNew { version, at: 1, known: NEWEST });
    }
    let at = reader.at();
    let sealed = base64_text(reader.take("the sealed data", reader.left())?, at)?;
    let least = SALT + NONCE + TAG;
    if sealed.len() < least {
        return Err(Error::Short { what: "the sealed data", found: sealed.len(), least });
    }
    let mut reader = Reader::new(&sealed);
    let (salt, nonce) = (reader.array("the salt")?, reader.array("the IV")?);
    let ciphertext = reader.take("the ciphertext", reader.left())?.to_vec();
    let contents = Contents {
        format: "beats".to_owned(),
        version,
        has_password: Some(false),
        opens_without_password: None,
        entries: None,
        kdf: format!("pbkdf2-hmac-sha512 x {ITERATIONS}"),
        cipher: "aes-256-gcm".to_owned(),
    };
    let lock = Lock::Gcm(Gcm {
        iterations: ITERATIONS,
        cipher: Cipher::Aes256,
        salt,
        nonce,
        salt_is_authenticated: false,
        ciphertext,
    });
    Ok(Parsed { contents, lock: Some(lock) })
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Writes keystores as Beats do.

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::super::lock;
    use super::Cipher;

    /// A keystore of this version that holds `json`.
    pub(crate) fn keystore(version: u32, password: &[u8], json: &[u8]) -> Vec<u8> {
        let gcm = lock::fixture::seal(password, json, 10_000, Cipher::Aes256, false);
        let sealed = [&gcm.salt[..], &gcm.nonce, &gcm.ciphertext].concat();
        format!("v{version}{}", STANDARD.encode(sealed)).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fixture::keystore;
    use super::*;

    fn error(bytes: &[u8]) -> Error {
        parse(bytes).err().unwrap()
    }

    #[test]
    fn both_versions_never_have_a_password() {
        for version in [1, 2] {
            let parsed = parse(&keystore(version, b"", b"{}")).unwrap();
            assert_eq!(parsed.contents.version, version);
            assert_eq!(parsed.contents.has_password, Some(false));
            assert_eq!(parsed.lock.unwrap().opens(), Some(true));
        }
        let other = parse(&keystore(1, b"secret", b"{}")).unwrap();
        assert_eq!(other.lock.unwrap().opens(), Some(false));
    }

    #[test]
    fn what_is_damaged_or_newer_is_named() {
        assert_eq!(error(b"v3AAAA"), Error::TooNew { version: 3, at: 1, known: 2 });
        assert_eq!(error(b"v0AAAA"), Error::Version { version: 0, at: 1 });
        assert!(matches!(error(b"xyz"), Error::Magic { .. }));
        assert_eq!(error(b"v"), Error::Truncated { what: "the version", at: 0, missing: 1 });
        assert_eq!(error(b"v1QUJD"), Error::Short { what: "the sealed data", found: 3, least: 92 });
        assert_eq!(error(b"v1QU D"), Error::Base64 { at: 4 });
        let mut longer = keystore(1, b"", b"{}");
        longer.extend_from_slice(b"\n\n");
        assert!(matches!(error(&longer), Error::Base64 { .. }));
    }

    #[test]
    fn a_truncated_file_is_refused_or_does_not_open() {
        let whole = keystore(1, b"", b"{\"a\":\"b\"}");
        for length in 0..whole.len() {
            let Ok(parsed) = parse(&whole[..length]) else { continue };
            assert_eq!(parsed.lock.unwrap().opens(), Some(false), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(parse(&bytes));
            drop(parse(&[b"v1", bytes.as_slice()].concat()));
        }
    }
}
