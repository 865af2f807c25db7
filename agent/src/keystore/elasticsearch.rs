//! The keystore of Elasticsearch and its fork in OpenSearch: what the file says without being opened.
//!
//! Lucene's codec framing around a version, a password flag and the encrypted entries; see `KeyStoreWrapper.java`
//! of either. The entries are never decrypted, and names that old formats hold in clear are passed over.

use thiserror::Error;

use super::Contents;

/// A bigger file is no keystore: its entries are passwords and keys.
pub const MAX_SIZE: usize = 1 << 20;

/// `CodecUtil.CODEC_MAGIC` of Lucene.
const MAGIC: u32 = 0x3fd7_6c17;

/// `CodecUtil.FOOTER_MAGIC`.
const FOOTER_MAGIC: u32 = !MAGIC;

/// Magic, algorithm and checksum.
const FOOTER: usize = 16;

/// The names that the framing gives to the file, and the highest format version known of each.
const NAMES: [(&str, &str, u32); 2] =
    [("elasticsearch.keystore", "elasticsearch", 7), ("opensearch.keystore", "opensearch", 4)];

const SALT: u32 = 64;
const IV: u32 = 12;
/// The tag of GCM, which ends the ciphertext.
const TAG: u32 = 16;

/// Why a file is not a keystore that can be believed, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error("{size} bytes are more than the {MAX_SIZE} that a keystore may have")]
    TooLarge { size: usize },
    #[error("truncated: {what} at byte {at} lacks {missing} bytes")]
    Truncated { what: &'static str, at: usize, missing: usize },
    #[error("not a keystore: no codec magic at byte 0")]
    Magic,
    #[error("not a keystore of a known product: the name at byte 4 is neither of those known")]
    Name,
    #[error("format version {version} at byte {at} is newer than {known}, the newest known")]
    TooNew { version: u32, at: usize, known: u32 },
    #[error("format version {version} at byte {at} never existed")]
    Version { version: u32, at: usize },
    #[error("the password flag at byte {at} is {value}, neither 0 nor 1")]
    Flag { value: u8, at: usize },
    #[error("a password flag at byte {at} in a format that never had passwords")]
    ImpossibleFlag { at: usize },
    #[error("{what} at byte {at} is {found}, not {expected}")]
    Length { what: &'static str, at: usize, found: i64, expected: i64 },
    #[error("{what} at byte {at} is not a text")]
    Text { what: &'static str, at: usize },
    #[error("{count} bytes at byte {at} belong to nothing")]
    Surplus { count: usize, at: usize },
    #[error("no footer at byte {at}: the file is damaged or its end is missing")]
    Footer { at: usize },
    #[error("checksum {found:08x} does not fit the one stored, {stored:08x}: the file is damaged")]
    Checksum { stored: u64, found: u32 },
}

/// What the bytes of a keystore file say.
pub fn parse(bytes: &[u8]) -> Result<Contents, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len() });
    }
    let mut reader = Reader { bytes, at: 0 };
    if reader.u32("the codec magic", Endian::Big)? != MAGIC {
        return Err(Error::Magic);
    }
    let name = reader.string("the codec name")?;
    let (_, format, newest) =
        NAMES.iter().find(|(known, _, _)| known.as_bytes() == name).ok_or(Error::Name)?;
    let at = reader.at;
    let version = reader.u32("the format version", Endian::Big)?;
    if version == 0 || version > i32::MAX as u32 {
        return Err(Error::Version { version, at });
    }
    if version > *newest {
        return Err(Error::TooNew { version, at, known: *newest });
    }
    let at = reader.at;
    let has_password = match reader.u8("the password flag")? {
        0 => false,
        1 if version < 3 => return Err(Error::ImpossibleFlag { at }),
        1 => true,
        value => return Err(Error::Flag { value, at }),
    };
    match version {
        1 | 2 => reader.pkcs12(version)?,
        3 | 4 => reader.sealed(Endian::Big)?,
        _ => reader.sealed(Endian::Little)?,
    }
    reader.footer()?;
    let (kdf, cipher) = algorithms(version);
    Ok(Contents {
        format: (*format).to_owned(),
        version,
        has_password: Some(has_password),
        kdf: kdf.to_owned(),
        cipher: cipher.to_owned(),
    })
}

/// How a password becomes a key in this version, and what the key encrypts with.
const fn algorithms(version: u32) -> (&'static str, &'static str) {
    match version {
        1 | 2 => ("none", "pkcs12 with an empty password"),
        3..=5 => ("pbkdf2-hmac-sha512 x 10000", "aes-128-gcm"),
        6 => ("pbkdf2-hmac-sha512 x 210000", "aes-128-gcm"),
        _ => ("pbkdf2-hmac-sha512 x 210000", "aes-256-gcm"),
    }
}

#[derive(Clone, Copy)]
enum Endian {
    Big,
    /// Since Lucene 9, for everything but the framing itself.
    Little,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, what: &'static str, count: usize) -> Result<&'a [u8], Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..count) else {
            return Err(Error::Truncated { what, at: self.at, missing: count - rest.len() });
        };
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let at = self.at;
        self.take(what, N)?.try_into().map_err(|_| Error::Truncated { what, at, missing: N })
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, Error> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    fn u32(&mut self, what: &'static str, endian: Endian) -> Result<u32, Error> {
        let bytes = self.array(what)?;
        Ok(match endian {
            Endian::Big => u32::from_be_bytes(bytes),
            Endian::Little => u32::from_le_bytes(bytes),
        })
    }

    /// A number of Java, which has a sign, and must be `expected`.
    fn exactly(&mut self, what: &'static str, endian: Endian, expected: u32) -> Result<(), Error> {
        let at = self.at;
        let found = self.u32(what, endian)?;
        if found == expected {
            return Ok(());
        }
        Err(Error::Length {
            what,
            at,
            found: i64::from(found.cast_signed()),
            expected: i64::from(expected),
        })
    }

    /// Lucene's `VInt`: seven bits a byte, the lowest first, at most five bytes.
    fn vint(&mut self, what: &'static str) -> Result<usize, Error> {
        let at = self.at;
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8(what)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).map_err(|_| Error::Text { what, at });
            }
        }
        Err(Error::Text { what, at })
    }

    fn string(&mut self, what: &'static str) -> Result<&'a [u8], Error> {
        let count = self.vint(what)?;
        self.take(what, count)
    }

    /// Versions 1 and 2: a PKCS#12 store with an empty password, and in 2 the names of the entries in clear.
    fn pkcs12(&mut self, version: u32) -> Result<(), Error> {
        for (what, expected) in [
            ("the store type", "PKCS12"),
            ("the key algorithm", "PBE"),
            ("the file key algorithm", "PBE"),
        ]
        .into_iter()
        .take(if version == 1 { 2 } else { 3 })
        {
            let at = self.at;
            if self.string(what)? != expected.as_bytes() {
                return Err(Error::Text { what, at });
            }
        }
        if version == 2 {
            for _ in 0..self.vint("the number of entries")? {
                self.string("the name of an entry")?;
                self.string("the type of an entry")?;
            }
        }
        let count = self.u32("the length of the store", Endian::Big)?;
        self.take("the store", usize::try_from(count).unwrap_or(usize::MAX)).map(drop)
    }

    /// Versions 3 and later: salt, IV and ciphertext, each with its length, and the length of all.
    fn sealed(&mut self, endian: Endian) -> Result<(), Error> {
        let at = self.at;
        let sealed = self.u32("the length of the sealed data", endian)?;
        // Three lengths of four bytes, salt and IV; the rest is ciphertext, with its tag.
        let around = 3 * 4 + SALT + IV;
        let Some(ciphertext) = sealed.checked_sub(around).filter(|left| *left >= TAG) else {
            let expected = i64::from(around + TAG);
            let found = i64::from(sealed.cast_signed());
            return Err(Error::Length {
                what: "the length of the sealed data",
                at,
                found,
                expected,
            });
        };
        self.exactly("the length of the salt", endian, SALT)?;
        self.take("the salt", SALT as usize)?;
        self.exactly("the length of the IV", endian, IV)?;
        self.take("the IV", IV as usize)?;
        self.exactly("the length of the ciphertext", endian, ciphertext)?;
        self.take("the ciphertext", usize::try_from(ciphertext).unwrap_or(usize::MAX)).map(drop)
    }

    /// Magic, algorithm 0, and the CRC-32 of everything before it. Always big-endian, and the end of the file.
    fn footer(&mut self) -> Result<(), Error> {
        let at = self.at;
        let left = self.bytes.len().saturating_sub(at);
        if left > FOOTER {
            return Err(Error::Surplus { count: left - FOOTER, at });
        }
        let magic = self.u32("the footer", Endian::Big)?;
        let algorithm = self.u32("the footer", Endian::Big)?;
        if magic != FOOTER_MAGIC || algorithm != 0 {
            return Err(Error::Footer { at });
        }
        let found = crc32(self.bytes.get(..self.at).unwrap_or_default());
        let stored = u64::from_be_bytes(self.array("the checksum")?);
        if stored == u64::from(found) { Ok(()) } else { Err(Error::Checksum { stored, found }) }
    }
}

/// The CRC-32 of zlib and `java.util.zip`.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Writes keystores of every version, as the products do. Salt, IV and ciphertext are not real.

    use super::{FOOTER_MAGIC, MAGIC, crc32};

    /// A keystore file of `name` (such as `elasticsearch.keystore`) in format `version`.
    pub(crate) fn keystore(name: &str, version: u32, flag: u8) -> Vec<u8> {
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        string(&mut bytes, name);
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.push(flag);
        let number =
            |value: u32| if version < 5 { value.to_be_bytes() } else { value.to_le_bytes() };
        if version < 3 {
            for text in ["PKCS12", "PBE", "PBE"].iter().take(if version == 1 { 2 } else { 3 }) {
                string(&mut bytes, text);
            }
            if version == 2 {
                bytes.push(1);
                string(&mut bytes, "keystore.seed");
                string(&mut bytes, "STRING");
            }
            bytes.extend_from_slice(&9_u32.to_be_bytes());
            bytes.extend_from_slice(&[0x30; 9]);
        } else {
            bytes.extend_from_slice(&number(12 + 64 + 12 + 59));
            for (length, fill) in [(64_u32, 0xaa_u8), (12, 0xbb), (59, 0xcc)] {
                bytes.extend_from_slice(&number(length));
                bytes.extend(std::iter::repeat_n(fill, length as usize));
            }
        }
        seal(bytes)
    }

    /// `bytes` with the footer that belongs to them.
    pub(crate) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.extend_from_slice(&FOOTER_MAGIC.to_be_bytes());
        bytes.extend_from_slice(&0_u32.to_be_bytes());
        let checksum = crc32(&bytes);
        bytes.extend_from_slice(&u64::from(checksum).to_be_bytes());
        bytes
    }

    fn string(bytes: &mut Vec<u8>, text: &str) {
        bytes.push(u8::try_from(text.len()).unwrap());
        bytes.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fixture::{keystore, seal};
    use super::*;

    const ES: &str = "elasticsearch.keystore";
    const OS: &str = "opensearch.keystore";

    #[test]
    fn every_version_is_told_with_its_kdf_and_cipher() {
        for (version, kdf, cipher) in [
            (1, "none", "pkcs12 with an empty password"),
            (2, "none", "pkcs12 with an empty password"),
            (3, "pbkdf2-hmac-sha512 x 10000", "aes-128-gcm"),
            (4, "pbkdf2-hmac-sha512 x 10000", "aes-128-gcm"),
            (5, "pbkdf2-hmac-sha512 x 10000", "aes-128-gcm"),
            (6, "pbkdf2-hmac-sha512 x 210000", "aes-128-gcm"),
            (7, "pbkdf2-hmac-sha512 x 210000", "aes-256-gcm"),
        ] {
            let contents = parse(&keystore(ES, version, 0)).unwrap();
            assert_eq!(contents.format, "elasticsearch");
            assert_eq!((contents.version, contents.has_password), (version, Some(false)));
            assert_eq!((contents.kdf.as_str(), contents.cipher.as_str()), (kdf, cipher));
        }
    }

    #[test]
    fn sizes_are_those_of_the_products() {
        assert_eq!(keystore(ES, 4, 0).len(), 199);
        assert_eq!(keystore(OS, 4, 0).len(), 196);
    }

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_password_is_told_by_the_flag() {
        assert_eq!(parse(&keystore(ES, 6, 1)).unwrap().has_password, Some(true));
        assert_eq!(parse(&keystore(OS, 4, 1)).unwrap().has_password, Some(true));
    }

    #[test]
    fn a_version_from_the_future_is_not_guessed_at() {
        assert_eq!(parse(&keystore(ES, 8, 0)), Err(Error::TooNew { version: 8, at: 27, known: 7 }));
        assert_eq!(parse(&keystore(OS, 5, 0)), Err(Error::TooNew { version: 5, at: 24, known: 4 }));
        assert_eq!(parse(&keystore(ES, 0, 0)), Err(Error::Version { version: 0, at: 27 }));
    }

    #[test]
    fn a_flag_that_cannot_be_is_refused() {
        assert_eq!(parse(&keystore(ES, 7, 2)), Err(Error::Flag { value: 2, at: 31 }));
        assert_eq!(parse(&keystore(ES, 2, 1)), Err(Error::ImpossibleFlag { at: 31 }));
    }

    #[test]
    fn a_truncated_file_is_refused_at_every_length() {
        for version in 1..=7 {
            let whole = keystore(ES, version, 0);
            for length in 0..whole.len() {
                assert!(parse(&whole[..length]).is_err(), "version {version}, {length} bytes");
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for version in [2, 4, 7] {
            let whole = keystore(ES, version, 0);
            for at in 0..whole.len() {
                for bit in 0..8 {
                    let mut damaged = whole.clone();
                    damaged[at] ^= 1 << bit;
                    assert!(parse(&damaged).is_err(), "version {version}, bit {bit} of byte {at}");
                }
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_named_even_under_a_right_checksum() {
        let mut bytes = keystore(ES, 7, 0);
        bytes[36] = 63;
        bytes.truncate(bytes.len() - FOOTER);
        assert_eq!(
            parse(&seal(bytes)),
            Err(Error::Length { what: "the length of the salt", at: 36, found: 63, expected: 64 })
        );
        let mut longer = keystore(ES, 7, 0);
        longer.extend_from_slice(b"xyz");
        assert_eq!(parse(&longer), Err(Error::Surplus { count: 3, at: 183 }));
    }

    #[test]
    fn other_files_are_not_keystores() {
        assert_eq!(parse(&[0x30, 0x82, 0, 0]), Err(Error::Magic));
        assert_eq!(
            parse(b""),
            Err(Error::Truncated { what: "the codec magic", at: 0, missing: 4 })
        );
        assert_eq!(parse(&keystore("segments", 7, 0)), Err(Error::Name));
        assert_eq!(parse(&vec![0; MAX_SIZE + 1]), Err(Error::TooLarge { size: MAX_SIZE + 1 }));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(parse(&bytes));
        }

        #[test]
        fn no_body_behind_a_right_start_panics(
            version in 0_u32..9,
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = keystore(ES, version, 0);
            bytes.truncate(32);
            bytes.extend_from_slice(&body);
            drop(parse(&seal(bytes)));
        }
    }
}
