//! The keystore of Kibana and of its fork, OpenSearch Dashboards: `1:` and base64. `keystore.js` of Kibana.
//!
//! It has no flag for a password: only trying the empty one tells.

use std::num::NonZeroU32;

use super::lock::{Cipher, Gcm, Lock, NONCE, SALT, TAG};
use super::reader::{Error, Reader};
use super::{Contents, Parsed, base64_text, kibana_entries};

/// A bigger file is no keystore.
pub const MAX_SIZE: usize = 1 << 20;

const NO_START: Error = Error::Magic { expected: "a version and a colon" };

const NEWEST: u32 = 1;

const ITERATIONS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();

/// Whether a file that starts so may be one.
pub fn starts(bytes: &[u8]) -> bool {
    bytes.starts_with(b"1:")
}

/// What the bytes of a keystore file say.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    // More digits are no version.
    let start = bytes.get(..bytes.len().min(10)).unwrap_or_default();
    let colon = start.iter().position(|byte| *byte == b':').ok_or(NO_START)?;
    let version: u32 = std::str::from_utf8(start.get(..colon).unwrap_or_default())
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or(NO_START)?;
    match version {
        0 => return Err(Error::Version { version, at: 0 }),
        1 => {}
        _ => return Err(Error::TooNew { version, at: 0, known: NEWEST }),
    }
    let at = colon + 1;
    let sealed = base64_text(bytes.get(at..).unwrap_or_default(), at)?;
    let least = SALT + NONCE + TAG;
    if sealed.len() < least {
        return Err(Error::Short { what: "the sealed data", found: sealed.len(), least });
    }
    let mut reader = Reader::new(&sealed);
    let (salt, nonce) = (reader.array("the salt")?, reader.array("the IV")?);
    // Here the tag is before what it is for.
    let tag = reader.array::<TAG>("the tag")?;
    let mut ciphertext = reader.take("the ciphertext", reader.left())?.to_vec();
    ciphertext.extend_from_slice(&tag);
    let contents = Contents {
        format: "kibana".to_owned(),
        version,
        has_password: None,
        opens_without_password: None,
        entries: None,
        kdf: format!("pbkdf2-hmac-sha512 x {ITERATIONS}"),
        cipher: "aes-256-gcm".to_owned(),
    };
    let gcm = Gcm {
        iterations: ITERATIONS,
        cipher: Cipher::Aes256,
        salt,
        nonce,
        salt_is_authenticated: false,
        ciphertext,
    };
    Ok(Parsed { contents, lock: Some(Lock::Entries(gcm, kibana_entries::read)) })
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Writes keystores as Kibana does.

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::super::lock;
    use super::{Cipher, TAG};

    /// A keystore that holds `json` under `password`.
    pub(crate) fn keystore(password: &[u8], json: &[u8]) -> Vec<u8> {
        let gcm = lock::fixture::seal(password, json, 10_000, Cipher::Aes256, false);
        let (text, tag) = gcm.ciphertext.split_at(gcm.ciphertext.len() - TAG);
        let sealed = [&gcm.salt[..], &gcm.nonce, tag, text].concat();
        format!("1:{}", STANDARD.encode(sealed)).into_bytes()
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
    fn only_trying_tells_whether_there_is_a_password() {
        for (password, opens) in [(&b""[..], true), (b"secret", false)] {
            let parsed = parse(&keystore(password, b"{\"a\":\"b\"}")).unwrap();
            assert_eq!(parsed.contents.has_password, None);
            assert_eq!(parsed.contents.version, 1);
            assert_eq!(parsed.lock.unwrap().opens(), Some(opens));
        }
    }

    #[test]
    fn a_newline_at_the_end_is_no_damage_and_other_bytes_are() {
        let mut bytes = keystore(b"", b"{}");
        bytes.push(b'\n');
        assert_eq!(parse(&bytes).unwrap().lock.unwrap().opens(), Some(true));
        bytes.push(b'x');
        assert!(matches!(error(&bytes), Error::Base64 { .. }));
    }

    #[test]
    fn what_is_damaged_or_newer_is_named() {
        let whole = keystore(b"", b"{}");
        assert_eq!(
            error(&[b"2", &whole[1..]].concat()),
            Error::TooNew { version: 2, at: 0, known: 1 }
        );
        assert_eq!(error(&[b"0", &whole[1..]].concat()), Error::Version { version: 0, at: 0 });
        for other in [&b""[..], b"1", b":x", b"x:x", b"server.port: 5601", b"+1:x"] {
            assert!(matches!(error(other), Error::Magic { .. }), "{other:?}");
        }
        assert_eq!(error(b"1:QUJD"), Error::Short { what: "the sealed data", found: 3, least: 92 });
        assert_eq!(error(b"1:QU*D"), Error::Base64 { at: 4 });
        assert!(matches!(error(&vec![b'1'; MAX_SIZE + 1]), Error::TooLarge { .. }));
    }

    #[test]
    fn a_truncated_file_is_refused_or_does_not_open() {
        let whole = keystore(b"", b"{\"a\":\"b\"}");
        for length in 0..whole.len() {
            let Ok(parsed) = parse(&whole[..length]) else { continue };
            assert_eq!(parsed.lock.unwrap().opens(), Some(false), "{length} bytes");
        }
    }

    #[test]
    fn what_opens_is_looked_into_and_what_does_not_is_not() {
        let json =
            b"{\"xpack.encryptedSavedObjects.encryptionKey\":\"0123456789abcdef0123456789abcdef\"}";
        let opened =
            |password: &[u8]| parse(&keystore(password, json)).unwrap().lock.unwrap().open();
        let entries = opened(b"").unwrap().entries.unwrap();
        assert!(entries.is_whole && entries.saved_objects_keys.primary[0].is_long_enough);
        assert_eq!(opened(b"secret").unwrap().entries, None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(parse(&bytes));
            drop(parse(&[b"1:", bytes.as_slice()].concat()));
        }
    }
}
