//! PKCS#12 stores as Java writes them: what protects the entries, and whether a password fits the MAC. RFC 7292.
//!
//! The entries stay sealed; their aliases, which stand in clear, are compared with one that is looked for and passed over.

use std::collections::BTreeSet;

use ring::{digest, hmac};
use zeroize::Zeroizing;

use super::der::{
    BMP_STRING, CONTEXT_0, CONTEXT_0_PRIMITIVE, Der, INTEGER, OCTETS, OID, SEQUENCE, SET,
};
use super::reader::Error;

/// A file may ask for more iterations than anybody would wait for; Java writes 10,000 or 100,000.
const MAX_ITERATIONS: u64 = 1_000_000;

/// In bytes; Java writes 20.
const MAX_MAC_SALT: usize = 1024;

/// Bags beyond this many are not looked at.
const MAX_BAGS: usize = 10_000;

/// Different algorithms beyond this many are not named.
const MAX_NAMED: usize = 8;

/// A PKCS#12 store, as far as it can be seen without opening it.
pub struct Store {
    /// Of the bytes that were given; what follows is not part of the store.
    pub length: usize,
    /// How a password becomes the key of an entry, each with its iterations: sorted, without doubles.
    pub kdfs: BTreeSet<String>,
    /// What the keys encrypt with.
    pub ciphers: BTreeSet<String>,
    /// What the MAC over everything is made with.
    pub mac_name: String,
    pub mac: Option<Mac>,
    /// There is an entry with the alias that was asked for.
    pub has_alias: bool,
}

/// The MAC over the store, which only the password reproduces.
pub struct Mac {
    /// `None` when it is one that is not known.
    hash: Option<Hash>,
    digest: Vec<u8>,
    salt: Vec<u8>,
    iterations: u64,
    content: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Hash {
    oid: &'static [u8],
    name: &'static str,
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
}

/// RFC 8017, appendix B.1, and RFC 3370.
static HASHES: [Hash; 4] = [
    Hash {
        oid: &[0x2b, 0x0e, 0x03, 0x02, 0x1a],
        name: "sha1",
        digest: &digest::SHA1_FOR_LEGACY_USE_ONLY,
        hmac: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    },
    Hash {
        oid: &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
        name: "sha256",
        digest: &digest::SHA256,
        hmac: hmac::HMAC_SHA256,
    },
    Hash {
        oid: &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02],
        name: "sha384",
        digest: &digest::SHA384,
        hmac: hmac::HMAC_SHA384,
    },
    Hash {
        oid: &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03],
        name: "sha512",
        digest: &digest::SHA512,
        hmac: hmac::HMAC_SHA512,
    },
];

/// `1.2.840.113549.1.7`: PKCS#7.
const PKCS7: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
const DATA: u8 = 1;
const ENCRYPTED_DATA: u8 = 6;
/// `1.2.840.113549.1.12.10.1`: the kinds of bags.
const BAGS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01];
const SHROUDED_KEY: u8 = 2;
const SECRET: u8 = 5;
/// `1.2.840.113549.1.12.1`: schemes that derive key and IV as PKCS#12 does.
const PBE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];
/// By the last number of the identifier.
const PBE_CIPHERS: [(u8, &str); 6] = [
    (1, "rc4-128"),
    (2, "rc4-40"),
    (3, "3des-cbc"),
    (4, "2des-cbc"),
    (5, "rc2-128-cbc"),
    (6, "rc2-40-cbc"),
];
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// `1.2.840.113549.2`: HMACs, as PRFs of PBKDF2.
const PRF: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
const PRFS: [(u8, &str); 5] =
    [(7, "sha1"), (8, "sha224"), (9, "sha256"), (10, "sha384"), (11, "sha512")];
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];
const AES_MODES: [(u8, &str); 3] = [(2, "aes-128-cbc"), (22, "aes-192-cbc"), (42, "aes-256-cbc")];
const TRIPLE_DES: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, 0x07];
/// `friendlyName` of PKCS#9: the alias.
const FRIENDLY_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x14];

/// The store at the start of `bytes`, which begin at byte `at` of their file. An entry with this `alias` is looked for.
pub fn parse(bytes: &[u8], at: usize, alias: &str) -> Result<Store, Error> {
    let mut outer = Der::new(bytes, at);
    let mut store = outer.next(SEQUENCE, "the store")?;
    let length = outer.at() - at;
    let version = store.next(INTEGER, "the version of the store")?;
    match version.unsigned("the version of the store")? {
        3 => {}
        found => {
            return Err(Error::Length {
                what: "the version of the store",
                at: version.at(),
                found: i64::try_from(found).unwrap_or(i64::MAX),
                expected: 3,
            });
        }
    }
    let mut safe = store.next(SEQUENCE, "the authenticated part")?;
    let content = plain_data(&mut safe)?;
    let (mac_name, mac) = if store.is_empty() {
        ("none".to_owned(), None)
    } else {
        let (name, mac) = mac(&mut store, content.bytes())?;
        (name, Some(mac))
    };
    store.end()?;
    let mut seen = Seen { alias, ..Seen::default() };
    let mut contents = content.clone();
    let mut infos = contents.next(SEQUENCE, "the list of contents")?;
    contents.end()?;
    while !infos.is_empty() {
        let mut info = infos.next(SEQUENCE, "a content")?;
        content_info(&mut info, &mut seen)?;
    }
    let Seen { kdfs, ciphers, has_alias, .. } = seen;
    Ok(Store { length, kdfs, ciphers, mac_name, mac, has_alias })
}

#[derive(Default)]
struct Seen<'a> {
    alias: &'a str,
    bags: usize,
    kdfs: BTreeSet<String>,
    ciphers: BTreeSet<String>,
    has_alias: bool,
}

/// A content of kind `data`: what is in its octets.
fn plain_data<'a>(info: &mut Der<'a>) -> Result<Der<'a>, Error> {
    let kind = info.next(OID, "the kind of a content")?;
    if last_of(kind.bytes(), PKCS7) != Some(DATA) {
        return Err(Error::Element { what: "a content of kind data", at: kind.at() });
    }
    let mut explicit = info.next(CONTEXT_0, "a content")?;
    let octets = explicit.next(OCTETS, "the octets of a content")?;
    explicit.end()?;
    info.end()?;
    Ok(octets)
}

fn content_info(info: &mut Der<'_>, seen: &mut Seen<'_>) -> Result<(), Error> {
    let kind = info.clone().next(OID, "the kind of a content")?;
    match last_of(kind.bytes(), PKCS7) {
        Some(DATA) => {
            let mut data = plain_data(info)?;
            let mut bags = data.next(SEQUENCE, "the list of bags")?;
            data.end()?;
            while !bags.is_empty() {
                seen.bags += 1;
                if seen.bags > MAX_BAGS {
                    return Err(Error::TooLarge { size: seen.bags, limit: MAX_BAGS });
                }
                let mut bag = bags.next(SEQUENCE, "a bag")?;
                safe_bag(&mut bag, seen)?;
            }
            Ok(())
        }
        Some(ENCRYPTED_DATA) => {
            info.skip("the kind of a content")?;
            let mut explicit = info.next(CONTEXT_0, "an encrypted content")?;
            let mut encrypted = explicit.next(SEQUENCE, "an encrypted content")?;
            encrypted.next(INTEGER, "the version of an encrypted content")?;
            let mut inner = encrypted.next(SEQUENCE, "an encrypted content")?;
            inner.next(OID, "the kind of an encrypted content")?;
            algorithm(&mut inner, seen)?;
            inner.next(CONTEXT_0_PRIMITIVE, "an encrypted content").map(drop)
        }
        // Public-key modes: nothing of a password is in them.
        _ => Ok(()),
    }
}

fn safe_bag(bag: &mut Der<'_>, seen: &mut Seen<'_>) -> Result<(), Error> {
    let kind = bag.next(OID, "the kind of a bag")?;
    let mut value = bag.next(CONTEXT_0, "the value of a bag")?;
    match last_of(kind.bytes(), BAGS) {
        Some(SHROUDED_KEY) => encrypted_key(&mut value, seen)?,
        Some(SECRET) => {
            let mut secret = value.next(SEQUENCE, "a secret")?;
            let kind = secret.next(OID, "the kind of a secret")?;
            let mut explicit = secret.next(CONTEXT_0, "the value of a secret")?;
            if last_of(kind.bytes(), BAGS) == Some(SHROUDED_KEY) {
                let mut octets = explicit.next(OCTETS, "the octets of a secret")?;
                encrypted_key(&mut octets, seen)?;
            }
        }
        _ => {}
    }
    if bag.is_empty() {
        return Ok(());
    }
    let mut attributes = bag.next(SET, "the attributes of a bag")?;
    while !attributes.is_empty() {
        let mut attribute = attributes.next(SEQUENCE, "an attribute")?;
        let kind = attribute.next(OID, "the kind of an attribute")?;
        let mut values = attribute.next(SET, "the values of an attribute")?;
        if kind.bytes() == FRIENDLY_NAME && !seen.alias.is_empty() {
            let alias = values.next(BMP_STRING, "an alias")?;
            let wanted = seen.alias.encode_utf16().flat_map(u16::to_be_bytes);
            seen.has_alias |= alias.bytes().iter().copied().eq(wanted);
        }
    }
    bag.end()
}

/// `EncryptedPrivateKeyInfo`.
fn encrypted_key(value: &mut Der<'_>, seen: &mut Seen<'_>) -> Result<(), Error> {
    let mut info = value.next(SEQUENCE, "an encrypted key")?;
    algorithm(&mut info, seen)?;
    info.next(OCTETS, "the octets of an encrypted key").map(drop)
}

/// `AlgorithmIdentifier` of a password-based scheme.
fn algorithm(at: &mut Der<'_>, seen: &mut Seen<'_>) -> Result<(), Error> {
    let mut identifier = at.next(SEQUENCE, "an algorithm")?;
    let oid = identifier.next(OID, "the identifier of an algorithm")?;
    if let Some(number) = last_of(oid.bytes(), PBE) {
        let mut parameters = identifier.next(SEQUENCE, "the parameters of an algorithm")?;
        parameters.next(OCTETS, "a salt")?;
        let count = iterations(&mut parameters)?;
        seen.kdfs.insert(format!("pkcs12-sha1 x {count}"));
        seen.ciphers.insert(named(&PBE_CIPHERS, number, oid.bytes()));
    } else if oid.bytes() == PBES2 {
        let mut parameters = identifier.next(SEQUENCE, "the parameters of an algorithm")?;
        let mut kdf = parameters.next(SEQUENCE, "a key derivation")?;
        let kdf_oid = kdf.next(OID, "the identifier of a key derivation")?;
        if kdf_oid.bytes() == PBKDF2 {
            let mut parameters = kdf.next(SEQUENCE, "the parameters of PBKDF2")?;
            parameters.next(OCTETS, "a salt")?;
            let count = iterations(&mut parameters)?;
            if parameters.tag() == Some(INTEGER) {
                parameters.skip("the length of a key")?;
            }
            let prf = if parameters.is_empty() {
                // The default of RFC 8018, A.2.
                "sha1".to_owned()
            } else {
                let mut prf = parameters.next(SEQUENCE, "a pseudo-random function")?;
                let oid = prf.next(OID, "the identifier of a pseudo-random function")?;
                let number = last_of(oid.bytes(), PRF).unwrap_or_default();
                named(&PRFS, number, oid.bytes())
            };
            seen.kdfs.insert(format!("pbkdf2-hmac-{prf} x {count}"));
        } else {
            seen.kdfs.insert(dotted(kdf_oid.bytes()));
        }
        let mut cipher = parameters.next(SEQUENCE, "a cipher")?;
        let oid = cipher.next(OID, "the identifier of a cipher")?;
        let name = match last_of(oid.bytes(), AES) {
            Some(number) => named(&AES_MODES, number, oid.bytes()),
            None if oid.bytes() == TRIPLE_DES => "3des-cbc".to_owned(),
            None => dotted(oid.bytes()),
        };
        seen.ciphers.insert(name);
    } else {
        seen.kdfs.insert(dotted(oid.bytes()));
        seen.ciphers.insert(dotted(oid.bytes()));
    }
    // A file cannot make the answer long.
    while seen.kdfs.len() > MAX_NAMED {
        seen.kdfs.pop_last();
    }
    while seen.ciphers.len() > MAX_NAMED {
        seen.ciphers.pop_last();
    }
    Ok(())
}

fn iterations(at: &mut Der<'_>) -> Result<u64, Error> {
    at.next(INTEGER, "a number of iterations")?.unsigned("a number of iterations")
}

/// `MacData`.
fn mac(store: &mut Der<'_>, content: &[u8]) -> Result<(String, Mac), Error> {
    let mut data = store.next(SEQUENCE, "the MAC")?;
    let mut info = data.next(SEQUENCE, "the digest of the MAC")?;
    let mut identifier = info.next(SEQUENCE, "the algorithm of the MAC")?;
    let oid = identifier.next(OID, "the identifier of the MAC")?;
    let digest = info.next(OCTETS, "the value of the MAC")?;
    let salt = data.next(OCTETS, "the salt of the MAC")?;
    // Absent, it is 1.
    let count = if data.is_empty() { 1 } else { iterations(&mut data)? };
    data.end()?;
    let hash = HASHES.iter().find(|hash| hash.oid == oid.bytes()).copied();
    let name = hash.map_or_else(|| dotted(oid.bytes()), |hash| format!("hmac-{}", hash.name));
    let mac = Mac {
        hash,
        digest: digest.bytes().to_vec(),
        salt: salt.bytes().to_vec(),
        iterations: count,
        content: Zeroizing::new(content.to_vec()),
    };
    Ok((format!("{name} x {count}"), mac))
}

impl Mac {
    /// Whether `password`, as [`bmp`] makes it, fits; `None` where the algorithm is not known or takes too long.
    pub fn verifies(&self, password: &[u8]) -> Option<bool> {
        let hash = self.hash?;
        if self.iterations == 0
            || self.iterations > MAX_ITERATIONS
            || self.salt.len() > MAX_MAC_SALT
        {
            return None;
        }
        let key = derive(hash.digest, password, &self.salt, self.iterations);
        let key = hmac::Key::new(hash.hmac, &key);
        Some(hmac::verify(&key, &self.content, &self.digest).is_ok())
    }
}

/// The key derivation of RFC 7292, appendix B.2, for a MAC key, which is as long as one digest.
fn derive(
    algorithm: &'static digest::Algorithm,
    password: &[u8],
    salt: &[u8],
    iterations: u64,
) -> Zeroizing<Vec<u8>> {
    /// Appendix B.3: key material for a MAC.
    const ID: u8 = 3;
    let block = algorithm.block_len();
    let padded = |bytes: &[u8]| -> Zeroizing<Vec<u8>> {
        let length = bytes.len().div_ceil(block) * block;
        Zeroizing::new(bytes.iter().copied().cycle().take(length).collect())
    };
    let mut context = digest::Context::new(algorithm);
    context.update(&vec![ID; block]);
    context.update(&padded(salt));
    context.update(&padded(password));
    let mut key = Zeroizing::new(context.finish().as_ref().to_vec());
    for _ in 1..iterations {
        let next = digest::digest(algorithm, &key);
        key.copy_from_slice(next.as_ref());
    }
    key
}

/// A password as it enters the derivation: UTF-16, big-endian, with a NUL at its end (appendix B.1).
pub fn bmp(password: &[char]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(password.len() * 4 + 2));
    for character in password {
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            bytes.extend_from_slice(&unit.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

/// The empty password, in the two ways in which programs spell it.
pub fn empty_passwords() -> Vec<Zeroizing<Vec<u8>>> {
    vec![bmp(&[]), Zeroizing::new(Vec::new())]
}

/// The last number of an identifier below `parent`.
fn last_of(oid: &[u8], parent: &[u8]) -> Option<u8> {
    match oid.strip_prefix(parent) {
        Some([number]) if *number < 0x80 => Some(*number),
        _ => None,
    }
}

fn named(names: &[(u8, &str)], number: u8, oid: &[u8]) -> String {
    names
        .iter()
        .find(|(known, _)| *known == number)
        .map_or_else(|| dotted(oid), |(_, name)| (*name).to_owned())
}

/// An identifier that has no name here: `oid 1.2.840`. X.690, 8.19.
fn dotted(oid: &[u8]) -> String {
    /// Longer ones are cut.
    const LONGEST: usize = 32;
    let mut numbers: Vec<u64> = Vec::new();
    let mut number = 0_u64;
    for byte in oid.iter().take(LONGEST) {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.extend([first, number - first * 40]);
            } else {
                numbers.push(number);
            }
            number = 0;
        }
    }
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    format!("oid {}", numbers.join("."))
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Writes stores as Java does: one sealed secret each, and a MAC that is real.

    use super::super::der::fixture::{element, number};
    use super::*;

    /// What seals the entries.
    #[derive(Clone, Copy)]
    pub(crate) enum Scheme {
        /// As Java 8 wrote: SHA-1 and triple DES.
        Old,
        /// As Java 17 writes.
        Pbes2,
    }

    fn data(contents: &[u8]) -> Vec<u8> {
        let oid = element(OID, &[PKCS7, &[DATA]].concat());
        element(SEQUENCE, &[oid, element(CONTEXT_0, &element(OCTETS, contents))].concat())
    }

    fn scheme(scheme: Scheme) -> Vec<u8> {
        let salt = element(OCTETS, &[0xaa; 20]);
        match scheme {
            Scheme::Old => {
                let parameters = element(SEQUENCE, &[salt, number(50_000)].concat());
                let oid = element(OID, &[PBE, &[3]].concat());
                element(SEQUENCE, &[oid, parameters].concat())
            }
            Scheme::Pbes2 => {
                let prf = element(OID, &[PRF, &[9]].concat());
                let prf = element(SEQUENCE, &[prf, vec![5, 0]].concat());
                let parameters =
                    element(SEQUENCE, &[salt, number(10_000), number(32), prf].concat());
                let kdf = element(SEQUENCE, &[element(OID, PBKDF2), parameters].concat());
                let cipher = element(OID, &[AES, &[42]].concat());
                let cipher = element(SEQUENCE, &[cipher, element(OCTETS, &[0xbb; 16])].concat());
                let parameters = element(SEQUENCE, &[kdf, cipher].concat());
                element(SEQUENCE, &[element(OID, PBES2), parameters].concat())
            }
        }
    }

    /// A store with a sealed secret for each alias, and a MAC by `password`.
    pub(crate) fn store(
        aliases: &[&str],
        password: &[u8],
        how: Scheme,
        iterations: u32,
    ) -> Vec<u8> {
        let bags: Vec<u8> = aliases
            .iter()
            .flat_map(|alias| {
                let sealed = element(OCTETS, &[0xcc; 48]);
                let key = element(SEQUENCE, &[scheme(how), sealed].concat());
                let kind = element(OID, &[BAGS, &[SHROUDED_KEY]].concat());
                let value = element(CONTEXT_0, &element(OCTETS, &key));
                let secret = element(SEQUENCE, &[kind, value].concat());
                let alias: Vec<u8> = alias.encode_utf16().flat_map(u16::to_be_bytes).collect();
                let values = element(SET, &element(BMP_STRING, &alias));
                let attribute = element(SEQUENCE, &[element(OID, FRIENDLY_NAME), values].concat());
                let kind = element(OID, &[BAGS, &[SECRET]].concat());
                let parts = [kind, element(CONTEXT_0, &secret), element(SET, &attribute)];
                element(SEQUENCE, &parts.concat())
            })
            .collect();
        let content = element(SEQUENCE, &data(&element(SEQUENCE, &bags)));
        let hash = match how {
            Scheme::Old => HASHES[0],
            Scheme::Pbes2 => HASHES[1],
        };
        let salt = [0xdd; 20];
        let key = derive(hash.digest, password, &salt, u64::from(iterations));
        let tag = hmac::sign(&hmac::Key::new(hash.hmac, &key), &content);
        let identifier = element(SEQUENCE, &[element(OID, hash.oid), vec![5, 0]].concat());
        let digest = element(SEQUENCE, &[identifier, element(OCTETS, tag.as_ref())].concat());
        let mac = element(SEQUENCE, &[digest, element(OCTETS, &salt), number(iterations)].concat());
        element(SEQUENCE, &[number(3), data(&content), mac].concat())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fixture::{Scheme, store};
    use super::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn algorithms_iterations_and_aliases_are_seen() {
        for (scheme, kdf, cipher, mac) in [
            (Scheme::Old, "pkcs12-sha1 x 50000", "3des-cbc", "hmac-sha1 x 1000"),
            (Scheme::Pbes2, "pbkdf2-hmac-sha256 x 10000", "aes-256-cbc", "hmac-sha256 x 1000"),
        ] {
            let bytes = store(&["urn:x:a", "urn:x:b"], &bmp(&[]), scheme, 1000);
            let parsed = parse(&bytes, 0, "urn:x:b").unwrap();
            assert_eq!(parsed.length, bytes.len());
            assert_eq!(parsed.kdfs.iter().collect::<Vec<_>>(), [kdf]);
            assert_eq!(parsed.ciphers.iter().collect::<Vec<_>>(), [cipher]);
            assert_eq!(parsed.mac_name, mac);
            assert!(parsed.has_alias);
            assert!(!parse(&bytes, 0, "urn:x:").unwrap().has_alias);
        }
    }

    #[test]
    fn the_mac_tells_the_password() {
        for scheme in [Scheme::Old, Scheme::Pbes2] {
            let bytes = store(&["a"], &bmp(&chars("secret")), scheme, 1000);
            let mac = parse(&bytes, 0, "").unwrap().mac.unwrap();
            assert_eq!(mac.verifies(&bmp(&chars("secret"))), Some(true));
            assert_eq!(mac.verifies(&bmp(&[])), Some(false));
            assert_eq!(mac.verifies(b""), Some(false));
        }
    }

    #[test]
    fn a_cost_without_end_is_not_paid() {
        let bytes = store(&["a"], &bmp(&[]), Scheme::Pbes2, 7);
        let mut mac = parse(&bytes, 0, "").unwrap().mac.unwrap();
        mac.iterations = MAX_ITERATIONS + 1;
        assert_eq!(mac.verifies(&bmp(&[])), None);
        mac.iterations = 0;
        assert_eq!(mac.verifies(&bmp(&[])), None);
    }

    #[test]
    fn a_truncated_store_is_refused_at_every_length() {
        let whole = store(&["urn:x:a"], &bmp(&[]), Scheme::Pbes2, 1);
        for length in 0..whole.len() {
            assert!(parse(&whole[..length], 0, "").is_err(), "{length} bytes");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(parse(&longer, 0, "").unwrap().length, whole.len());
    }

    #[test]
    fn an_identifier_without_a_name_is_told_by_its_numbers() {
        assert_eq!(dotted(PBES2), "oid 1.2.840.113549.1.5.13");
        assert_eq!(dotted(AES), "oid 2.16.840.1.101.3.4.1");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(parse(&bytes, 0, "x"));
        }

        #[test]
        fn no_changed_byte_panics(at in 0_usize..400, value in any::<u8>()) {
            let mut bytes = store(&["urn:x:a"], &bmp(&[]), Scheme::Pbes2, 1);
            let length = bytes.len();
            bytes[at % length] = value;
            drop(parse(&bytes, 0, "x"));
        }
    }
}
