//! What a LUKS header says, without key material: no salts, no digests, no keyslot areas.
//!
//! A header never proves that data is encrypted (the kernel's table does); it tells how well the keys are kept.

pub mod json_area;
pub mod layout;
pub mod metadata;
mod pins;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// More JSON than this is not the description of a header.
pub const MAX_JSON: usize = 256 * 1024;

/// LUKS2 has at most 32 keyslots, tokens and segments each.
const MAX_ENTRIES: usize = 32;

/// No name in a header is longer than this; longer ones are cut by [`clean`].
const MAX_TEXT: usize = 200;

/// Why a description of a header was refused.
#[derive(Debug, Error)]
pub enum Error {
    #[error("{size} bytes are more than the {MAX_JSON} that a header's description may have")]
    TooLarge { size: usize },
    #[error("not the description of a LUKS header")]
    Json(#[source] serde_json::Error),
    #[error("LUKS2 metadata without its shape")]
    Metadata(#[source] serde_json::Error),
    #[error("`{0}` is not a number")]
    Number(String),
    #[error("LUKS version {0} is not known")]
    Version(u8),
    #[error("{count} {what}, where LUKS has at most {MAX_ENTRIES}")]
    TooMany { what: &'static str, count: usize },
    #[error("a text in the header is too long or holds control characters")]
    Text,
}

/// The metadata of a LUKS1 or LUKS2 header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// 1 or 2.
    pub version: u8,
    pub uuid: String,
    pub label: String,
    pub subsystem: String,
    /// The kernel's cipher specification of the first encrypted data segment, such as `aes-xts-plain64`.
    pub cipher: String,
    /// The size of the volume key in bits.
    pub key_bits: Option<u32>,
    pub keyslots: Vec<Keyslot>,
    pub tokens: Vec<Token>,
    pub segments: Vec<Segment>,
    /// LUKS2 mandatory requirements, such as `online-reencrypt-v2` or `opal`.
    pub requirements: Vec<String>,
    /// Copies of the header on the device that are damaged while another still holds: `primary`, `secondary`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
}

/// A slot that holds a copy of a key, wrapped with a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyslot {
    pub number: u32,
    /// Bound to no data segment: it unlocks nothing here.
    pub unbound: bool,
    /// `luks2`, `reencrypt`, or `luks1`.
    pub kind: String,
    pub key_bits: Option<u32>,
    /// `None` where the slot has none, as those of re-encryption.
    pub kdf: Option<Kdf>,
}

/// How a passphrase is stretched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kdf {
    Pbkdf2 {
        hash: String,
        iterations: u32,
    },
    /// `argon2i` or `argon2id`.
    Argon2 {
        variant: String,
        /// Passes over the memory.
        time: u32,
        memory_kib: u32,
        cpus: u32,
    },
    /// One that this version does not know.
    Other(String),
}

/// A LUKS2 token: something other than a typed passphrase that opens keyslots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub number: u32,
    /// `systemd-tpm2`, `clevis`, `luks2-keyring`, …
    pub kind: String,
    /// The keyslots it opens.
    pub keyslots: Vec<u32>,
    /// What it needs, where it says so: `tpm2 with PIN`, or the tree of a Clevis policy, such as
    /// `sss(t=1: tang http://tang1, tpm2)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<String>,
}

/// A LUKS2 data segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub number: u32,
    /// `crypt`, `linear`, `hw-opal`, …
    pub kind: String,
    /// Empty for a linear segment: that part is plaintext.
    pub cipher: String,
    /// `backup-final`, `in-reencryption`, …
    pub flags: Vec<String>,
}

impl Segment {
    /// It describes what the data was or will be, not what it is.
    pub fn is_backup(&self) -> bool {
        self.flags.iter().any(|flag| flag.starts_with("backup-"))
    }
}

/// A header from its JSON description: a recording's file, or the answer of the child that reads headers.
pub fn from_json(bytes: &[u8]) -> Result<Header, Error> {
    if bytes.len() > MAX_JSON {
        return Err(Error::TooLarge { size: bytes.len() });
    }
    checked(serde_json::from_slice(bytes).map_err(Error::Json)?)
}

/// A text from a header, fit to be shown: control characters replaced, cut to a bound.
pub fn clean(text: &str) -> String {
    let shown = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    text.chars().take(MAX_TEXT).map(shown).collect()
}

/// The header again, when it is no more than a header can be and fit to be shown.
pub fn checked(header: Header) -> Result<Header, Error> {
    if !matches!(header.version, 1 | 2) {
        return Err(Error::Version(header.version));
    }
    for (what, count) in [
        ("keyslots", header.keyslots.len()),
        ("tokens", header.tokens.len()),
        ("segments", header.segments.len()),
        ("requirements", header.requirements.len()),
        ("damaged copies", header.damaged.len()),
        ("keyslots of a token", header.tokens.iter().map(|t| t.keyslots.len()).max().unwrap_or(0)),
        ("pins of a token", header.tokens.iter().map(|t| t.pins.len()).max().unwrap_or(0)),
        ("flags of a segment", header.segments.iter().map(|s| s.flags.len()).max().unwrap_or(0)),
    ] {
        if count > MAX_ENTRIES {
            return Err(Error::TooMany { what, count });
        }
    }
    if texts(&header).all(|text| clean(text) == text) { Ok(header) } else { Err(Error::Text) }
}

fn texts(header: &Header) -> impl Iterator<Item = &str> {
    let slots = header.keyslots.iter().flat_map(|slot| {
        let kdf = match &slot.kdf {
            Some(
                Kdf::Pbkdf2 { hash: text, .. }
                | Kdf::Argon2 { variant: text, .. }
                | Kdf::Other(text),
            ) => text,
            None => "",
        };
        [slot.kind.as_str(), kdf]
    });
    let segments = header.segments.iter().flat_map(|segment| {
        [&segment.kind, &segment.cipher].into_iter().chain(&segment.flags).map(String::as_str)
    });
    [&header.uuid, &header.label, &header.subsystem, &header.cipher]
        .into_iter()
        .chain(&header.requirements)
        .chain(&header.damaged)
        .chain(header.tokens.iter().map(|token| &token.kind))
        .chain(header.tokens.iter().flat_map(|token| &token.pins))
        .map(String::as_str)
        .chain(slots)
        .chain(segments)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            version: 2,
            cipher: "aes-xts-plain64".to_owned(),
            keyslots: vec![Keyslot {
                number: 5,
                unbound: false,
                kind: "luks2".to_owned(),
                key_bits: Some(512),
                kdf: Some(Kdf::Pbkdf2 { hash: "sha256".to_owned(), iterations: 1000 }),
            }],
            ..Header::default()
        }
    }

    #[test]
    fn a_description_round_trips() {
        let json = serde_json::to_vec(&header()).unwrap();
        assert_eq!(from_json(&json).unwrap(), header());
    }

    #[test]
    fn what_is_too_much_or_not_fit_to_print_is_refused() {
        let refused =
            |header: &Header| from_json(&serde_json::to_vec(header).unwrap()).unwrap_err();
        assert!(matches!(refused(&Header { version: 3, ..header() }), Error::Version(3)));
        assert!(matches!(
            refused(&Header { label: "\u{1b}[2J".to_owned(), ..header() }),
            Error::Text
        ));
        let many = vec![header().keyslots[0].clone(); 33];
        assert!(matches!(refused(&Header { keyslots: many, ..header() }), Error::TooMany { .. }));
        let token = |pins| Token { number: 0, kind: "clevis".to_owned(), keyslots: vec![5], pins };
        let loud = token(vec!["\u{7}".to_owned()]);
        assert!(matches!(refused(&Header { tokens: vec![loud], ..header() }), Error::Text));
        let many = token(vec![String::new(); 33]);
        assert!(matches!(
            refused(&Header { tokens: vec![many], ..header() }),
            Error::TooMany { .. }
        ));
        assert!(matches!(from_json(&vec![b' '; MAX_JSON + 1]), Err(Error::TooLarge { .. })));
        assert!(matches!(from_json(b"{"), Err(Error::Json(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(from_json(&bytes));
        }

        #[test]
        fn what_was_cleaned_is_accepted(label in any::<String>()) {
            let header = Header { label: clean(&label), ..header() };
            prop_assert!(from_json(&serde_json::to_vec(&header).unwrap()).is_ok());
        }
    }
}
