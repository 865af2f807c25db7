//! Remote-backed storage of OpenSearch: segments, translogs and the state of the cluster go to repositories that attributes of
//! the node declare, `node.attr.remote_store.…` in its settings.

use std::collections::BTreeMap;

use super::registered::{client_side, kept};
use super::{Registered, Source};
use crate::snapshot::Namespace;

/// `RemoteStoreNodeAttribute` of OpenSearch.
const PREFIX: &str = "node.attr.remote_store.repository.";
/// More than this are not read.
const MOST: usize = 100;

/// Whether an attribute, without `node.attr.remote_store.`, says where a repository lies and who encrypts it.
pub fn is_about(attribute: &str) -> bool {
    let mut parts = attribute.splitn(3, '.');
    if parts.next() != Some("repository") || parts.next().is_none() {
        return false;
    }
    let setting = parts.next().unwrap_or_default();
    match (setting.strip_prefix("settings."), setting.strip_prefix("crypto_metadata.")) {
        (Some(setting), _) => super::kind::is_known_setting(setting),
        (None, Some(crypto)) => {
            crypto == "key_provider_type" || crypto.rsplit('.').next() == Some("key_arn")
        }
        (None, None) => setting == "type",
    }
}

/// The repositories that a node's settings declare. Whose they are, the caller fills in.
pub fn declared(settings: &BTreeMap<String, String>) -> Vec<Registered> {
    let mut by_name: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for (key, value) in settings {
        let rest = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.'));
        if let Some((name, setting)) = rest {
            by_name.entry(name).or_default().insert(setting.to_owned(), value.clone());
        }
    }
    by_name.into_iter().take(MOST).filter_map(|(name, found)| registered(name, &found)).collect()
}

fn registered(name: &str, found: &BTreeMap<String, String>) -> Option<Registered> {
    let below = |prefix: &str| -> BTreeMap<String, String> {
        let own = |(key, value): (&String, &String)| {
            Some((key.strip_prefix(prefix)?.to_owned(), value.clone()))
        };
        found.iter().filter_map(own).collect()
    };
    let crypto = below("crypto_metadata.");
    let provider = crypto.get("key_provider_type").cloned();
    Some(Registered {
        name: name.to_owned(),
        kind: found.get("type")?.clone(),
        settings: kept(below("settings.")),
        client_side: (!crypto.is_empty()).then(|| client_side(provider, &crypto)),
        service: None,
        product: None,
        cluster: None,
        source: Source::Config,
        namespace: Namespace::Host,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_declare_repositories() {
        let prefix = "node.attr.remote_store";
        let settings: BTreeMap<String, String> = [
            ("segment.repository", "seg"),
            ("repository.seg.type", "s3"),
            ("repository.seg.settings.bucket", "b"),
            ("repository.seg.settings.secret_key", "hunter2"),
            ("repository.seg.crypto_metadata.key_provider_type", "aws-kms"),
            ("repository.seg.crypto_metadata.settings.key_arn", "arn:k"),
            ("repository.log.type", "fs"),
            ("repository.log.settings.location", "/mnt/log"),
            ("repository.typeless.settings.location", "/mnt/none"),
        ]
        .into_iter()
        .map(|(key, value)| (format!("{prefix}.{key}"), value.to_owned()))
        .collect();
        let found = declared(&settings);
        assert_eq!(found.len(), 2);
        let names: Vec<_> = found.iter().map(|found| (found.name.as_str(), &*found.kind)).collect();
        assert_eq!(names, [("log", "fs"), ("seg", "s3")]);
        let segments = found.last().unwrap();
        assert_eq!(segments.client_side.as_ref().unwrap().key.as_deref(), Some("arn:k"));
        assert!(!format!("{found:?}").contains("hunter2"));
    }
}
