//! The keystore of Logstash: a bare PKCS#12 store. `JavaKeyStore.java` and `SecretStoreUtil.java` of Logstash.
//!
//! Without `LOGSTASH_KEYSTORE_PASS` it has a random password, which is written behind the store, each byte combined (exclusive
//! or) with one of as many random bytes that follow, and their number in the last byte: whoever has the file has the password.

use zeroize::Zeroizing;

use super::lock::Lock;
use super::reader::Error;
use super::{Contents, Parsed, pkcs12};

/// A bigger file is no keystore: each secret takes a few hundred bytes.
pub const MAX_SIZE: usize = 1 << 20;

/// The entry that Logstash makes in every keystore, to know it again: `LOGSTASH_MARKER` of `SecretStoreFactory.java`.
const MARKER: &str = "urn:logstash:secret:v1:keystore.seed";

/// Whether a file that starts so may be one.
pub fn starts(bytes: &[u8]) -> bool {
    // A sequence whose length takes two or three bytes, and the version of the store.
    matches!(bytes, [0x30, 0x82, _, _, 2, 1, 3, ..] | [0x30, 0x83, _, _, _, 2, 1, 3, ..])
}

/// What the bytes of a keystore file say.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    if !bytes.is_empty() && bytes.first() != Some(&0x30) {
        return Err(Error::Magic { expected: "a PKCS#12 store" });
    }
    let store = pkcs12::parse(bytes, 0, MARKER)?;
    if !store.has_alias {
        return Err(Error::Foreign { what: "the seed that Logstash makes" });
    }
    let behind = bytes.get(store.length..).unwrap_or_default();
    let passwords = if behind.is_empty() {
        pkcs12::empty_passwords()
    } else {
        vec![stored_password(behind, store.length)?]
    };
    let join = |names: &std::collections::BTreeSet<String>| {
        names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let contents = Contents {
        format: "logstash".to_owned(),
        version: 1,
        has_password: Some(behind.is_empty()),
        opens_without_password: None,
        entries: None,
        kdf: format!("{}, mac {}", join(&store.kdfs), store.mac_name),
        cipher: join(&store.ciphers),
    };
    Ok(Parsed { contents, lock: store.mac.map(|mac| Lock::Pkcs12(mac, passwords)) })
}

/// The password that is written behind the store, as it enters the key derivation.
fn stored_password(behind: &[u8], at: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let what = "the password behind the store";
    let Some((count, halves)) = behind.split_last() else {
        return Err(Error::Truncated { what, at, missing: 1 });
    };
    let count = usize::from(*count);
    if halves.len() < count {
        return Err(Error::Truncated { what, at, missing: count - halves.len() });
    }
    if halves.len() > count {
        return Err(Error::Surplus { count: halves.len() - count, at });
    }
    if count == 0 || !count.is_multiple_of(2) {
        return Err(Error::Text { what, at });
    }
    let (text, random) = halves.split_at(count / 2);
    let password: Zeroizing<Vec<char>> =
        Zeroizing::new(text.iter().zip(random).map(|(a, b)| char::from(a ^ b)).collect());
    // It is the base64 of random bytes.
    if !password.iter().all(char::is_ascii_graphic) {
        return Err(Error::Text { what, at });
    }
    Ok(pkcs12::bmp(&password))
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Writes keystores as Logstash does.

    use super::super::pkcs12::bmp;
    use super::super::pkcs12::fixture::{Scheme, store};

    /// A keystore with these secrets, under a password of its own or one that is stored behind it.
    pub(crate) fn keystore(password: Option<&str>, names: &[&str], how: Scheme) -> Vec<u8> {
        let alias = |name| format!("urn:logstash:secret:v1:{name}");
        let aliases: Vec<String> = names.iter().map(alias).collect();
        let aliases: Vec<&str> = aliases.iter().map(String::as_str).collect();
        let own = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let chars: Vec<char> = password.unwrap_or(own).chars().collect();
        let mut bytes = store(&aliases, &bmp(&chars), how, 1000);
        if password.is_none() {
            bytes.extend(own.bytes().map(|byte| byte ^ 0x5a));
            bytes.extend(own.bytes().map(|_| 0x5a));
            bytes.push(u8::try_from(own.len() * 2).unwrap());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pkcs12;
    use super::super::pkcs12::fixture::Scheme;
    use super::fixture::keystore;
    use super::*;

    const NAMES: [&str; 2] = ["keystore.seed", "es_pwd"];

    fn error(bytes: &[u8]) -> Error {
        parse(bytes).err().unwrap()
    }

    #[test]
    fn a_password_that_is_stored_behind_the_store_is_none() {
        for scheme in [Scheme::Old, Scheme::Pbes2] {
            let parsed = parse(&keystore(None, &NAMES, scheme)).unwrap();
            assert_eq!(parsed.contents.has_password, Some(false));
            assert_eq!(parsed.lock.unwrap().opens(), Some(true));
            let parsed = parse(&keystore(Some("secret"), &NAMES, scheme)).unwrap();
            assert_eq!(parsed.contents.has_password, Some(true));
            assert_eq!(parsed.lock.unwrap().opens(), Some(false));
        }
    }

    #[test]
    fn algorithms_are_those_of_the_store() {
        let contents = parse(&keystore(None, &NAMES, Scheme::Old)).unwrap().contents;
        assert_eq!(contents.kdf, "pkcs12-sha1 x 50000, mac hmac-sha1 x 1000");
        assert_eq!(contents.cipher, "3des-cbc");
        let contents = parse(&keystore(None, &NAMES, Scheme::Pbes2)).unwrap().contents;
        assert_eq!(contents.kdf, "pbkdf2-hmac-sha256 x 10000, mac hmac-sha256 x 1000");
        assert_eq!(contents.cipher, "aes-256-cbc");
    }

    #[test]
    fn one_without_a_password_opens_and_is_so_shown() {
        let bytes = keystore(Some(""), &NAMES, Scheme::Pbes2);
        assert_eq!(parse(&bytes).unwrap().lock.unwrap().opens(), Some(true));
    }

    #[test]
    fn a_password_behind_it_that_is_another_stores_does_not_open_it() {
        let mut bytes = keystore(None, &NAMES, Scheme::Pbes2);
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        assert_eq!(parse(&bytes).unwrap().lock.unwrap().opens(), Some(false));
    }

    #[test]
    fn what_is_damaged_is_named() {
        let whole = keystore(None, &NAMES, Scheme::Pbes2);
        let store = keystore(Some("x"), &NAMES, Scheme::Pbes2).len();
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]).is_ok(), length == store, "{length} bytes");
        }
        let surplus = [&whole[..], &whole[store..]].concat();
        assert_eq!(error(&surplus), Error::Surplus { count: 89, at: store });
        assert!(matches!(error(&[&whole[..store], &[0]].concat()), Error::Text { .. }));
        assert!(matches!(error(b"x"), Error::Magic { .. }));
        assert!(matches!(error(&vec![0x30; MAX_SIZE + 1]), Error::TooLarge { .. }));
    }

    #[test]
    fn a_store_of_another_program_is_none_of_logstash() {
        let bytes = pkcs12::fixture::store(&["http"], &pkcs12::bmp(&[]), Scheme::Pbes2, 1);
        let without = Error::Foreign { what: "the seed that Logstash makes" };
        assert_eq!(error(&bytes), without);
        assert_eq!(error(&keystore(None, &["es_pwd"], Scheme::Pbes2)), without);
    }

    #[test]
    fn its_start_is_known() {
        assert!(starts(&keystore(None, &NAMES, Scheme::Old)));
        assert!(!starts(b"0\x82"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(parse(&bytes));
        }

        #[test]
        fn no_bytes_behind_a_store_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let store = keystore(Some("x"), &NAMES, Scheme::Pbes2);
            drop(parse(&[store, bytes].concat()));
        }
    }
}
