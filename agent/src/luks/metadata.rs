//! From the JSON metadata of LUKS2 to the facts of a [`Header`]. Salts, digests and areas are not read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::pins::{RawPins, pins};
use super::{Error, Header, Kdf, Keyslot, Segment, Token, clean};

/// The metadata object. Everything that is not named here is left where it is: salts, digests, wrapped keys.
#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    keyslots: BTreeMap<String, RawKeyslot>,
    #[serde(default)]
    tokens: BTreeMap<String, RawToken>,
    #[serde(default)]
    segments: BTreeMap<String, RawSegment>,
    #[serde(default)]
    digests: BTreeMap<String, RawDigest>,
    #[serde(default)]
    config: RawConfig,
}

#[derive(Deserialize)]
struct RawKeyslot {
    #[serde(rename = "type")]
    kind: String,
    key_size: Option<u32>,
    kdf: Option<RawKdf>,
}

#[derive(Deserialize)]
struct RawKdf {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    hash: String,
    #[serde(default)]
    iterations: u32,
    #[serde(default)]
    time: u32,
    #[serde(default)]
    memory: u32,
    #[serde(default)]
    cpus: u32,
}

#[derive(Deserialize)]
struct RawToken {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    keyslots: Vec<String>,
    #[serde(flatten)]
    pins: RawPins,
}

#[derive(Deserialize)]
struct RawSegment {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    encryption: String,
    #[serde(default)]
    flags: Vec<String>,
}

#[derive(Deserialize)]
struct RawDigest {
    #[serde(default)]
    keyslots: Vec<String>,
    #[serde(default)]
    segments: Vec<String>,
}

#[derive(Default, Deserialize)]
struct RawConfig {
    #[serde(default)]
    requirements: RawRequirements,
}

#[derive(Default, Deserialize)]
struct RawRequirements {
    #[serde(default)]
    mandatory: Vec<String>,
}

/// The facts in a LUKS2 metadata object. Names that stand outside of it (UUID, label) stay empty.
pub fn from_luks2(metadata: Value) -> Result<Header, Error> {
    let metadata: Metadata = serde_json::from_value(metadata).map_err(Error::Metadata)?;
    let mut keyslots = Vec::new();
    for (number, raw) in &metadata.keyslots {
        // What re-encryption keeps its state in holds no key, so it is bound to nothing by design.
        let bound = raw.kind != "luks2"
            || metadata
                .digests
                .values()
                .any(|digest| !digest.segments.is_empty() && digest.keyslots.contains(number));
        keyslots.push(Keyslot {
            number: index(number)?,
            unbound: !bound,
            kind: clean(&raw.kind),
            key_bits: raw.key_size.and_then(|bytes| bytes.checked_mul(8)),
            kdf: raw.kdf.as_ref().map(kdf),
        });
    }
    let mut tokens = Vec::new();
    for (number, raw) in &metadata.tokens {
        let mut opens =
            raw.keyslots.iter().map(|slot| index(slot)).collect::<Result<Vec<_>, _>>()?;
        opens.sort_unstable();
        tokens.push(Token {
            number: index(number)?,
            kind: clean(&raw.kind),
            keyslots: opens,
            pins: pins(&raw.kind, &raw.pins),
        });
    }
    let mut segments = Vec::new();
    for (number, raw) in &metadata.segments {
        segments.push(Segment {
            number: index(number)?,
            kind: clean(&raw.kind),
            cipher: clean(&raw.encryption),
            flags: raw.flags.iter().map(|flag| clean(flag)).collect(),
        });
    }
    // The keys are texts: "10" sorts before "2".
    keyslots.sort_by_key(|slot| slot.number);
    tokens.sort_by_key(|token| token.number);
    segments.sort_by_key(|segment| segment.number);

    let first = segments.iter().find(|segment| !segment.is_backup() && segment.kind != "linear");
    let cipher = first.map(|segment| segment.cipher.clone()).unwrap_or_default();
    let key_bits = first.and_then(|segment| key_bits(&metadata, &keyslots, segment.number));
    Ok(Header {
        version: 2,
        cipher,
        key_bits,
        keyslots,
        tokens,
        segments,
        requirements: metadata
            .config
            .requirements
            .mandatory
            .iter()
            .map(|word| clean(word))
            .collect(),
        ..Header::default()
    })
}

/// The size of the key that `segment` is encrypted with, from a keyslot that holds it.
fn key_bits(metadata: &Metadata, keyslots: &[Keyslot], segment: u32) -> Option<u32> {
    let segment = segment.to_string();
    let digest = metadata.digests.values().find(|digest| digest.segments.contains(&segment))?;
    keyslots
        .iter()
        .find(|slot| digest.keyslots.contains(&slot.number.to_string()))
        .and_then(|slot| slot.key_bits)
}

fn kdf(raw: &RawKdf) -> Kdf {
    match raw.kind.as_str() {
        "pbkdf2" => Kdf::Pbkdf2 { hash: clean(&raw.hash), iterations: raw.iterations },
        // Early LUKS2 wrote `argon2` for what is argon2i now.
        "argon2" | "argon2i" | "argon2id" => Kdf::Argon2 {
            variant: raw.kind.clone(),
            time: raw.time,
            memory_kib: raw.memory,
            cpus: raw.cpus,
        },
        other => Kdf::Other(clean(other)),
    }
}

fn index(text: &str) -> Result<u32, Error> {
    text.parse().map_err(|_| Error::Number(clean(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn slot() -> Value {
        json!({
            "type": "luks2", "key_size": 64,
            "af": {"type": "luks1", "stripes": 4000, "hash": "sha256"},
            "area": {"type": "raw", "offset": "32768", "size": "258048", "encryption": "aes-xts-plain64", "key_size": 64},
            "kdf": {"type": "argon2id", "time": 4, "memory": 1_048_576, "cpus": 4, "salt": "c2VjcmV0LXNhbHQ="}
        })
    }

    fn metadata(slots: &[&str], bound: &[&str]) -> Value {
        let keyslots: BTreeMap<&str, Value> =
            slots.iter().map(|number| (*number, slot())).collect();
        json!({
            "keyslots": keyslots,
            "tokens": {},
            "segments": {"0": {"type": "crypt", "offset": "16777216", "size": "dynamic", "iv_tweak": "0",
                               "encryption": "aes-xts-plain64", "sector_size": 4096}},
            "digests": {"0": {"type": "pbkdf2", "keyslots": bound, "segments": ["0"], "hash": "sha256",
                              "iterations": 1000, "salt": "c2VjcmV0LXNhbHQ=", "digest": "c2VjcmV0LWRpZ2VzdA=="}},
            "config": {"json_size": "12288", "keyslots_size": "16744448"}
        })
    }

    #[test]
    fn a_key_in_slot_5_only_is_found() {
        let header = from_luks2(metadata(&["5"], &["5"])).unwrap();
        assert_eq!(header.keyslots.iter().map(|slot| slot.number).collect::<Vec<_>>(), [5]);
        assert_eq!(header.key_bits, Some(512));
        assert_eq!(header.cipher, "aes-xts-plain64");
    }

    #[test]
    fn all_32_slots_are_listed_in_the_order_of_their_numbers() {
        let names: Vec<String> = (0..32).map(|number: u32| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let header = from_luks2(metadata(&names, &names)).unwrap();
        assert_eq!(
            header.keyslots.iter().map(|slot| slot.number).collect::<Vec<_>>(),
            (0..32).collect::<Vec<_>>()
        );
        assert!(header.keyslots.iter().all(|slot| !slot.unbound));
    }

    #[test]
    fn a_slot_that_no_digest_links_to_a_segment_is_unbound() {
        let header = from_luks2(metadata(&["0", "1"], &["0"])).unwrap();
        assert_eq!(
            header.keyslots.iter().map(|slot| slot.unbound).collect::<Vec<_>>(),
            [false, true]
        );
    }

    #[test]
    fn the_slot_of_a_re_encryption_is_not_unbound() {
        let mut metadata = metadata(&["0"], &["0"]);
        metadata["keyslots"]["2"] = json!({"type": "reencrypt", "mode": "reencrypt", "direction": "forward", "key_size": 1});
        metadata["config"]["requirements"] = json!({"mandatory": ["online-reencrypt-v2"]});
        let header = from_luks2(metadata).unwrap();
        assert!(!header.keyslots[1].unbound);
        assert_eq!(header.keyslots[1].kdf, None);
        assert_eq!(header.requirements, ["online-reencrypt-v2"]);
    }

    #[test]
    fn a_header_whose_data_segments_are_all_linear_has_no_cipher() {
        let mut metadata = metadata(&["0"], &["0"]);
        metadata["segments"] = json!({
            "0": {"type": "linear", "offset": "0", "size": "dynamic"},
            "1": {"type": "crypt", "offset": "0", "size": "dynamic", "encryption": "aes-xts-plain64",
                  "flags": ["backup-final"]}
        });
        let header = from_luks2(metadata).unwrap();
        assert_eq!(header.cipher, "");
        assert_eq!(header.segments[1].flags, ["backup-final"]);
    }

    #[test]
    fn neither_salt_nor_digest_nor_wrapped_key_comes_through() {
        let mut metadata = metadata(&["0"], &["0"]);
        metadata["tokens"] = json!({"0": {"type": "systemd-tpm2", "keyslots": ["0"], "tpm2-blob": "c2VjcmV0LWJsb2I="}});
        let header = from_luks2(metadata).unwrap();
        assert_eq!(header.tokens[0].kind, "systemd-tpm2");
        assert!(!serde_json::to_string(&header).unwrap().contains("c2VjcmV0"));
    }

    #[test]
    fn a_token_says_what_it_needs_and_an_odd_one_costs_nothing_else() {
        let mut metadata = metadata(&["0"], &["0"]);
        metadata["tokens"] = json!({
            // {"clevis":{"pin":"tpm2","tpm2":{}}}
            "0": {"type": "clevis", "keyslots": ["0"],
                  "jwe": {"protected": "eyJjbGV2aXMiOnsicGluIjoidHBtMiIsInRwbTIiOnt9fX0", "tag": "x"}},
            "1": {"type": "clevis", "keyslots": ["0"], "jwe": ["odd"]},
            "2": {"type": "systemd-tpm2", "keyslots": ["0"], "tpm2-pin": true},
        });
        let header = from_luks2(metadata).unwrap();
        let pins: Vec<_> = header.tokens.iter().map(|token| token.pins.join(";")).collect();
        assert_eq!(pins, ["tpm2", "", "tpm2 with PIN"]);
        assert!(super::super::checked(header).is_ok());
    }

    #[test]
    fn a_number_that_is_none_is_named() {
        let mut metadata = metadata(&["0"], &["0"]);
        metadata["keyslots"]["first"] = slot();
        assert_eq!(from_luks2(metadata).unwrap_err().to_string(), "`first` is not a number");
    }

    proptest! {
        #[test]
        fn no_json_panics(text in "\\PC{0,200}", key in "[a-z]{1,8}") {
            drop(from_luks2(json!({"keyslots": {&key: {"type": &text}}, "segments": {"0": &text}, &key: text})));
        }
    }
}
