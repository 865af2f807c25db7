//! Looks at one keystore file: who can read it, who can replace it, what it says without being opened.

use atrest_proto::model::Reason;

use super::{Account, FORMATS, Observation, ParentDirectory, acl};
use crate::accounts::Accounts;
use crate::host::{FileKind, Host, Metadata};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Observed, Resolved, Trouble};

/// Where a keystore is expected, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub path: HostPath,
    pub namespace: Namespace,
    /// `elasticsearch`, `opensearch`, …
    pub product: String,
    pub service: Option<String>,
    /// The account that the service runs as, when known.
    pub run_as: Option<Account>,
}

/// Looks at the keystore at `place`. What cannot be seen is in the observation as such.
pub fn observe(host: &dyn Host, place: &Place) -> Observation {
    let mut troubles = Vec::new();
    let seen_by = &place.namespace;
    let accounts = Accounts::read(host, seen_by).unwrap_or_else(|trouble| {
        troubles.push(trouble);
        Accounts::default()
    });
    let file = metadata(host, seen_by, &place.path);
    let is_symlink = host
        .metadata(seen_by, &place.path, false)
        .is_ok_and(|metadata| metadata.kind == FileKind::Symlink);
    let known = file.known();
    let owner = known.map(|file| accounts.user(file.uid)).unwrap_or_default();
    let group = known.map(|file| accounts.group(file.gid)).unwrap_or_default();
    let is_there = known.is_some();
    let resolved = if is_there { resolve(host, place, &mut troubles) } else { None };
    let real =
        resolved.as_ref().map_or_else(|| place.path.normalised(), |resolved| resolved.path.clone());
    Observation {
        path: place.path.clone(),
        namespace: seen_by.clone(),
        product: place.product.clone(),
        service: place.service.clone(),
        run_as: place.run_as.clone(),
        is_symlink,
        owner,
        group,
        acl: if is_there { acl(host, place, &accounts, &mut troubles) } else { Vec::new() },
        parents: if is_there { parents(host, place, &real, &mut troubles) } else { Vec::new() },
        contents: contents(host, place, &file),
        resolved,
        file,
        troubles,
    }
}

fn metadata(host: &dyn Host, seen_by: &Namespace, path: &HostPath) -> Observed<Metadata> {
    match host.metadata(seen_by, path, true) {
        Ok(metadata) => Observed::Known(metadata),
        Err(trouble) if trouble.reason == Reason::NotFound => Observed::Absent,
        Err(trouble) => Observed::Unreadable(trouble),
    }
}

fn contents(
    host: &dyn Host,
    place: &Place,
    file: &Observed<Metadata>,
) -> Observed<super::Contents> {
    let metadata = match file {
        Observed::Known(metadata) => metadata,
        Observed::Absent => return Observed::Absent,
        Observed::Unreadable(trouble) => return Observed::Unreadable(trouble.clone()),
    };
    let unreadable = |detail: String| {
        Observed::Unreadable(Trouble::new(Reason::Unreadable, format!("{}: {detail}", place.path)))
    };
    if metadata.kind != FileKind::File {
        return unreadable("not a regular file".to_owned());
    }
    let Some(format) = FORMATS.iter().find(|format| format.product == place.product) else {
        return unreadable(format!("the format of {} is not known", place.product));
    };
    match host.read(&place.namespace, &place.path, format.limit) {
        Ok(bytes) => match (format.parse)(&bytes) {
            Ok(contents) => Observed::Known(contents),
            Err(why) => unreadable(why),
        },
        Err(trouble) if trouble.reason == Reason::NotFound => Observed::Absent,
        Err(trouble) => Observed::Unreadable(trouble),
    }
}

fn acl(
    host: &dyn Host,
    place: &Place,
    accounts: &Accounts,
    troubles: &mut Vec<Trouble>,
) -> Vec<String> {
    let attribute = match host.attribute(&place.namespace, &place.path, acl::ATTRIBUTE) {
        Ok(Some(attribute)) => attribute,
        Ok(None) => return Vec::new(),
        Err(trouble) => {
            troubles.push(trouble);
            return Vec::new();
        }
    };
    match acl::parse(&attribute) {
        Ok(entries) => entries.into_iter().map(|entry| acl::describe(entry, accounts)).collect(),
        Err(error) => {
            troubles.push(Trouble::new(Reason::Unreadable, format!("{}: {error}", place.path)));
            Vec::new()
        }
    }
}

fn resolve(host: &dyn Host, place: &Place, troubles: &mut Vec<Trouble>) -> Option<Resolved> {
    match host.resolve(&place.namespace, &place.path).at {
        Observed::Known(resolved) => Some(resolved),
        Observed::Absent => None,
        Observed::Unreadable(trouble) => {
            troubles.push(trouble);
            None
        }
    }
}

/// The directories above the `real` file, and above the name that leads to it: who may write to one of them
/// replaces the keystore.
fn parents(
    host: &dyn Host,
    place: &Place,
    real: &HostPath,
    troubles: &mut Vec<Trouble>,
) -> Vec<ParentDirectory> {
    let mut parents: Vec<ParentDirectory> = Vec::new();
    for start in [real.clone(), place.path.normalised()] {
        let mut next = start.parent();
        while let Some(path) = next {
            next = path.parent();
            if parents.iter().any(|known| known.path == path) {
                continue;
            }
            match host.metadata(&place.namespace, &path, true) {
                Ok(metadata) => parents.push(ParentDirectory { path, metadata }),
                Err(trouble) => troubles.push(trouble),
            }
        }
    }
    parents
}
