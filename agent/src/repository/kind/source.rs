//! `source`: keeps less in the repository that it delegates to, with that one's settings beside its own.

use super::{Backend, Kind, Surroundings, lacks, of_kind};
use crate::repository::Registered;

pub(super) const KIND: Kind =
    Kind { name: "source", settings: &["delegate_type"], own: &[], backend };

fn backend(registered: &Registered, surroundings: &Surroundings<'_>) -> Backend {
    match registered.setting("delegate_type") {
        // The product refuses a delegate that delegates.
        Some("source") => super::opaque("", "a delegate of a delegate is not known"),
        Some(kind) => of_kind(kind, registered, surroundings),
        None => lacks("delegate_type"),
    }
}
