//! What the JSON API of Cloud Storage answers, and Google's token service. Pure.
//!
//! Shapes are those of the resources "Buckets" and "Objects" and of "Objects: list", Cloud Storage JSON API v1.

use jiff::Timestamp;
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::object_store::store::Page;
use crate::repository::facts::{Seal, SealKey};
use crate::repository::sample::Listed;
use crate::snapshot::Observed;

/// Why an answer is of no use. Never quotes it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Error {
    #[error("not the JSON that Cloud Storage answers with: line {line}, column {column}")]
    Shape { line: usize, column: usize },
    #[error("an answer of another kind than {expected}")]
    Kind { expected: &'static str },
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Shape { line: error.line(), column: error.column() }
    }
}

#[derive(Deserialize)]
struct Bucket {
    kind: String,
    encryption: Option<Encryption>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Encryption {
    default_kms_key_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Objects {
    kind: String,
    #[serde(default)]
    items: Vec<Object>,
    #[serde(default)]
    prefixes: Vec<String>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    name: String,
    time_created: Option<String>,
    kms_key_name: Option<String>,
    customer_encryption: Option<CustomerEncryption>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomerEncryption {
    encryption_algorithm: Option<String>,
}

/// The fields that [`bucket`] reads, for the query.
pub(super) const BUCKET_FIELDS: &str = "kind,encryption";
/// The fields that [`page`] reads.
pub(super) const PAGE_FIELDS: &str =
    "kind,nextPageToken,prefixes,items(name,timeCreated,kmsKeyName,customerEncryption)";

/// What new objects of a bucket get. Silence is Google's own key where it is Google who is silent.
pub(crate) fn bucket(body: &[u8], is_googles: bool) -> Result<Observed<Seal>, Error> {
    let bucket: Bucket = serde_json::from_slice(body)?;
    if bucket.kind != "storage#bucket" {
        return Err(Error::Kind { expected: "storage#bucket" });
    }
    let key = bucket.encryption.and_then(|encryption| encryption.default_kms_key_name);
    Ok(seal(key, None, is_googles))
}

/// A page of a listing, with what it says of each object.
pub(crate) fn page(body: &[u8], is_googles: bool) -> Result<Page, Error> {
    let objects: Objects = serde_json::from_slice(body)?;
    if objects.kind != "storage#objects" {
        return Err(Error::Kind { expected: "storage#objects" });
    }
    let listed = |object: Object| Listed {
        written_at: object.time_created.and_then(|at| at.parse::<Timestamp>().ok()),
        seal: Some(seal(object.kms_key_name, object.customer_encryption, is_googles)),
        name: object.name,
    };
    Ok(Page {
        objects: objects.items.into_iter().map(listed).collect(),
        directories: objects.prefixes,
        next: objects.next_page_token.filter(|token| !token.is_empty()),
        cut: None,
    })
}

/// "Data encryption options" of Cloud Storage: with the client's key, with one of Cloud KMS, which is always a customer's, or
/// with Google's own.
fn seal(
    key: Option<String>,
    customer: Option<CustomerEncryption>,
    is_googles: bool,
) -> Observed<Seal> {
    const ALGORITHM: &str = "AES256";
    if let Some(customer) = customer {
        let algorithm = customer.encryption_algorithm.unwrap_or_else(|| ALGORITHM.to_owned());
        return Observed::Known(Seal { algorithm, key: SealKey::Supplied });
    }
    match key.filter(|key| !key.is_empty()) {
        Some(key) => {
            // Versions come and go with rotation: the key is one.
            let name = key.split("/cryptoKeyVersions/").next().unwrap_or_default().to_owned();
            let algorithm = "Cloud KMS".to_owned();
            Observed::Known(Seal { algorithm, key: SealKey::Customer(name) })
        }
        None if is_googles => {
            Observed::Known(Seal { algorithm: ALGORITHM.to_owned(), key: SealKey::Provider })
        }
        None => Observed::Absent,
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: Detail,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Detail {
    /// Of the token service: a code of RFC 6749, 5.2.
    Code(String),
    Api {
        message: String,
    },
}

/// Why something is refused.
pub(crate) fn says(body: &[u8]) -> Option<String> {
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    match refusal.error {
        Detail::Code(text) | Detail::Api { message: text } => Some(text),
    }
}

#[derive(Deserialize)]
struct Token {
    access_token: Zeroizing<String>,
}

/// The token that a token service or an instance's own service answers with.
pub(crate) fn token(body: &[u8]) -> Result<Zeroizing<String>, Error> {
    let token: Token = serde_json::from_slice(body)?;
    Ok(token.access_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "projects/p/locations/eu/keyRings/r/cryptoKeys/k";

    #[test]
    fn a_bucket_has_a_customers_key_or_googles_own() {
        let named =
            format!(r#"{{"kind":"storage#bucket","encryption":{{"defaultKmsKeyName":"{KEY}"}}}}"#);
        for is_googles in [true, false] {
            let found = bucket(named.as_bytes(), is_googles).unwrap();
            assert_eq!(
                found.known().map(|seal| &seal.key),
                Some(&SealKey::Customer(KEY.to_owned()))
            );
        }
        for silent in [
            r#"{"kind":"storage#bucket"}"#,
            r#"{"kind":"storage#bucket","encryption":null}"#,
            r#"{"kind":"storage#bucket","encryption":{}}"#,
            r#"{"kind":"storage#bucket","encryption":{"defaultKmsKeyName":""}}"#,
        ] {
            let found = bucket(silent.as_bytes(), true).unwrap();
            assert_eq!(found.known().map(|seal| &seal.key), Some(&SealKey::Provider), "{silent}");
            assert_eq!(bucket(silent.as_bytes(), false), Ok(Observed::Absent), "{silent}");
        }
    }

    #[test]
    fn a_listing_tells_of_every_object() {
        let text = format!(
            r#"{{"kind":"storage#objects","nextPageToken":"t","prefixes":["p/indices/"],"items":[
                {{"name":"p/a","timeCreated":"2020-01-02T03:04:05.678Z","kmsKeyName":"{KEY}/cryptoKeyVersions/7"}},
                {{"name":"p/b","customerEncryption":{{"encryptionAlgorithm":"AES256","keySha256":"x"}}}},
                {{"name":"p/c","timeCreated":"yesterday"}}]}}"#
        );
        let found = page(text.as_bytes(), true).unwrap();
        let keys: Vec<_> = found
            .objects
            .iter()
            .filter_map(|object| Some(&object.seal.as_ref()?.known()?.key))
            .collect();
        let customer = SealKey::Customer(KEY.to_owned());
        assert_eq!(keys, [&customer, &SealKey::Supplied, &SealKey::Provider]);
        let expected = "2020-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(found.objects[0].written_at, Some(expected));
        assert_eq!(found.objects[2].written_at, None);
        assert_eq!((found.next.as_deref(), found.directories.len()), (Some("t"), 1));
        // Of another's store silence is silence.
        let found = page(text.as_bytes(), false).unwrap();
        assert_eq!(found.objects[2].seal, Some(Observed::Absent));
        let found = page(br#"{"kind":"storage#objects"}"#, true).unwrap();
        assert_eq!(found, Page::default());
    }

    #[test]
    fn what_is_no_answer_is_no_empty_bucket() {
        for text in ["", "{}", "[]", "<html>", r#"{"kind":"storage#objects","items":[{}]}"#] {
            assert!(page(text.as_bytes(), true).is_err(), "{text}");
        }
        for text in ["", "{}", r#"{"kind":"storage#objects"}"#, r#"{"encryption":{}}"#] {
            assert!(bucket(text.as_bytes(), true).is_err(), "{text}");
        }
    }

    #[test]
    fn refusals_are_read() {
        let of = |text: &str| says(text.as_bytes());
        assert_eq!(of(r#"{"error":{"code":403,"message":"no"}}"#).as_deref(), Some("no"));
        let text = r#"{"error":"invalid_grant","error_description":"hunter2"}"#;
        assert_eq!(of(text).as_deref(), Some("invalid_grant"));
        assert_eq!(of("<html>"), None);
    }

    #[test]
    fn a_token_is_read() {
        let found = token(br#"{"access_token":"t","expires_in":3599,"token_type":"Bearer"}"#);
        assert_eq!(found.unwrap().as_str(), "t");
        assert!(token(b"{}").is_err());
    }
}
