//! What `GET _snapshot` answers: the repositories of a cluster, with nested settings or flat ones.
//!
//! The shape is that of `GetRepositoriesResponse` and `RepositoryMetadata` of Elasticsearch and OpenSearch. Only settings that
//! say where a repository lies are kept, none that may be a secret.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::{ClientSide, Registered, Source, kind};
use crate::snapshot::Namespace;

/// A repository has a few hundred bytes.
pub const MAX_SIZE: usize = 1 << 20;
/// More than this are not read.
pub const MOST: usize = 1000;
/// Longer values are no bucket, path or address.
const LONGEST: usize = 4096;

/// Why an answer is of no use. Never quotes it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error("{size} bytes are more than the {MAX_SIZE} that an answer may have")]
    TooLarge { size: usize },
    #[error("not the JSON that a node answers with: line {line}, column {column}")]
    Shape { line: usize, column: usize },
    #[error("more than {MOST} repositories")]
    TooMany,
}

/// One entry of the answer.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    settings: Value,
    /// OpenSearch only: present where the node encrypts before it sends.
    crypto_metadata: Option<CryptoMetadata>,
}

#[derive(Deserialize)]
struct CryptoMetadata {
    key_provider_type: Option<String>,
    #[serde(default)]
    settings: Value,
}

/// Reads an answer. Whose it is, the caller fills in.
pub fn parse(bytes: &[u8]) -> Result<Vec<Registered>, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len() });
    }
    let entries: BTreeMap<String, Entry> = serde_json::from_slice(bytes)
        .map_err(|error| Error::Shape { line: error.line(), column: error.column() })?;
    if entries.len() > MOST {
        return Err(Error::TooMany);
    }
    Ok(entries.into_iter().map(|(name, entry)| registered(name, entry)).collect())
}

fn registered(name: String, entry: Entry) -> Registered {
    let client_side = entry.crypto_metadata.map(|crypto| {
        let mut settings = BTreeMap::new();
        flatten(String::new(), crypto.settings, &mut settings);
        client_side(crypto.key_provider_type, &settings)
    });
    let mut settings = BTreeMap::new();
    flatten(String::new(), entry.settings, &mut settings);
    Registered {
        name,
        kind: entry.kind,
        settings: kept(settings),
        client_side,
        service: None,
        product: None,
        cluster: None,
        source: Source::Api,
        namespace: Namespace::Host,
    }
}

/// `settings` of `crypto_metadata`; plugins name the key `key_arn`, with or without `kms.` before it.
pub(super) fn client_side(
    provider: Option<String>,
    settings: &BTreeMap<String, String>,
) -> ClientSide {
    let is_key = |name: &&String| name.rsplit('.').next() == Some("key_arn");
    ClientSide {
        provider: provider.unwrap_or_else(|| "unnamed".to_owned()),
        key: settings.keys().find(is_key).and_then(|name| settings.get(name)).cloned(),
    }
}

/// The settings that say where a repository lies, without credentials that stand in an address.
pub fn kept(settings: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let settings = settings.into_iter();
    let known =
        settings.filter(|(name, value)| kind::is_known_setting(name) && value.len() <= LONGEST);
    known.map(|(name, value)| (name, without_credentials(value))).collect()
}

/// An address without `user:password@`, and without a query, which may hold a signature.
pub fn without_credentials(value: String) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// Every spelling to dotted names. Lists say nothing of where a repository lies.
fn flatten(prefix: String, value: Value, settings: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                flatten(name, member, settings);
            }
        }
        Value::String(text) => {
            settings.insert(prefix, text);
        }
        Value::Bool(truth) => {
            settings.insert(prefix, truth.to_string());
        }
        Value::Number(number) => {
            settings.insert(prefix, number.to_string());
        }
        Value::Null | Value::Array(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Registered {
        parse(text.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn nested_and_flat_settings_are_one() {
        let nested = one(
            r#"{"r":{"type":"hdfs","uuid":"u","settings":{"uri":"hdfs://n:8020/","security":{"principal":"p"}}}}"#,
        );
        let flat = one(
            r#"{"r":{"type":"hdfs","settings":{"uri":"hdfs://n:8020/","security.principal":"p"}}}"#,
        );
        assert_eq!(nested, flat);
        assert_eq!(nested.setting("uri"), Some("hdfs://n:8020/"));
    }

    #[test]
    fn an_empty_cluster_has_none() {
        assert_eq!(parse(b"{}").unwrap(), []);
    }

    #[test]
    fn secrets_are_not_kept() {
        let found = one(
            r#"{"r":{"type":"url","settings":{"url":"https://u:hunter2@h:1/p?sig=hunter2#x","access_key":"hunter2",
                "secret_key":"hunter2","s3":{"session_token":"hunter2"}}}}"#,
        );
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        assert_eq!(found.setting("url"), Some("https://h:1/p"));
    }

    #[test]
    fn crypto_metadata_says_who_encrypts() {
        for settings in [
            r#"{"key_arn":"arn:k"}"#,
            r#"{"kms":{"key_arn":"arn:k"}}"#,
            r#"{"kms.key_arn":"arn:k"}"#,
        ] {
            let found = one(&format!(
                r#"{{"r":{{"type":"s3","crypto_metadata":{{"key_provider_name":"n","key_provider_type":"aws-kms",
                    "settings":{settings}}},"settings":{{"bucket":"b"}}}}}}"#
            ));
            let expected =
                ClientSide { provider: "aws-kms".to_owned(), key: Some("arn:k".to_owned()) };
            assert_eq!(found.client_side, Some(expected));
        }
        assert_eq!(one(r#"{"r":{"type":"s3","crypto_metadata":null}}"#).client_side, None);
    }

    #[test]
    fn what_is_no_answer_is_said_without_quoting() {
        for text in ["", "[]", r#"{"r":{}}"#, r#"{"r":{"type":7}}"#, r#"{"error":"hunter2"}"#] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, Error::Shape { .. }), "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
        assert!(matches!(parse(&vec![b' '; MAX_SIZE + 1]), Err(Error::TooLarge { .. })));
        let many: String = (0..=MOST).map(|n| format!(r#""{n}":{{"type":"fs"}},"#)).collect();
        let many = format!("{{{}}}", many.trim_end_matches(','));
        assert_eq!(parse(many.as_bytes()), Err(Error::TooMany));
    }
}
