//! `encrypted`: the plugin of Aiven for OpenSearch, which encrypts before it hands over to another type.
//!
//! Elasticsearch never released a type of this name.

use super::{Backend, Kind, Surroundings, lacks, of_kind};
use crate::repository::Registered;

pub(super) const KIND: Kind =
    Kind { name: "encrypted", settings: &["storage_type"], own: &[], backend };

fn backend(registered: &Registered, surroundings: &Surroundings<'_>) -> Backend {
    match registered.setting("storage_type") {
        Some(kind @ ("azure" | "fs" | "gcs" | "s3")) => of_kind(kind, registered, surroundings),
        Some(_) => super::opaque("", "its storage_type is not known"),
        None => lacks("storage_type"),
    }
}
