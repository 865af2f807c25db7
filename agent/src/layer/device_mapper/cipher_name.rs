//! Names of the kernel's crypto API, such as `authenc(hmac(sha256),xts(aes))`, and what they do.

use super::cipher::{Kind, Mode};

/// No name of the kernel nests deeper.
const MAX_DEPTH: usize = 6;

/// A name with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name<'a> {
    word: &'a str,
    arguments: Vec<Name<'a>>,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Algorithm {
    /// The cipher, or the ciphers separated by commas, such as `aes` or `xchacha12,aes`.
    pub cipher: String,
    pub kind: Kind,
    pub mode: Mode,
    /// The checksum that goes with it, such as `hmac(sha256)`.
    pub authentication: Option<String>,
    /// The IV is encrypted within the algorithm.
    pub(super) is_essiv: bool,
    /// Bits of the key that do not encrypt, such as those of a checksum. `None` when that is not known.
    pub(super) other_key_bits: Option<u32>,
}

/// Ciphers of the kernel, by name.
const CIPHERS: &[(&str, Kind)] = &[
    ("aes", Kind::Block128),
    ("anubis", Kind::Block128),
    ("arc4", Kind::BrokenStream),
    ("aria", Kind::Block128),
    ("blowfish", Kind::Block64),
    ("camellia", Kind::Block128),
    ("cast5", Kind::Block64),
    ("cast6", Kind::Block128),
    ("chacha20", Kind::Stream),
    ("cipher_null", Kind::Null),
    ("des", Kind::Block64),
    ("des3_ede", Kind::Block64),
    ("fcrypt", Kind::Block64),
    ("khazad", Kind::Block64),
    ("salsa20", Kind::Stream),
    ("seed", Kind::Block128),
    ("serpent", Kind::Block128),
    ("sm4", Kind::Block128),
    ("tea", Kind::Block64),
    ("twofish", Kind::Block128),
    ("xchacha12", Kind::Stream),
    ("xchacha20", Kind::Stream),
    ("xeta", Kind::Block64),
    ("xtea", Kind::Block64),
];

/// What follows the algorithm in the names of the kernel's drivers.
const IMPLEMENTATIONS: &[&str] = &[
    "3way",
    "aesni",
    "arm",
    "arm64",
    "asm",
    "avx",
    "avx10_256",
    "avx10_512",
    "avx2",
    "avx512",
    "bs",
    "ce",
    "generic",
    "i586",
    "lib",
    "neon",
    "neonbs",
    "ni",
    "padlock",
    "ppc",
    "s390",
    "simd",
    "sse2",
    "ssse3",
    "vaes",
    "x86_64",
];

/// Digest sizes in bits: dm-crypt gives a checksum a key of that size.
const DIGESTS: &[(&str, u32)] = &[
    ("md5", 128),
    ("rmd160", 160),
    ("sha1", 160),
    ("sha224", 224),
    ("sha256", 256),
    ("sha384", 384),
    ("sha512", 512),
    ("sha3-256", 256),
    ("sha3-384", 384),
    ("sha3-512", 512),
    ("sm3", 256),
];

impl<'a> Name<'a> {
    /// `None` when parentheses do not match, a word is odd, or it nests too deep.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        Self::parse_below(text, 0)
    }

    fn parse_below(text: &'a str, depth: usize) -> Option<Self> {
        if depth >= MAX_DEPTH {
            return None;
        }
        let Some((word, rest)) = text.split_once('(') else {
            return is_word(text).then(|| Self { word: text, arguments: Vec::new() });
        };
        let inner = rest.strip_suffix(')')?;
        let arguments = split_arguments(inner)?
            .into_iter()
            .map(|argument| Self::parse_below(argument, depth + 1))
            .collect::<Option<Vec<_>>>()?;
        is_word(word).then_some(Self { word, arguments })
    }

    fn text(&self) -> String {
        if self.arguments.is_empty() {
            return self.word.to_owned();
        }
        let arguments: Vec<String> = self.arguments.iter().map(Self::text).collect();
        format!("{}({})", self.word, arguments.join(","))
    }
}

fn is_word(text: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

/// Splits at the commas outside of parentheses.
fn split_arguments(text: &str) -> Option<Vec<&str>> {
    let mut depth = 0_usize;
    let mut is_odd = false;
    let arguments = text
        .split(|character| {
            match character {
                '(' => depth += 1,
                ')' => match depth.checked_sub(1) {
                    Some(outer) => depth = outer,
                    None => is_odd = true,
                },
                _ => {}
            }
            character == ',' && depth == 0
        })
        .collect();
    (depth == 0 && !is_odd).then_some(arguments)
}

/// What `name` stands for.
pub(super) fn algorithm(name: &Name<'_>) -> Option<Algorithm> {
    let arguments = name.arguments.as_slice();
    match (name.word, arguments) {
        // These only run what they are given elsewhere.
        ("cryptd" | "pcrypt" | "cts", [inner]) => algorithm(inner),
        ("essiv", [inner, _digest]) => Some(Algorithm { is_essiv: true, ..algorithm(inner)? }),
        ("authenc", [checksum, inner]) => {
            let inner = algorithm(inner)?;
            let other_key_bits = inner
                .other_key_bits
                .zip(checksum_bits(checksum))
                .and_then(|(inner, checksum)| inner.checked_add(checksum));
            Some(Algorithm { authentication: Some(checksum.text()), other_key_bits, ..inner })
        }
        ("adiantum", [stream, block] | [stream, block, _]) => {
            let (stream, kind) = stream_cipher(stream)?;
            let (block, _) = cipher(block.word).filter(|(_, kind)| *kind == Kind::Block128)?;
            Some(plain(format!("{stream},{block}"), kind, Mode::Wide))
        }
        ("rfc7539", [stream, checksum]) => {
            let (stream, kind) = stream_cipher(stream)?;
            Some(Algorithm {
                authentication: Some(checksum.text()),
                ..plain(stream.to_owned(), kind, Mode::Aead)
            })
        }
        // A salt of this size follows the key.
        ("rfc4106", [inner]) => salted(inner, 32),
        ("rfc4309", [inner]) => salted(inner, 24),
        ("rfc4543", [inner]) => Some(Algorithm { mode: Mode::ChecksumOnly, ..salted(inner, 32)? }),
        ("xts" | "lrw", [Name { word: "ecb", arguments }]) if arguments.len() == 1 => {
            in_mode(name.word, arguments.first()?)
        }
        (mode, [inner]) => in_mode(mode, inner),
        (word, []) => leaf(word),
        (_, _) => None,
    }
}

fn plain(cipher: String, kind: Kind, mode: Mode) -> Algorithm {
    let authentication = (mode == Mode::Aead).then(|| "aead".to_owned());
    Algorithm { cipher, kind, mode, authentication, is_essiv: false, other_key_bits: Some(0) }
}

fn mode(word: &str) -> Option<Mode> {
    Some(match word {
        "ecb" => Mode::Ecb,
        "cbc" | "pcbc" => Mode::Cbc,
        "lrw" => Mode::Lrw,
        "xts" => Mode::Xts,
        "hctr2" => Mode::Wide,
        "ctr" | "xctr" | "ofb" | "cfb" => Mode::Stream,
        "gcm" | "ccm" => Mode::Aead,
        _ => return None,
    })
}

fn in_mode(word: &str, inner: &Name<'_>) -> Option<Algorithm> {
    let mode = mode(word)?;
    if !inner.arguments.is_empty() {
        return None;
    }
    // The generic XTS and LRW stand on a driver for ECB.
    let within = inner.word.strip_prefix("ecb-").filter(|_| matches!(mode, Mode::Xts | Mode::Lrw));
    let (cipher, kind) = cipher(within.unwrap_or(inner.word))?;
    if kind == Kind::Stream {
        return None;
    }
    Some(plain(cipher.to_owned(), kind, mode))
}

fn salted(inner: &Name<'_>, salt_bits: u32) -> Option<Algorithm> {
    let inner = algorithm(inner).filter(|inner| inner.mode == Mode::Aead)?;
    Some(Algorithm { other_key_bits: Some(salt_bits), ..inner })
}

/// A cipher by its name or that of a driver, such as `aes-generic`.
fn cipher(word: &str) -> Option<(&'static str, Kind)> {
    let mut parts = word.split('-');
    let name = parts.next()?;
    let found = CIPHERS.iter().copied().find(|(known, _)| *known == name)?;
    parts.all(|part| IMPLEMENTATIONS.contains(&part)).then_some(found)
}

fn stream_cipher(name: &Name<'_>) -> Option<(&'static str, Kind)> {
    cipher(name.word).filter(|(_, kind)| *kind == Kind::Stream && name.arguments.is_empty())
}

/// A stream cipher, AEGIS, or a driver such as `xts-aes-aesni`.
fn leaf(word: &str) -> Option<Algorithm> {
    let word = word.trim_start_matches("__");
    let aegis = word.split('-').next().filter(|name| *name == "aegis128");
    if let Some(name) = aegis {
        let is_known = word.split('-').skip(1).all(|part| IMPLEMENTATIONS.contains(&part));
        return is_known.then(|| plain(name.to_owned(), Kind::Block128, Mode::Aead));
    }
    if let Some((first, rest)) = word.split_once('-')
        && let Some(mode) = mode(first)
    {
        let (cipher, kind) = cipher(rest)?;
        return Some(plain(cipher.to_owned(), kind, mode));
    }
    // A block cipher by itself is none for sectors.
    let (cipher, kind) = cipher(word)?;
    matches!(kind, Kind::Stream | Kind::BrokenStream | Kind::Null)
        .then(|| plain(cipher.to_owned(), kind, Mode::Stream))
}

/// The size of the key of a checksum, which for dm-crypt is that of its digest.
fn checksum_bits(checksum: &Name<'_>) -> Option<u32> {
    match (checksum.word, checksum.arguments.as_slice()) {
        ("hmac", [digest]) if digest.arguments.is_empty() => {
            DIGESTS.iter().find_map(|(name, bits)| {
                let rest = digest.word.strip_prefix(name)?;
                let mut parts = rest.split('-');
                let is_known =
                    parts.next() == Some("") && parts.all(|part| IMPLEMENTATIONS.contains(&part));
                is_known.then_some(*bits)
            })
        }
        ("cmac" | "xcbc", [inner]) if cipher(inner.word)?.1 == Kind::Block128 => Some(128),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_taken_apart_and_put_together_again() {
        for text in ["aes", "xts(aes)", "authenc(hmac(sha256),xts(aes))", "a(b,c(d,e),f)"] {
            assert_eq!(Name::parse(text).unwrap().text(), text);
        }
        for text in
            ["", "xts(", "xts()", "xts(aes))", "xts(a)(b)", "x)(", "xts(aes)x", "Aes", "a b"]
        {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_checksum_takes_a_key_of_its_own() {
        let bits = |text| checksum_bits(&Name::parse(text).unwrap());
        assert_eq!(bits("hmac(sha256)"), Some(256));
        assert_eq!(bits("hmac(sha256-avx2)"), Some(256));
        assert_eq!(bits("hmac(sha3-512)"), Some(512));
        assert_eq!(bits("cmac(aes)"), Some(128));
        assert_eq!(bits("hmac(sha2560)"), None);
        assert_eq!(bits("poly1305"), None);
    }

    #[test]
    fn the_lists_are_sorted() {
        assert!(CIPHERS.is_sorted_by_key(|(name, _)| name));
        assert!(IMPLEMENTATIONS.is_sorted());
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(text in "[a-z(),_-]{0,60}") {
            if let Some(name) = Name::parse(&text) {
                prop_assert_eq!(name.text(), text);
            }
        }
    }
}
