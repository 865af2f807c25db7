//! What `WebHDFS` and `HttpFS` answer. Pure.
//!
//! Shapes are those of the JSON schemas of `FileStatus`, `FileStatuses`, `DirectoryListing` and `RemoteException`, "`WebHDFS`
//! REST API" of Apache Hadoop. That something lies in an encryption zone is `encBit`, which is left out where it is false
//! (`JsonUtil.toJsonMap`); whose the zone's key is, nothing says.

use jiff::Timestamp;
use serde::Deserialize;
use thiserror::Error;

use crate::repository::facts::{Seal, SealKey};
use crate::snapshot::Observed;

/// Why an answer is of no use. Never quotes it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Error {
    #[error("not the JSON that WebHDFS answers with: line {line}, column {column}")]
    Shape { line: usize, column: usize },
    #[error("a listing with a name that is none")]
    Name,
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Shape { line: error.line(), column: error.column() }
    }
}

/// A file or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// Empty for what was asked about itself.
    pub(crate) name: String,
    pub(crate) is_directory: bool,
    pub(crate) written_at: Option<Timestamp>,
    /// `Absent`: it lies in no encryption zone.
    pub(crate) seal: Observed<Seal>,
}

/// Entries of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entries {
    pub(crate) entries: Vec<Status>,
    /// There are more of them.
    pub(crate) is_cut: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    path_suffix: String,
    #[serde(rename = "type")]
    kind: Kind,
    /// Milliseconds since the epoch.
    #[serde(default)]
    modification_time: i64,
    #[serde(default)]
    enc_bit: bool,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    File,
    Directory,
    Symlink,
}

impl From<Raw> for Status {
    fn from(raw: Raw) -> Self {
        let seal = || Seal { algorithm: "encryption zone".to_owned(), key: SealKey::Unknown };
        Self {
            name: raw.path_suffix,
            is_directory: raw.kind == Kind::Directory,
            written_at: Timestamp::from_millisecond(raw.modification_time).ok(),
            seal: if raw.enc_bit { Observed::Known(seal()) } else { Observed::Absent },
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct One {
    file_status: Raw,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct All {
    file_statuses: Statuses,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statuses {
    file_status: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    directory_listing: DirectoryListing,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DirectoryListing {
    partial_listing: All,
    remaining_entries: u64,
}

/// The answer to `GETFILESTATUS`.
pub(crate) fn status(body: &[u8]) -> Result<Status, Error> {
    let one: One = serde_json::from_slice(body)?;
    Ok(one.file_status.into())
}

/// The answer to `LISTSTATUS`: a directory whole.
pub(crate) fn listing(body: &[u8]) -> Result<Entries, Error> {
    let all: All = serde_json::from_slice(body)?;
    entries(all, false)
}

/// The answer to `LISTSTATUS_BATCH`: a part of a directory.
pub(crate) fn batch(body: &[u8]) -> Result<Entries, Error> {
    let Batch { directory_listing: found } = serde_json::from_slice(body)?;
    entries(found.partial_listing, found.remaining_entries > 0)
}

fn entries(all: All, is_cut: bool) -> Result<Entries, Error> {
    let entries: Vec<Status> =
        all.file_statuses.file_status.into_iter().map(Status::from).collect();
    // A file that is listed as if it were a directory has an empty one.
    let is_name = |name: &str| !["", ".", ".."].contains(&name) && !name.contains('/');
    if !entries.iter().all(|entry| is_name(&entry.name)) {
        return Err(Error::Name);
    }
    Ok(Entries { entries, is_cut })
}

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Exception {
    /// The name of its class, without the package.
    #[serde(rename = "exception")]
    pub(crate) class: String,
    #[serde(default)]
    pub(crate) message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    remote_exception: Exception,
}

/// The exception of an answer that refuses.
pub(crate) fn exception(body: &[u8]) -> Option<Exception> {
    serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.remote_exception)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"pathSuffix":"index-0","type":"FILE","modificationTime":1700000000000,"encBit":true,"length":24}"#;
    const DIRECTORY: &str = r#"{"pathSuffix":"indices","type":"DIRECTORY","permission":"755"}"#;

    #[test]
    fn a_zone_is_what_is_said_to_be_one() {
        let of = |fields: &str| {
            let text = format!(
                r#"{{"FileStatus":{{"pathSuffix":"","type":"DIRECTORY","childrenNum":1{fields}}}}}"#
            );
            status(text.as_bytes()).unwrap()
        };
        let found = of(r#","encBit":true"#);
        assert!(found.is_directory);
        assert_eq!(found.seal.known().map(|seal| &seal.key), Some(&SealKey::Unknown));
        assert_eq!(of("").seal, Observed::Absent);
        assert_eq!(of(r#","encBit":false"#).seal, Observed::Absent);
    }

    #[test]
    fn a_directory_is_listed_whole_or_in_parts() {
        let statuses = format!(r#"{{"FileStatuses":{{"FileStatus":[{FILE},{DIRECTORY}]}}}}"#);
        let whole = listing(statuses.as_bytes()).unwrap();
        assert!(!whole.is_cut && !whole.entries[0].is_directory && whole.entries[1].is_directory);
        assert_eq!(
            whole.entries[0].written_at,
            Some(Timestamp::from_second(1_700_000_000).unwrap())
        );
        assert_eq!(whole.entries[1].seal, Observed::Absent);
        for (remaining, is_cut) in [(0, false), (7, true)] {
            let text = format!(
                r#"{{"DirectoryListing":{{"partialListing":{statuses},"remainingEntries":{remaining}}}}}"#
            );
            let found = batch(text.as_bytes()).unwrap();
            assert_eq!((found.entries, found.is_cut), (whole.entries.clone(), is_cut));
        }
    }

    #[test]
    fn what_is_no_answer_is_no_empty_directory() {
        for text in ["", "{}", "[]", r#"{"FileStatuses":{}}"#, r#"{"FileStatus":{"type":"FILE"}}"#]
        {
            assert!(listing(text.as_bytes()).is_err(), "{text}");
            assert!(batch(text.as_bytes()).is_err(), "{text}");
            assert!(status(text.as_bytes()).is_err(), "{text}");
        }
        for name in ["", "..", "a/b"] {
            let text = format!(
                r#"{{"FileStatuses":{{"FileStatus":[{{"pathSuffix":"{name}","type":"FILE"}}]}}}}"#
            );
            assert_eq!(listing(text.as_bytes()), Err(Error::Name), "{name}");
        }
    }

    #[test]
    fn exceptions_have_their_class() {
        let text = r#"{"RemoteException":{"exception":"StandbyException","javaClassName":"x","message":"m"}}"#;
        let found = exception(text.as_bytes()).unwrap();
        assert_eq!((found.class.as_str(), found.message.as_str()), ("StandbyException", "m"));
        assert_eq!(exception(b"<html>"), None);
    }
}
