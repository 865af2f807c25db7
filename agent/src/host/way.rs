//! The way that a lookup of a path takes: every directory that it goes through, those of symbolic links as well.

use std::collections::VecDeque;

use atrest_proto::model::Reason;

use super::{FileKind, Host};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// As the kernel's `MAXSYMLINKS`, in `include/linux/namei.h`.
const MAX_LINKS: usize = 40;

/// `PATH_MAX` has room for as many components.
const MAX_STEPS: usize = 2048;

/// A name that is looked up in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Without symbolic links.
    pub directory: HostPath,
    /// The directory's path with the name; a link is not followed.
    pub entry: HostPath,
}

/// How a lookup goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// In order; where the lookup fails, the last one is where.
    pub steps: Vec<Step>,
    /// Why it leads nowhere.
    pub trouble: Option<Trouble>,
}

/// Follows `path` as a process in `seen_by` would.
pub fn walk(host: &dyn Host, seen_by: &Namespace, path: &HostPath) -> Way {
    let mut todo: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
    let (mut at, mut steps, mut links) = (HostPath::root(), Vec::new(), 0);
    let mut trouble = None;
    while let Some(part) = todo.pop_front() {
        if part == b".." {
            at = at.parent().unwrap_or_else(HostPath::root);
            continue;
        }
        let next = at.join(&part);
        steps.push(Step { directory: at.clone(), entry: next.clone() });
        let is_link = match host.metadata(seen_by, &next, false) {
            Ok(metadata) => metadata.kind == FileKind::Symlink,
            Err(failed) => {
                trouble = Some(failed);
                break;
            }
        };
        if !is_link {
            at = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS || steps.len() > MAX_STEPS {
            let detail = format!("{path}: more than {MAX_LINKS} symbolic links");
            trouble = Some(Trouble::new(Reason::Unreadable, detail));
            break;
        }
        match host.read_link(seen_by, &next) {
            Ok(target) => {
                if target.is_absolute() {
                    at = HostPath::root();
                }
                for part in target.components().rev() {
                    todo.push_front(part.to_vec());
                }
            }
            Err(failed) => {
                trouble = Some(failed);
                break;
            }
        }
    }
    Way { steps, trouble }
}
