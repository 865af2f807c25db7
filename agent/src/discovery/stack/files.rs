//! What is there, in the eyes of an instance.

use atrest_proto::model::{Gap, Reason};

use crate::discovery::instance::AS_ROOT;
use crate::discovery::process::gap;
use crate::host::{FileKind, Host};
use crate::path::HostPath;
use crate::snapshot::Namespace;

pub(in crate::discovery) fn is_directory(
    host: &dyn Host,
    seen_by: &Namespace,
    path: &HostPath,
) -> bool {
    host.metadata(seen_by, path, true).is_ok_and(|found| found.kind == FileKind::Directory)
}

pub(in crate::discovery) fn exists(host: &dyn Host, seen_by: &Namespace, path: &HostPath) -> bool {
    host.metadata(seen_by, path, true).is_ok()
}

/// Whether it is there, or cannot be said not to be.
pub(in crate::discovery) fn may_exist(
    host: &dyn Host,
    seen_by: &Namespace,
    path: &HostPath,
) -> bool {
    match host.metadata(seen_by, path, true) {
        Ok(_) => true,
        Err(trouble) => trouble.reason != Reason::NotFound,
    }
}

/// Whether something that would start with this configuration directory is installed. What cannot be reached is a gap, and may
/// be one.
pub(in crate::discovery) fn may_be_configured(
    host: &dyn Host,
    seen_by: &Namespace,
    directory: &HostPath,
    gaps: &mut Vec<Gap>,
) -> bool {
    match host.metadata(seen_by, directory, true) {
        Ok(found) => found.kind == FileKind::Directory,
        Err(trouble) if trouble.reason == Reason::NotFound => false,
        Err(trouble) => {
            gaps.push(gap(&directory.to_string(), &trouble, AS_ROOT));
            true
        }
    }
}
