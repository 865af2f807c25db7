//! The cipher specification of a crypt target, taken apart.
//!
//! Two forms, see the kernel's `dm-crypt.rst`: `CIPHER[:KEYS]-MODE-IV[:OPTIONS]`, and `capi:NAME-IV[:OPTIONS]` with a
//! name of the kernel's crypto API, such as `authenc(hmac(sha256),xts(aes))`. What is not known gives `None`.

use super::cipher_name::{Algorithm, Name, algorithm};

/// The kernel's `CRYPTO_MAX_ALG_NAME` is 128; a specification is not much longer.
const MAX_LENGTH: usize = 256;

/// What a specification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specification {
    pub algorithm: Algorithm,
    pub iv: Iv,
    /// Keys that take turns from sector to sector, as in loop-AES; 1 with all others.
    pub keys: u32,
}

/// A family of ciphers that fail or hold in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `cipher_null`: the output is the input.
    Null,
    /// DES, Blowfish and others with blocks of 64 bits, which repeat within a large disk.
    Block64,
    /// AES and others with blocks of 128 bits.
    Block128,
    /// `ChaCha` and Salsa.
    Stream,
    /// RC4.
    BrokenStream,
}

/// How a sector is made of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Ecb,
    Cbc,
    Lrw,
    Xts,
    /// Adiantum and HCTR2: every bit of a sector depends on every other.
    Wide,
    /// Counter modes and stream ciphers: one IV must never be used twice.
    Stream,
    /// GCM, CCM, `ChaCha20-Poly1305`, AEGIS: as with [`Mode::Stream`].
    Aead,
    /// `rfc4543`: a checksum with a key, over plaintext.
    ChecksumOnly,
}

/// Where the initialisation vector of a sector comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iv {
    None,
    /// The low 32 bits of the sector number.
    Plain32,
    /// The sector number, in either byte order.
    Plain64,
    /// The number of the sector's first cipher block, for LRW.
    Benbi,
    /// Always zero.
    Null,
    /// The sector number, encrypted.
    Essiv,
    /// The byte offset, encrypted, as in `BitLocker`.
    Eboiv,
    /// The same with the Elephant diffuser.
    Elephant,
    /// A digest of the sector, as in loop-AES.
    Lmk,
    /// As in `TrueCrypt` before 4.1.
    Tcw,
    /// Random, kept beside the sector by dm-integrity.
    Random,
}

impl Iv {
    fn of(name: Option<&str>) -> Option<Self> {
        Some(match name {
            None => Self::None,
            Some("plain") => Self::Plain32,
            Some("plain64" | "plain64be") => Self::Plain64,
            Some("benbi") => Self::Benbi,
            Some("null") => Self::Null,
            Some("essiv") => Self::Essiv,
            Some("eboiv") => Self::Eboiv,
            Some("elephant") => Self::Elephant,
            Some("lmk") => Self::Lmk,
            Some("tcw") => Self::Tcw,
            Some("random") => Self::Random,
            Some(_) => return None,
        })
    }
}

impl Specification {
    /// The bits of the key that an attacker has to guess, of `total` bits in the table: without the keys of checksums and
    /// IVs, and half of what XTS gets. `None` when that is not known or cannot be.
    pub fn strength(&self, total: u32) -> Option<u32> {
        let bits = total.checked_sub(self.algorithm.other_key_bits?)?;
        let bits = match self.iv {
            // See `crypt_ctr_ivmode` of the kernel for these three.
            Iv::Elephant => bits / 2,
            // A seed of the size of a key may follow the keys.
            Iv::Lmk if (bits / 8) % self.keys != 0 => bits / self.keys.checked_add(1)?,
            // An IV seed of 16 bytes and 16 bytes of whitening.
            Iv::Tcw => bits.checked_sub(256)? / self.keys,
            Iv::None
            | Iv::Plain32
            | Iv::Plain64
            | Iv::Benbi
            | Iv::Null
            | Iv::Essiv
            | Iv::Eboiv
            | Iv::Lmk
            | Iv::Random => bits / self.keys,
        };
        match self.algorithm.mode {
            Mode::Xts => Some(bits / 2),
            // The second key of LRW has the size of a block.
            Mode::Lrw => bits.checked_sub(128),
            Mode::Ecb | Mode::Cbc | Mode::Wide | Mode::Stream | Mode::Aead | Mode::ChecksumOnly => {
                Some(bits)
            }
        }
    }
}

/// Takes a specification apart. `None` for anything that is not known for what it is.
pub fn read(text: &str) -> Option<Specification> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let specification = match text.strip_prefix("capi:") {
        Some(rest) => read_api(rest)?,
        None => read_legacy(text)?,
    };
    Some(if specification.algorithm.is_essiv {
        Specification { iv: Iv::Essiv, ..specification }
    } else {
        specification
    })
}

fn read_api(text: &str) -> Option<Specification> {
    // What follows the last colon are options, which may hold a dash: `essiv:sha3-256`.
    let text = text.rsplit_once(':').map_or(text, |(before, _options)| before);
    let (name, iv) = match text.rsplit_once('-') {
        Some((name, iv)) => (name, Iv::of(Some(iv))?),
        None => (text, Iv::None),
    };
    let keys = if iv == Iv::Lmk { 64 } else { 1 };
    Some(Specification { algorithm: algorithm(&Name::parse(name)?)?, iv, keys })
}

fn read_legacy(text: &str) -> Option<Specification> {
    // The kernel refuses these: they belong to the other form.
    if text.contains(['(', ')']) {
        return None;
    }
    let mut parts = text.splitn(3, '-');
    let (cipher, keys) = match parts.next()?.split_once(':') {
        Some((cipher, keys)) => {
            (cipher, keys.parse().ok().filter(|keys: &u32| keys.is_power_of_two())?)
        }
        None => (parts_cipher(text), 1),
    };
    let iv = |rest: &str| Iv::of(rest.split(':').next());
    let (mode, iv) = match (parts.next(), parts.next()) {
        // `aes` and `aes-plain` are what the first dm-crypt had.
        (None | Some("plain"), None) => ("cbc", Iv::Plain32),
        (Some("ecb"), None) => ("ecb", Iv::None),
        (Some(mode), Some(rest)) => (mode, iv(rest)?),
        (Some(_), None) | (None, Some(_)) => return None,
    };
    let name = format!("{mode}({cipher})");
    Some(Specification { algorithm: algorithm(&Name::parse(&name)?)?, iv, keys })
}

fn parts_cipher(text: &str) -> &str {
    text.split('-').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> (String, Kind, Mode, Iv) {
        let found = read(text).unwrap_or_else(|| panic!("{text} is not known"));
        (found.algorithm.cipher.clone(), found.algorithm.kind, found.algorithm.mode, found.iv)
    }

    fn strength(text: &str, total: u32) -> Option<u32> {
        read(text).unwrap().strength(total)
    }

    #[test]
    fn every_spelling_is_taken_apart() {
        for (text, cipher, kind, mode, iv) in [
            ("aes-xts-plain64", "aes", Kind::Block128, Mode::Xts, Iv::Plain64),
            ("aes-xts-plain", "aes", Kind::Block128, Mode::Xts, Iv::Plain32),
            ("aes-cbc-essiv:sha256", "aes", Kind::Block128, Mode::Cbc, Iv::Essiv),
            ("aes", "aes", Kind::Block128, Mode::Cbc, Iv::Plain32),
            ("aes-plain", "aes", Kind::Block128, Mode::Cbc, Iv::Plain32),
            ("aes-ecb", "aes", Kind::Block128, Mode::Ecb, Iv::None),
            ("aes-ecb-null", "aes", Kind::Block128, Mode::Ecb, Iv::Null),
            ("aes-lrw-benbi", "aes", Kind::Block128, Mode::Lrw, Iv::Benbi),
            ("aes-cbc-eboiv", "aes", Kind::Block128, Mode::Cbc, Iv::Eboiv),
            ("aes-cbc-elephant", "aes", Kind::Block128, Mode::Cbc, Iv::Elephant),
            ("aes-cbc-tcw", "aes", Kind::Block128, Mode::Cbc, Iv::Tcw),
            ("aes:64-cbc-lmk", "aes", Kind::Block128, Mode::Cbc, Iv::Lmk),
            ("serpent-xts-plain64", "serpent", Kind::Block128, Mode::Xts, Iv::Plain64),
            ("twofish-xts-plain64be", "twofish", Kind::Block128, Mode::Xts, Iv::Plain64),
            ("camellia-xts-plain64", "camellia", Kind::Block128, Mode::Xts, Iv::Plain64),
            ("aria-xts-plain64", "aria", Kind::Block128, Mode::Xts, Iv::Plain64),
            ("sm4-xts-plain64", "sm4", Kind::Block128, Mode::Xts, Iv::Plain64),
            ("aes-hctr2-plain64", "aes", Kind::Block128, Mode::Wide, Iv::Plain64),
            (
                "xchacha20,aes-adiantum-plain64",
                "xchacha20,aes",
                Kind::Stream,
                Mode::Wide,
                Iv::Plain64,
            ),
            ("blowfish-cbc-essiv:sha256", "blowfish", Kind::Block64, Mode::Cbc, Iv::Essiv),
            ("des3_ede-cbc-plain", "des3_ede", Kind::Block64, Mode::Cbc, Iv::Plain32),
            ("arc4-ecb", "arc4", Kind::BrokenStream, Mode::Ecb, Iv::None),
            ("cipher_null-ecb", "cipher_null", Kind::Null, Mode::Ecb, Iv::None),
            ("capi:xts(aes)-plain64", "aes", Kind::Block128, Mode::Xts, Iv::Plain64),
            ("capi:xts(ecb(aes))-plain64", "aes", Kind::Block128, Mode::Xts, Iv::Plain64),
            ("capi:cbc(aes)-essiv:sha3-256", "aes", Kind::Block128, Mode::Cbc, Iv::Essiv),
            ("capi:essiv(cbc(aes),sha256)-plain64", "aes", Kind::Block128, Mode::Cbc, Iv::Essiv),
            (
                "capi:authenc(hmac(sha256),xts(aes))-random",
                "aes",
                Kind::Block128,
                Mode::Xts,
                Iv::Random,
            ),
            (
                "capi:authenc(hmac(sha256),xts(aes))-plain64",
                "aes",
                Kind::Block128,
                Mode::Xts,
                Iv::Plain64,
            ),
            (
                "capi:adiantum(xchacha12,aes)-plain64",
                "xchacha12,aes",
                Kind::Stream,
                Mode::Wide,
                Iv::Plain64,
            ),
            ("capi:gcm(aes)-random", "aes", Kind::Block128, Mode::Aead, Iv::Random),
            (
                "capi:rfc7539(chacha20,poly1305)-random",
                "chacha20",
                Kind::Stream,
                Mode::Aead,
                Iv::Random,
            ),
            ("capi:aegis128-random", "aegis128", Kind::Block128, Mode::Aead, Iv::Random),
            (
                "capi:rfc4543(gcm(aes))-random",
                "aes",
                Kind::Block128,
                Mode::ChecksumOnly,
                Iv::Random,
            ),
            ("capi:ecb(cipher_null)-null", "cipher_null", Kind::Null, Mode::Ecb, Iv::Null),
            ("capi:ctr(aes)-plain64", "aes", Kind::Block128, Mode::Stream, Iv::Plain64),
        ] {
            assert_eq!(parts(text), (cipher.to_owned(), kind, mode, iv), "{text}");
        }
    }

    #[test]
    fn names_of_drivers_are_known_by_their_parts() {
        for text in [
            "capi:xts-aes-aesni-plain64",
            "capi:xts-aes-vaes-avx2-plain64",
            "capi:__xts-aes-ce-plain64",
            "capi:xts(aes-generic)-plain64",
            "capi:xts(ecb-aes-aesni)-plain64",
            "capi:cryptd(__xts-aes-aesni)-plain64",
        ] {
            assert_eq!(
                parts(text),
                ("aes".to_owned(), Kind::Block128, Mode::Xts, Iv::Plain64),
                "{text}"
            );
        }
        assert_eq!(parts("capi:ecb-cipher_null-null").1, Kind::Null);
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        for text in [
            "",
            "-",
            "capi:",
            "capi:-",
            "rot13-xts-plain64",
            "aes-xtc-plain64",
            "aes-xts",
            "aes-xts-plain65",
            "aes-xts-plain64-more",
            "aes:3-cbc-lmk",
            "aes:0-cbc-lmk",
            "aes(x)-xts-plain64",
            "capi:xts(aes-plain64",
            "capi:xts(aes))-plain64",
            "capi:xts(aes,aes)-plain64",
            "capi:xts(aes)x-plain64",
            "capi:xts-aes-homebrew-plain64",
            "capi:xts-paes-s390-plain64",
            "capi:authenc(xts(aes))-random",
            "capi:rfc4106(aes)-random",
            "capi:adiantum(aes,aes)-plain64",
            "capi:adiantum(xchacha12,cipher_null)-plain64",
            "capi:xts(chacha20)-plain64",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn only_the_key_that_encrypts_counts() {
        assert_eq!(strength("aes-xts-plain64", 512), Some(256));
        assert_eq!(strength("aes-xts-plain64", 256), Some(128));
        assert_eq!(strength("aes-cbc-essiv:sha256", 256), Some(256));
        assert_eq!(strength("aes-lrw-benbi", 384), Some(256));
        assert_eq!(strength("aes-cbc-elephant", 512), Some(256));
        assert_eq!(strength("aes-cbc-tcw", 512), Some(256));
        assert_eq!(strength("aes:64-cbc-lmk", 64 * 128), Some(128));
        assert_eq!(strength("aes:64-cbc-lmk", 65 * 128), Some(128));
        assert_eq!(strength("capi:authenc(hmac(sha256),xts(aes))-random", 768), Some(256));
        assert_eq!(strength("capi:authenc(hmac(sha512),xts(aes))-random", 512), Some(0));
        assert_eq!(strength("capi:authenc(hmac(sha256),xts(aes))-random", 128), None);
        assert_eq!(strength("capi:authenc(newmac,xts(aes))-random", 768), None);
        assert_eq!(strength("capi:gcm(aes)-random", 256), Some(256));
        assert_eq!(strength("capi:rfc4106(gcm(aes))-random", 160), Some(128));
        assert_eq!(strength("xchacha20,aes-adiantum-plain64", 256), Some(256));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,80}", bits in any::<u32>()) {
            if let Some(found) = read(&text) {
                prop_assert!(found.strength(bits).is_none_or(|strength| strength <= bits));
            }
        }

        #[test]
        fn anything_like_a_specification_is_survived(
            text in "(capi:)?[a-z(),:_-]{0,60}", bits in any::<u32>(),
        ) {
            if let Some(found) = read(&text) {
                prop_assert!(found.strength(bits).is_none_or(|strength| strength <= bits));
            }
        }

        #[test]
        fn nesting_is_bounded(depth in 0_usize..200) {
            let text = format!("capi:{}aes{}-plain64", "cryptd(".repeat(depth), ")".repeat(depth));
            prop_assert_eq!(read(&text), None);
        }

        #[test]
        fn a_null_cipher_is_never_taken_for_another(
            mode in "(ecb|cbc|xts|ctr|gcm)", iv in "(null|plain|plain64|random)", api in any::<bool>(),
        ) {
            let text = if api { format!("capi:{mode}(cipher_null)-{iv}") } else { format!("cipher_null-{mode}-{iv}") };
            prop_assert_eq!(read(&text).map(|found| found.algorithm.kind), Some(Kind::Null));
        }
    }
}
