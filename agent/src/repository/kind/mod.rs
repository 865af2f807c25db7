//! The types of repositories, one file each: where the data of one lies.

mod azure;
mod encrypted;
mod fs;
mod gcs;
mod hdfs;
mod s3;
mod source;
mod url;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Registered;
use crate::path::HostPath;
pub use azure::Azure;
pub use gcs::Gcs;
pub use hdfs::Hdfs;
pub use s3::S3;

/// Every type that is known; what is not here is `unproven`.
const KINDS: &[Kind] = &[
    fs::KIND,
    url::KIND,
    source::KIND,
    s3::KIND,
    gcs::KIND,
    azure::KIND,
    hdfs::KIND,
    encrypted::KIND,
];

/// A type of repository.
struct Kind {
    name: &'static str,
    /// Its settings that say where it lies.
    settings: &'static [&'static str],
    /// Settings that only the agent's configuration may give: what it asks with. A cluster that could name them could have
    /// files of this host sent to an address of its choice.
    own: &'static [&'static str],
    backend: fn(&Registered, &Surroundings<'_>) -> Backend,
}

/// What the node knows beside the registration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// `path.repo`, in its order.
    pub roots: &'a [HostPath],
    /// `s3.client.…`, `azure.client.…` and `gcs.client.…` of its settings file, by their dotted names.
    pub clients: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Surroundings<'a> {
    /// A setting of the client that the repository names.
    fn client(&self, product: &str, registered: &Registered, name: &str) -> Option<&'a str> {
        let client = registered.setting("client").unwrap_or("default");
        let key = format!("{product}.client.{client}.{name}");
        self.clients?.get(&key).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Where the data of a repository lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// A directory, as the node sees it.
    Directory(HostPath),
    S3(S3),
    Gcs(Gcs),
    Azure(Azure),
    Hdfs(Hdfs),
    /// Nothing that can be asked: why.
    Opaque {
        location: String,
        why: String,
    },
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.fmt(f),
            Self::S3(s3) => s3.fmt(f),
            Self::Gcs(gcs) => gcs.fmt(f),
            Self::Azure(azure) => azure.fmt(f),
            Self::Hdfs(hdfs) => hdfs.fmt(f),
            Self::Opaque { location, .. } => f.write_str(location),
        }
    }
}

impl Backend {
    /// Whether another machine has to be asked.
    pub const fn is_remote(&self) -> bool {
        match self {
            Self::Directory(_) | Self::Opaque { .. } => false,
            Self::S3(_) | Self::Gcs(_) | Self::Azure(_) | Self::Hdfs(_) => true,
        }
    }
}

/// Where a repository lies.
pub fn backend(registered: &Registered, surroundings: &Surroundings<'_>) -> Backend {
    of_kind(&registered.kind, registered, surroundings)
}

fn of_kind(kind: &str, registered: &Registered, surroundings: &Surroundings<'_>) -> Backend {
    match KINDS.iter().find(|known| known.name == kind) {
        Some(known) => (known.backend)(registered, surroundings),
        None => opaque("", format!("repositories of type `{kind}` are not known")),
    }
}

/// Whether a setting says where some repository lies.
pub fn is_known_setting(name: &str) -> bool {
    KINDS.iter().any(|kind| kind.settings.contains(&name))
}

/// Whether a setting is one that the agent's configuration may give.
pub fn is_own_setting(name: &str) -> bool {
    KINDS.iter().any(|kind| kind.own.contains(&name))
}

/// Whether a type is known.
pub fn is_known(kind: &str) -> bool {
    KINDS.iter().any(|known| known.name == kind)
}

fn opaque(location: &str, why: impl Into<String>) -> Backend {
    Backend::Opaque { location: location.to_owned(), why: why.into() }
}

fn lacks(setting: &str) -> Backend {
    opaque("", format!("its registration names no `{setting}`"))
}

/// `base_path` as the products use it: no slash at either end.
fn base_path(registered: &Registered) -> String {
    registered.setting("base_path").unwrap_or_default().trim_matches('/').to_owned()
}

/// `scheme://bucket/base/path`.
fn show(f: &mut fmt::Formatter<'_>, scheme: &str, bucket: &str, base_path: &str) -> fmt::Result {
    let slash = if base_path.is_empty() { "" } else { "/" };
    write!(f, "{scheme}://{bucket}{slash}{base_path}")
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;
    use crate::repository::Source;
    use crate::snapshot::Namespace;

    /// A registered repository with these settings.
    pub(crate) fn registered(kind: &str, settings: &[(&str, &str)]) -> Registered {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Registered {
            name: "r".to_owned(),
            kind: kind.to_owned(),
            settings: settings.iter().map(own).collect(),
            client_side: None,
            service: Some("es".to_owned()),
            product: Some("elasticsearch".to_owned()),
            cluster: Some("prod".to_owned()),
            source: Source::Api,
            namespace: Namespace::Host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::registered;
    use super::*;

    fn location(kind: &str, settings: &[(&str, &str)]) -> String {
        let roots = ["/mnt/backup".into(), "/mnt/other".into()];
        let clients = BTreeMap::from([
            ("s3.client.default.endpoint".to_owned(), "minio:9000".to_owned()),
            ("s3.client.default.protocol".to_owned(), "http".to_owned()),
        ]);
        let surroundings = Surroundings { roots: &roots, clients: Some(&clients) };
        let found = backend(&registered(kind, settings), &surroundings);
        match &found {
            Backend::Opaque { why, .. } => format!("{found}? {why}"),
            Backend::S3(s3) => format!("{found} at {}", s3.endpoint.as_deref().unwrap_or("aws")),
            Backend::Directory(_) | Backend::Gcs(_) | Backend::Azure(_) | Backend::Hdfs(_) => {
                found.to_string()
            }
        }
    }

    #[test]
    fn every_type_says_where_it_lies() {
        for (kind, settings, expected) in [
            ("fs", &[("location", "/mnt/backup/n")][..], "/mnt/backup/n"),
            ("fs", &[("location", "n")], "/mnt/backup/n"),
            ("fs", &[], "? its registration names no `location`"),
            ("url", &[("url", "file:///mnt/x%20y/")], "/mnt/x y"),
            ("url", &[("url", "file:/mnt/x")], "/mnt/x"),
            ("url", &[("url", "jar:file:/mnt/x.zip!/r")], "/mnt/x.zip"),
            ("source", &[("delegate_type", "fs"), ("location", "/mnt/backup/s")], "/mnt/backup/s"),
            ("s3", &[("bucket", "b"), ("base_path", "/a/b/")], "s3://b/a/b at http://minio:9000"),
            ("s3", &[("bucket", "b"), ("client", "other")], "s3://b at aws"),
            ("s3", &[("bucket", "b"), ("endpoint", "https://s3.x")], "s3://b at https://s3.x"),
            ("gcs", &[("bucket", "b"), ("base_path", "p")], "gs://b/p"),
            ("azure", &[("container", "c")], "azure://c"),
            ("azure", &[], "azure://elasticsearch-snapshots"),
            ("hdfs", &[("uri", "hdfs://n:8020/"), ("path", "/es/r")], "hdfs://n:8020/es/r"),
            ("hdfs", &[("uri", "hdfs://n:8020"), ("path", "es/r/")], "hdfs://n:8020/~/es/r"),
            ("hdfs", &[("uri", "hdfs://n:8020"), ("path", "/")], "hdfs://n:8020/"),
            ("encrypted", &[("storage_type", "gcs"), ("bucket", "b")], "gs://b"),
        ] {
            assert_eq!(location(kind, settings), expected, "{kind} {settings:?}");
        }
        assert!(location("url", &[("url", "https://h/p")]).starts_with("https://h/p? "));
        assert_eq!(location("cos", &[]), "? repositories of type `cos` are not known");
        // A delegate of a delegate does not go on for ever.
        assert!(location("source", &[("delegate_type", "source")]).contains("not known"));
    }
}
