//! `fleet.enc` and `state.enc` of Elastic Agent: `v2`, a salt, and sealed blocks. `internal/pkg/crypto/io.go` of it.
//!
//! The key is in the vault beside it, whose seed is in clear: what is in it is obfuscated.

use super::lock::{NONCE, SALT, TAG};
use super::reader::{Endian, Error, Reader};
use super::{Contents, Parsed};

/// The state of an agent holds its policy; a bigger file is none.
pub const MAX_SIZE: usize = 16 << 20;

const NEWEST: u32 = 2;

/// Whether a file that starts so may be one.
pub fn starts(bytes: &[u8]) -> bool {
    bytes.starts_with(b"v2")
}

/// What the bytes of the file say. Every block is followed to its end.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    let mut reader = Reader::new(bytes);
    match reader.array("the version")? {
        [b'v', b'2'] => {}
        [b'v', digit @ b'3'..=b'9'] => {
            let version = u32::from(digit - b'0');
            return Err(Error::TooNew { version, at: 1, known: NEWEST });
        }
        [b'v', digit @ b'0'..=b'1'] => {
            return Err(Error::Version { version: u32::from(digit - b'0'), at: 1 });
        }
        _ => return Err(Error::Magic { expected: "the version v2" }),
    }
    reader.array::<SALT>("the salt")?;
    let tag = u32::try_from(TAG).unwrap_or_default();
    // The start is written together with the first block.
    loop {
        reader.array::<NONCE>("the nonce of a block")?;
        let at = reader.at();
        let length = reader.u32("the length of a block", Endian::Little)?;
        if length < tag {
            return Err(Error::Length {
                what: "the length of a block",
                at,
                found: i64::from(length),
                expected: i64::from(tag),
            });
        }
        reader.take("a block", usize::try_from(length).unwrap_or(usize::MAX))?;
        if reader.left() == 0 {
            break;
        }
    }
    let contents = Contents {
        format: "elastic-agent-store".to_owned(),
        version: NEWEST,
        has_password: Some(false),
        opens_without_password: None,
        entries: None,
        kdf: "pbkdf2-hmac-sha512 x 10000".to_owned(),
        cipher: "aes-256-gcm".to_owned(),
    };
    Ok(Parsed { contents, lock: None })
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Writes stores as Elastic Agent does.

    use super::super::lock;
    use crate::keystore::lock::Cipher;

    /// A store with these blocks. The same nonce for each, as only the framing is looked at.
    pub(crate) fn store(key: &[u8], blocks: &[&[u8]]) -> Vec<u8> {
        let mut bytes = b"v2".to_vec();
        for (number, block) in blocks.iter().enumerate() {
            let gcm = lock::fixture::seal(key, block, 10_000, Cipher::Aes256, false);
            if number == 0 {
                bytes.extend_from_slice(&gcm.salt);
            }
            bytes.extend_from_slice(&gcm.nonce);
            bytes.extend_from_slice(&u32::try_from(gcm.ciphertext.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(&gcm.ciphertext);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fixture::store;
    use super::*;

    fn error(bytes: &[u8]) -> Error {
        parse(bytes).err().unwrap()
    }

    #[test]
    fn blocks_are_followed_to_the_end() {
        let contents = parse(&store(b"key", &[b"fleet: {}", b"more"])).unwrap().contents;
        assert_eq!((contents.version, contents.has_password), (2, Some(false)));
    }

    #[test]
    fn a_file_that_ends_within_a_block_is_refused() {
        let one = store(b"key", &[b"abc"]).len();
        let whole = store(b"key", &[b"abc", b"defg"]);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]).is_ok(), length == one, "{length} bytes");
        }
    }

    #[test]
    fn what_is_damaged_or_newer_is_named() {
        assert_eq!(error(b"v3"), Error::TooNew { version: 3, at: 1, known: 2 });
        assert_eq!(error(b"v1"), Error::Version { version: 1, at: 1 });
        assert!(matches!(error(b"agent:"), Error::Magic { .. }));
        let mut bytes = store(b"key", &[b"abc"]);
        bytes[2 + 64 + 12] = 15;
        assert_eq!(
            error(&bytes),
            Error::Length { what: "the length of a block", at: 78, found: 15, expected: 16 }
        );
        bytes[2 + 64 + 12] = 20;
        assert_eq!(error(&bytes), Error::Truncated { what: "a block", at: 82, missing: 1 });
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(parse(&bytes));
            drop(parse(&[b"v2", bytes.as_slice()].concat()));
        }
    }
}
