//! What has to be at hand so that a token opens its keyslots: a Tang server, a TPM, so many of several.
//!
//! Clevis keeps this in the protected header of a JWE (RFC 7516), which is readable by design. Only names, thresholds
//! and hosts are taken; a header that is odd gives less and never fails.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::clean;

/// Trees of Shamir's secret sharing are one or two levels deep.
const MAX_DEPTH: usize = 4;

/// As many parts of a tree are shown.
const MAX_PARTS: usize = 16;

/// What stands for what could not be told.
const UNKNOWN: &str = "?";

/// The parts of a token that tell what it needs; none of them is secret.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct RawPins {
    #[serde(default)]
    jwe: Value,
    #[serde(default, rename = "tpm2-pin")]
    tpm2_pin: Value,
    #[serde(default, rename = "fido2-clientPin-required")]
    fido2_pin: Value,
}

/// What a token of this type needs, such as `sss(t=1: tang http://tang1, tpm2)`. Empty when that is not known.
pub(super) fn pins(kind: &str, raw: &RawPins) -> Vec<String> {
    let found = match kind {
        "clevis" => clevis(&raw.jwe),
        // See systemd's `cryptsetup-token-systemd-tpm2.c`: a PIN is asked for only when this is true.
        "systemd-tpm2" => match (raw.tpm2_pin.as_bool(), raw.tpm2_pin.is_null()) {
            (Some(true), _) => Some("tpm2 with PIN".to_owned()),
            (Some(false), _) | (None, true) => Some("tpm2 without PIN".to_owned()),
            (None, false) => None,
        },
        "systemd-fido2" => raw.fido2_pin.as_bool().map(|pin| {
            if pin { "fido2 with PIN".to_owned() } else { "fido2 without PIN".to_owned() }
        }),
        _ => None,
    };
    found.iter().map(|text| clean(text)).collect()
}

fn clevis(jwe: &Value) -> Option<String> {
    // `clevis luks bind` stores the general form.
    let protected = jwe.get("protected").unwrap_or(jwe).as_str()?;
    tree(protected, 0)
}

/// A JWE in its compact form, or only the first part of that: the protected header.
fn tree(jwe: &str, depth: usize) -> Option<String> {
    if depth >= MAX_DEPTH {
        return None;
    }
    let protected = jwe.split('.').next()?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(protected).ok()?).ok()?;
    let clevis = header.get("clevis")?;
    let pin = clevis.get("pin")?.as_str()?;
    let settings = clevis.get(pin);
    Some(match pin {
        "sss" => sss(settings?, depth),
        "tang" => {
            let url = settings.and_then(|tang| tang.get("url")?.as_str());
            format!("tang {}", url.map_or_else(|| UNKNOWN.to_owned(), host))
        }
        other => name(other),
    })
}

fn sss(settings: &Value, depth: usize) -> String {
    let threshold = settings.get("t").and_then(Value::as_u64);
    let threshold = threshold.map_or_else(|| UNKNOWN.to_owned(), |threshold| threshold.to_string());
    let parts =
        settings.get("jwe").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut shown: Vec<String> = parts
        .iter()
        .take(MAX_PARTS)
        .map(|part| {
            part.as_str().and_then(|jwe| tree(jwe, depth + 1)).unwrap_or_else(|| UNKNOWN.to_owned())
        })
        .collect();
    if let Some(more) = parts.len().checked_sub(MAX_PARTS).filter(|more| *more > 0) {
        shown.push(format!("{more} more"));
    }
    format!("sss(t={threshold}: {})", shown.join(", "))
}

/// A pin's name, when it is one.
fn name(text: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !text.is_empty() && text.len() <= 32 && text.bytes().all(fits) {
        text.to_owned()
    } else {
        UNKNOWN.to_owned()
    }
}

/// The scheme, host and port of a URL, without user, password, path and query.
fn host(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let is_host = !host.is_empty() && host.len() <= 253 && host.bytes().all(fits);
    match scheme {
        _ if !is_host => UNKNOWN.to_owned(),
        "http" | "https" => format!("{scheme}://{host}"),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn protected(clevis: &Value) -> String {
        let header = json!({"alg": "ECDH-ES", "enc": "A256GCM", "epk": {"kty": "EC", "x": "SECRET"}, "clevis": clevis});
        URL_SAFE_NO_PAD.encode(header.to_string())
    }

    fn compact(clevis: &Value) -> String {
        format!("{}..iv.ciphertext.tag", protected(clevis))
    }

    fn tang(url: &str) -> Value {
        json!({"pin": "tang", "tang": {"url": url, "adv": {"keys": [{"x": "SECRET"}]}}})
    }

    fn tpm2() -> Value {
        json!({"pin": "tpm2", "tpm2": {"hash": "sha256", "jwk_priv": "SECRET", "pcr_ids": "7"}})
    }

    fn sss(threshold: u32, parts: &[Value]) -> Value {
        let parts: Vec<String> = parts.iter().map(compact).collect();
        json!({"pin": "sss", "sss": {"t": threshold, "p": "SECRET", "jwe": parts}})
    }

    fn of(token: Value) -> Vec<String> {
        let kind = token["type"].as_str().unwrap().to_owned();
        pins(&kind, &serde_json::from_value(token).unwrap())
    }

    fn bound(clevis: &Value) -> Vec<String> {
        of(json!({"type": "clevis", "jwe": {"protected": protected(clevis), "tag": "SECRET"}}))
    }

    #[test]
    fn pins_of_clevis_are_named() {
        assert_eq!(bound(&tang("http://tang1")), ["tang http://tang1"]);
        assert_eq!(bound(&tpm2()), ["tpm2"]);
        assert_eq!(
            bound(&sss(1, &[tang("http://tang1"), tpm2()])),
            ["sss(t=1: tang http://tang1, tpm2)"]
        );
        let nested = sss(2, &[tpm2(), sss(1, &[tang("http://a:7500"), tang("https://b/x")])]);
        assert_eq!(
            bound(&nested),
            ["sss(t=2: tpm2, sss(t=1: tang http://a:7500, tang https://b))"]
        );
        assert_eq!(of(json!({"type": "clevis", "jwe": compact(&tpm2())})), ["tpm2"]);
    }

    #[test]
    fn an_odd_jwe_gives_less_and_never_fails() {
        for jwe in [
            json!(null),
            json!(7),
            json!({}),
            json!({"protected": 7}),
            json!({"protected": "!!!"}),
            json!({"protected": URL_SAFE_NO_PAD.encode("{")}),
            json!({"protected": URL_SAFE_NO_PAD.encode("{\"clevis\":{}}")}),
        ] {
            assert!(of(json!({"type": "clevis", "jwe": jwe})).is_empty(), "{jwe}");
        }
        assert_eq!(bound(&json!({"pin": "tang"})), ["tang ?"]);
        assert_eq!(bound(&json!({"pin": "a b"})), ["?"]);
        assert_eq!(bound(&json!({"pin": "sss", "sss": {"jwe": [7, "x"]}})), ["sss(t=?: ?, ?)"]);
    }

    #[test]
    fn depth_and_breadth_are_bounded() {
        let many = vec![tpm2(); 40];
        assert!(bound(&sss(1, &many))[0].len() <= 200);
        let deep = (0..10).fold(tpm2(), |inner, _| sss(1, &[inner]));
        assert!(bound(&deep)[0].contains('?'));
    }

    #[test]
    fn only_the_host_of_a_url_is_taken() {
        for (url, shown) in [
            ("http://user:SECRET@tang1:80/adv?x=SECRET#SECRET", "http://tang1:80"),
            ("tang1/SECRET", "tang1"),
            ("http://[fe80::1]:80/", "http://[fe80::1]:80"),
            ("http://", "?"),
            ("http://a b/", "?"),
            ("SECRET://tang1", "tang1"),
        ] {
            assert_eq!(bound(&tang(url)), [format!("tang {shown}")], "{url}");
        }
    }

    #[test]
    fn tokens_of_systemd_say_whether_they_want_a_pin() {
        assert_eq!(of(json!({"type": "systemd-tpm2", "tpm2-pin": true})), ["tpm2 with PIN"]);
        assert_eq!(of(json!({"type": "systemd-tpm2", "tpm2-pin": false})), ["tpm2 without PIN"]);
        assert_eq!(of(json!({"type": "systemd-tpm2"})), ["tpm2 without PIN"]);
        assert!(of(json!({"type": "systemd-tpm2", "tpm2-pin": "yes"})).is_empty());
        let fido2 = json!({"type": "systemd-fido2", "fido2-clientPin-required": true});
        assert_eq!(of(fido2), ["fido2 with PIN"]);
        assert!(of(json!({"type": "systemd-fido2"})).is_empty());
        assert!(of(json!({"type": "luks2-keyring", "key_description": "SECRET"})).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_else_of_a_jwe_comes_through(threshold in any::<u32>(), url in "\\PC{0,40}") {
            let tree = sss(threshold, &[tang(&url.replace("SECRET", "")), tpm2()]);
            let shown = bound(&tree).concat();
            prop_assert!(!shown.contains("SECRET"));
        }

        #[test]
        fn no_header_panics_and_all_is_fit_to_print(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for protected in [text, URL_SAFE_NO_PAD.encode(bytes)] {
                for pin in of(json!({"type": "clevis", "jwe": {"protected": protected}})) {
                    prop_assert_eq!(clean(&pin), pin);
                }
            }
        }

        #[test]
        fn any_name_and_url_are_fit_to_print(pin in any::<String>(), url in any::<String>()) {
            for clevis in [json!({"pin": pin}), tang(&url)] {
                for pin in bound(&clevis) {
                    prop_assert_eq!(clean(&pin), pin.clone());
                    prop_assert!(pin.is_ascii());
                }
            }
        }
    }
}
