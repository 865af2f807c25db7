//! The keystore of Elasticsearch and its fork in OpenSearch: what the file says without being opened.
//!
//! Lucene's codec framing around a version, a password flag and the encrypted entries; see `KeyStoreWrapper.java`
//! of either. Names that old formats hold in clear are passed over.

use std::num::NonZeroU32;

use super::lock::{Cipher, Gcm, Lock};
use super::reader::{Endian, Error, Reader};
use super::{Contents, Parsed, pkcs12};

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

/// Whether a file that starts so may be one.
pub fn starts(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC.to_be_bytes())
}

/// What the bytes of a keystore file say.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    let mut reader = Reader::new(bytes);
    if reader.u32("the codec magic", Endian::Big)? != MAGIC {
        return Err(Error::Magic { expected: "the codec magic of Lucene" });
    }
    let name = string(&mut reader, "the codec name")?;
    let (_, format, newest) =
        NAMES.iter().find(|(known, _, _)| known.as_bytes() == name).ok_or(Error::Name)?;
    let at = reader.at();
    let version = reader.u32("the format version", Endian::Big)?;
    if version == 0 || version > i32::MAX as u32 {
        return Err(Error::Version { version, at });
    }
    if version > *newest {
        return Err(Error::TooNew { version, at, known: *newest });
    }
    let at = reader.at();
    let has_password = match reader.u8("the password flag")? {
        0 => false,
        1 if version < 3 => return Err(Error::ImpossibleFlag { at }),
        1 => true,
        value => return Err(Error::Flag { value, at }),
    };
    let lock = match version {
        1 | 2 => pkcs12(&mut reader, version)?,
        _ => Some(sealed(&mut reader, version)?),
    };
    footer(&mut reader)?;
    let (kdf, cipher) = algorithms(version);
    let contents = Contents {
        format: (*format).to_owned(),
        version,
        has_password: Some(has_password),
        opens_without_password: None,
        entries: None,
        kdf: kdf.to_owned(),
        cipher: cipher.to_owned(),
    };
    Ok(Parsed { contents, lock })
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

/// The same in numbers, from version 3 on.
const fn parameters(version: u32) -> (NonZeroU32, Cipher) {
    const OLD: NonZeroU32 = NonZeroU32::new(10_000).unwrap();
    const NEW: NonZeroU32 = NonZeroU32::new(210_000).unwrap();
    match version {
        ..=5 => (OLD, Cipher::Aes128),
        6 => (NEW, Cipher::Aes128),
        _ => (NEW, Cipher::Aes256),
    }
}

/// Versions 1 and 2: a PKCS#12 store with an empty password, and in 2 the names of the entries in clear.
fn pkcs12(reader: &mut Reader<'_>, version: u32) -> Result<Option<Lock>, Error> {
    for (what, expected) in [
        ("the store type", "PKCS12"),
        ("the key algorithm", "PBE"),
        ("the file key algorithm", "PBE"),
    ]
    .into_iter()
    .take(if version == 1 { 2 } else { 3 })
    {
        let at = reader.at();
        if string(reader, what)? != expected.as_bytes() {
            return Err(Error::Text { what, at });
        }
    }
    if version == 2 {
        for _ in 0..vint(reader, "the number of entries")? {
            string(reader, "the name of an entry")?;
            let at = reader.at();
            let kind = string(reader, "the type of an entry")?;
            if kind != b"STRING" && kind != b"FILE" {
                return Err(Error::Text { what: "the type of an entry", at });
            }
        }
    }
    let count = reader.u32("the length of the store", Endian::Big)?;
    let at = reader.at();
    let blob = reader.take("the store", usize::try_from(count).unwrap_or(usize::MAX))?;
    let store = pkcs12::parse(blob, at, "")?;
    match blob.len() - store.length {
        0 => Ok(store.mac.map(|mac| Lock::Pkcs12(mac, pkcs12::empty_passwords()))),
        count => Err(Error::Surplus { count, at: at + store.length }),
    }
}

/// Versions 3 and later: salt, IV and ciphertext, each with its length, and the length of all.
fn sealed(reader: &mut Reader<'_>, version: u32) -> Result<Lock, Error> {
    // Little-endian since Lucene 9, but for the framing itself.
    let endian = if version < 5 { Endian::Big } else { Endian::Little };
    let at = reader.at();
    let sealed = reader.u32("the length of the sealed data", endian)?;
    // Three lengths of four bytes, salt and IV; the rest is ciphertext, with its tag.
    let around = 3 * 4 + SALT + IV;
    let Some(ciphertext) = sealed.checked_sub(around).filter(|left| *left >= TAG) else {
        let expected = i64::from(around + TAG);
        let found = i64::from(sealed.cast_signed());
        return Err(Error::Length { what: "the length of the sealed data", at, found, expected });
    };
    reader.exactly("the length of the salt", endian, SALT)?;
    let salt = reader.array("the salt")?;
    reader.exactly("the length of the IV", endian, IV)?;
    let nonce = reader.array("the IV")?;
    reader.exactly("the length of the ciphertext", endian, ciphertext)?;
    let ciphertext = usize::try_from(ciphertext).unwrap_or(usize::MAX);
    let ciphertext = reader.take("the ciphertext", ciphertext)?.to_vec();
    let (iterations, cipher) = parameters(version);
    Ok(Lock::Gcm(Gcm { iterations, cipher, salt, nonce, salt_is_authenticated: true, ciphertext }))
}

/// Magic, algorithm 0, and the CRC-32 of everything before it. Always big-endian, and the end of the file.
fn footer(reader: &mut Reader<'_>) -> Result<(), Error> {
    let at = reader.at();
    let left = reader.left();
    if left > FOOTER {
        return Err(Error::Surplus { count: left - FOOTER, at });
    }
    let magic = reader.u32("the footer", Endian::Big)?;
    let algorithm = reader.u32("the footer", Endian::Big)?;
    if magic != FOOTER_MAGIC || algorithm != 0 {
        return Err(Error::Footer { at });
    }
    let found = crc32(reader.taken());
    let stored = u64::from_be_bytes(reader.array("the checksum")?);
    if stored == u64::from(found) { Ok(()) } else { Err(Error::Checksum { stored, found }) }
}

/// Lucene's `VInt`: seven bits a byte, the lowest first, at most five bytes.
fn vint(reader: &mut Reader<'_>, what: &'static str) -> Result<usize, Error> {
    let at = reader.at();
    let mut value = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let byte = reader.u8(what)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(value).map_err(|_| Error::Text { what, at });
        }
    }
    Err(Error::Text { what, at })
}

fn string<'a>(reader: &mut Reader<'a>, what: &'static str) -> Result<&'a [u8], Error> {
    let count = vint(reader, what)?;
    reader.take(what, count)
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
    //! Writes keystores of every version, as the products do, with entries that are really encrypted.

    use super::super::lock;
    use super::super::pkcs12::{bmp, fixture as pkcs12};
    use super::{FOOTER_MAGIC, MAGIC, crc32, parameters};

    /// A keystore file of `name` (such as `elasticsearch.keystore`) in format `version` with a seed in it. Under a flag
    /// of 1 the password is `secret`, else it is empty.
    pub(crate) fn keystore(name: &str, version: u32, flag: u8) -> Vec<u8> {
        let password: &[u8] = if flag == 1 { b"secret" } else { b"" };
        sealed(name, version, flag, password, &[("keystore.seed", b"abcdefghijklmnopqrst")])
    }

    /// The same with this password and these entries, whatever the flag says.
    pub(crate) fn sealed(
        name: &str,
        version: u32,
        flag: u8,
        password: &[u8],
        entries: &[(&str, &[u8])],
    ) -> Vec<u8> {
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        string(&mut bytes, name);
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.push(flag);
        let number = |value: usize| {
            let value = u32::try_from(value).unwrap();
            if version < 5 { value.to_be_bytes() } else { value.to_le_bytes() }
        };
        if version < 3 {
            for text in ["PKCS12", "PBE", "PBE"].iter().take(if version == 1 { 2 } else { 3 }) {
                string(&mut bytes, text);
            }
            if version == 2 {
                bytes.push(u8::try_from(entries.len()).unwrap());
                for (name, _) in entries {
                    string(&mut bytes, name);
                    string(&mut bytes, "STRING");
                }
            }
            let names: Vec<&str> = entries.iter().map(|(name, _)| *name).collect();
            let password: Vec<char> = password.iter().copied().map(char::from).collect();
            let store = pkcs12::store(&names, &bmp(&password), pkcs12::Scheme::Old, 1024);
            bytes.extend_from_slice(&u32::try_from(store.len()).unwrap().to_be_bytes());
            bytes.extend(store);
        } else {
            let (iterations, cipher) = parameters(version);
            let plaintext = plaintext(version, entries);
            let gcm = lock::fixture::seal(password, &plaintext, iterations.get(), cipher, true);
            bytes.extend_from_slice(&number(12 + 64 + 12 + gcm.ciphertext.len()));
            for part in [&gcm.salt[..], &gcm.nonce, &gcm.ciphertext] {
                bytes.extend_from_slice(&number(part.len()));
                bytes.extend_from_slice(part);
            }
        }
        seal(bytes)
    }

    /// A keystore of version 1 or 2 around a store that something else made.
    pub(crate) fn around(name: &str, version: u32, store: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        string(&mut bytes, name);
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.push(0);
        for text in ["PKCS12", "PBE", "PBE"].iter().take(if version == 1 { 2 } else { 3 }) {
            string(&mut bytes, text);
        }
        if version == 2 {
            bytes.push(0);
        }
        bytes.extend_from_slice(&u32::try_from(store.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(store);
        seal(bytes)
    }

    /// The entries as `DataOutputStream` of Java writes them.
    fn plaintext(version: u32, entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = u32::try_from(entries.len()).unwrap().to_be_bytes().to_vec();
        let utf = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        for (name, value) in entries {
            utf(&mut bytes, name);
            if version == 3 {
                utf(&mut bytes, "STRING");
            }
            bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(value);
        }
        bytes
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

    use super::fixture::{keystore, seal, sealed};
    use super::*;

    const ES: &str = "elasticsearch.keystore";
    const OS: &str = "opensearch.keystore";

    fn error(bytes: &[u8]) -> Error {
        parse(bytes).err().unwrap()
    }

    fn opens(bytes: &[u8]) -> Option<bool> {
        parse(bytes).unwrap().lock.unwrap().opens()
    }

    #[test]
    fn the_empty_password_opens_what_it_sealed_and_nothing_else() {
        for (name, versions) in [(ES, 1..=7), (OS, 1..=4)] {
            for version in versions {
                assert_eq!(opens(&keystore(name, version, 0)), Some(true), "{name} {version}");
                // Whatever the flag says.
                let shut = sealed(name, version, 0, b"secret", &[("x", b"y")]);
                assert_eq!(opens(&shut), Some(false), "{name} {version}");
            }
        }
        assert_eq!(opens(&keystore(ES, 7, 1)), Some(false));
        assert_eq!(opens(&sealed(ES, 7, 1, b"", &[])), Some(true));
    }

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
            let contents = parse(&keystore(ES, version, 0)).unwrap().contents;
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
        assert_eq!(parse(&keystore(ES, 6, 1)).unwrap().contents.has_password, Some(true));
        assert_eq!(parse(&keystore(OS, 4, 1)).unwrap().contents.has_password, Some(true));
    }

    #[test]
    fn a_version_from_the_future_is_not_guessed_at() {
        assert_eq!(error(&keystore(ES, 8, 0)), Error::TooNew { version: 8, at: 27, known: 7 });
        assert_eq!(error(&keystore(OS, 5, 0)), Error::TooNew { version: 5, at: 24, known: 4 });
        assert_eq!(error(&keystore(ES, 0, 0)), Error::Version { version: 0, at: 27 });
    }

    #[test]
    fn a_flag_that_cannot_be_is_refused() {
        assert_eq!(error(&keystore(ES, 7, 2)), Error::Flag { value: 2, at: 31 });
        assert_eq!(error(&keystore(ES, 2, 1)), Error::ImpossibleFlag { at: 31 });
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
            error(&seal(bytes)),
            Error::Length { what: "the length of the salt", at: 36, found: 63, expected: 64 }
        );
        let mut longer = keystore(ES, 7, 0);
        longer.extend_from_slice(b"xyz");
        assert_eq!(error(&longer), Error::Surplus { count: 3, at: 183 });
    }

    #[test]
    fn other_files_are_not_keystores() {
        assert_eq!(
            error(&[0x30, 0x82, 0, 0]),
            Error::Magic { expected: "the codec magic of Lucene" }
        );
        assert_eq!(error(b""), Error::Truncated { what: "the codec magic", at: 0, missing: 4 });
        assert_eq!(error(&keystore("segments", 7, 0)), Error::Name);
        assert_eq!(
            error(&vec![0; MAX_SIZE + 1]),
            Error::TooLarge { size: MAX_SIZE + 1, limit: MAX_SIZE }
        );
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
            let mut bytes = MAGIC.to_be_bytes().to_vec();
            bytes.push(22);
            bytes.extend_from_slice(ES.as_bytes());
            bytes.extend_from_slice(&version.to_be_bytes());
            bytes.push(0);
            bytes.extend_from_slice(&body);
            drop(parse(&seal(bytes)));
        }
    }
}
