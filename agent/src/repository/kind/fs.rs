//! `fs`: a directory that all nodes share, below one of `path.repo`.

use super::{Backend, Kind, Surroundings, lacks};
use crate::path::HostPath;
use crate::repository::Registered;

pub(super) const KIND: Kind = Kind { name: "fs", settings: &["location"], own: &[], backend };

pub(super) fn backend(registered: &Registered, surroundings: &Surroundings<'_>) -> Backend {
    let Some(location) = registered.setting("location") else { return lacks("location") };
    let location = HostPath::from(location);
    if location.is_absolute() {
        return Backend::Directory(location);
    }
    // `Environment.resolveRepoFile`: below the first of `path.repo`.
    match surroundings.roots.first() {
        Some(root) => Backend::Directory(root.join(location.as_bytes())),
        None => super::opaque(
            &location.to_string(),
            "its location is relative, and path.repo is not known",
        ),
    }
}
