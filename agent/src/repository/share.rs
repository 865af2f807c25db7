//! Names for repositories that agents of one cluster have in common, so that one of them can look for all.

use sha2::{Digest as _, Sha256};

use super::{Observation, Source};
use crate::duties::Key;

/// The name under which agents of other hosts know this repository; `None` where it is this host's own affair.
///
/// Only what a cluster itself tells of is common to its nodes. With where it lies and what it is asked with: who asks
/// another place, or with other credentials, may be told something else.
pub fn key(one: &Observation, cluster_uuid: Option<&str>) -> Option<Key> {
    let uuid = cluster_uuid?;
    // What processes of this host tell differently is judged apart, here.
    let is_common = one.registered.source == Source::Api && one.asset == one.registered.asset();
    if !is_common || !one.backend.is_remote() {
        return None;
    }
    let backend = format!("{:?}", one.backend);
    let mut hash = Sha256::new();
    for part in ["atrest repository", uuid, &one.registered.name, &one.registered.kind, &backend] {
        hash.update(part);
        // No two lists of parts are one text.
        hash.update([0]);
    }
    Some(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::kind::{self, Surroundings, fixture::registered};

    fn observation(kind: &str, settings: &[(&str, &str)]) -> Observation {
        let mut registered = registered(kind, settings);
        registered.source = Source::Api;
        let backend = kind::backend(&registered, &Surroundings::default());
        Observation { asset: registered.asset(), registered, backend, looked: None }
    }

    #[test]
    fn what_is_common_has_one_name_and_what_differs_another() {
        let bucket = observation("s3", &[("bucket", "b")]);
        let name = key(&bucket, Some("uuid-1"));
        assert!(name.is_some());
        assert_eq!(key(&observation("s3", &[("bucket", "b")]), Some("uuid-1")), name);
        assert_ne!(key(&bucket, Some("uuid-2")), name);
        assert_ne!(key(&observation("s3", &[("bucket", "c")]), Some("uuid-1")), name);
    }

    #[test]
    fn what_only_this_host_knows_is_not_shared() {
        let bucket = observation("s3", &[("bucket", "b")]);
        assert_eq!(key(&bucket, None), None, "of a cluster without a name of its own");
        assert_eq!(key(&observation("fs", &[("location", "/mnt")]), Some("uuid-1")), None);
        let mut declared = bucket.clone();
        declared.registered.source = Source::Declared;
        assert_eq!(key(&declared, Some("uuid-1")), None);
        let told_apart = Observation { asset: format!("{}@es-2:api", bucket.asset), ..bucket };
        assert_eq!(key(&told_apart, Some("uuid-1")), None);
    }
}
