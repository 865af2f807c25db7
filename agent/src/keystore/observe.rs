//! Looks at one keystore file: who can read it, who can replace it, what it says without being opened.

use atrest_proto::model::Reason;
use zeroize::Zeroizing;

use super::access::Looker;
use super::password_source::SourceObservation;
use super::trials::Trials;
use super::{
    Account, Look, Observation, Parsed, PasswordSource, format as keystore_format, ids, leftover,
    password_source,
};
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
    /// The name of its format in [`super::FORMATS`].
    pub format: &'static str,
    pub service: Option<String>,
    /// The account that the service runs as, when known.
    /// With the ids that it has where the agent looks.
    pub run_as: Option<Account>,
    /// Root's ids in the service's user namespace, where `namespace` is outside of it.
    pub root: Observed<ids::Root>,
    /// Where the service takes the password from, as far as that was found.
    pub password_sources: Vec<PasswordSource>,
}

/// Looks at the keystore at `place`, with the trials of this look at the host. What cannot be seen is in the observation as
/// such.
pub fn observe(host: &dyn Host, place: &Place, trials: &mut Trials<'_>) -> Observation {
    let seen_by = &place.namespace;
    let mut looker = Looker::new(host, seen_by);
    if let Observed::Unreadable(trouble) = &place.root {
        looker.distrust_ids(trouble.clone());
    }
    let run_as = place.run_as.clone().and_then(|account| looker.account(account));
    let metadata = metadata(host, seen_by, &place.path);
    let is_symlink = host
        .metadata(seen_by, &place.path, false)
        .is_ok_and(|metadata| metadata.kind == FileKind::Symlink);
    let metadata = match metadata {
        // It may lie on a volume that is not mounted now.
        Observed::Absent if is_symlink => {
            let detail = format!("{}: a link that leads to nothing now", place.path);
            Observed::Unreadable(Trouble::new(Reason::NotFound, detail))
        }
        metadata @ (Observed::Known(_) | Observed::Absent | Observed::Unreadable(_)) => metadata,
    };
    let contents = contents(host, place, &metadata, trials);
    let file = match metadata {
        Observed::Known(metadata) => Observed::Known(looker.access(&place.path, metadata)),
        Observed::Absent => Observed::Absent,
        Observed::Unreadable(trouble) => Observed::Unreadable(trouble),
    };
    let is_there = file.known().is_some();
    let resolved = if is_there { resolve(host, place, &mut looker.troubles) } else { None };
    let real =
        resolved.as_ref().map_or_else(|| place.path.normalised(), |resolved| resolved.path.clone());
    let parents = if is_there { looker.way(&place.path) } else { Vec::new() };
    // A keystore that is gone may have left something.
    let format = keystore_format(place.format);
    let leftovers = leftover::observe(&mut looker, format, &place.path, &real, trials);
    Observation {
        path: place.path.clone(),
        namespace: seen_by.clone(),
        product: place.product.clone(),
        format: place.format.to_owned(),
        service: place.service.clone(),
        password_sources: password_sources(host, place, run_as.as_ref()),
        run_as,
        root: place.root.known().copied(),
        is_symlink,
        parents,
        contents,
        leftovers,
        resolved,
        file,
        troubles: looker.troubles,
    }
}

/// Ids of files that are seen in another namespace are compared with the account's only where it has the same there.
fn password_sources(
    host: &dyn Host,
    place: &Place,
    run_as: Option<&Account>,
) -> Vec<SourceObservation> {
    let ids = |account: Option<&Account>| account.map(|account| (account.uid, account.gid));
    let is_shifted = ids(run_as) != ids(place.run_as.as_ref());
    let sources = place.password_sources.iter().map(|source| {
        let mut seen = password_source::observe(host, source);
        if let Some((path, namespace)) = source.file()
            && is_shifted
            && *namespace != place.namespace
            && seen.file.known().is_some()
        {
            let detail =
                format!("{path}: its owner has another id in the user namespace of the service");
            seen.file = Observed::Unreadable(Trouble::new(Reason::Unreadable, detail));
        }
        seen
    });
    sources.collect()
}

pub(super) fn metadata(
    host: &dyn Host,
    seen_by: &Namespace,
    path: &HostPath,
) -> Observed<Metadata> {
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
    trials: &mut Trials<'_>,
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
    let Some(format) = keystore_format(place.format) else {
        return unreadable(format!("the format {} is not known", place.format));
    };
    let parse = match format.look {
        Look::Bytes { parse, .. } => parse,
        Look::Length(parse) => {
            return match parse(metadata.size) {
                Ok(contents) => Observed::Known(contents),
                Err(why) => unreadable(why.to_string()),
            };
        }
    };
    match host.read(&place.namespace, &place.path, format.limit).map(Zeroizing::new) {
        Ok(bytes) => match parse(&bytes) {
            Ok(Parsed { mut contents, lock }) => {
                if let Some(opened) = lock.and_then(|lock| trials.open(&bytes, &lock, &mut 1)) {
                    contents.opens_without_password = Some(opened.opens);
                    contents.entries = opened.entries;
                }
                Observed::Known(contents)
            }
            Err(why) => unreadable(why.to_string()),
        },
        Err(trouble) if trouble.reason == Reason::NotFound => Observed::Absent,
        Err(trouble) => Observed::Unreadable(trouble),
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use rustix::fs::XattrFlags;
    use tempfile::TempDir;

    use super::*;
    use crate::host::recorded::RecordedHost;
    use crate::keystore::acl;
    use crate::keystore::elasticsearch::fixture;
    use crate::keystore::trials::Memory;

    /// A root with a keystore of mode 0640 in `/etc/elasticsearch`.
    fn root() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let config = root.path().join("etc/elasticsearch");
        fs::create_dir_all(&config).unwrap();
        let file = config.join("elasticsearch.keystore");
        fs::write(&file, fixture::keystore("elasticsearch.keystore", 5, 1)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let owner = fs::metadata(&file).unwrap();
        let passwd = format!(
            "es:x:{}:{}::/:/bin/sh\neve:x:4711:4711::/:/bin/sh\n",
            owner.uid(),
            owner.gid()
        );
        fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        fs::write(root.path().join("etc/group"), format!("es:x:{}:\n", owner.gid())).unwrap();
        root
    }

    fn look(root: &TempDir, path: &str) -> Observation {
        let place = Place {
            path: HostPath::from(path),
            namespace: Namespace::Host,
            product: "elasticsearch".to_owned(),
            format: "elasticsearch",
            service: None,
            run_as: None,
            root: Observed::Absent,
            password_sources: Vec::new(),
        };
        look_at(root, &place, &mut Memory::default())
    }

    fn look_at(root: &TempDir, place: &Place, memory: &mut Memory) -> Observation {
        observe(&RecordedHost::new(root.path()), place, &mut Trials::new(memory))
    }

    const KEYSTORE: &str = "/etc/elasticsearch/elasticsearch.keystore";

    #[test]
    fn mode_owner_parents_and_contents_are_seen() {
        let seen = look(&root(), KEYSTORE);
        let file = seen.file.known().unwrap();
        assert_eq!((file.metadata.mode, file.group_rights), (0o640, 4));
        assert_eq!((file.owner.as_str(), file.group.as_str()), ("es", "es"));
        let parents: Vec<String> =
            seen.parents.iter().map(|parent| parent.path.to_string()).collect();
        assert_eq!(parents, ["/etc/elasticsearch", "/etc"]);
        let contents = seen.contents.known().unwrap();
        assert_eq!((contents.version, contents.has_password), (5, Some(true)));
        assert_eq!(contents.opens_without_password, Some(false));
        assert!(file.entries.is_empty() && seen.troubles.is_empty(), "{seen:?}");
    }

    #[test]
    fn behind_a_link_both_the_links_parents_and_the_files_count() {
        let root = root();
        fs::create_dir_all(root.path().join("srv/es")).unwrap();
        symlink(KEYSTORE, root.path().join("srv/es/elasticsearch.keystore")).unwrap();
        let seen = look(&root, "/srv/es/elasticsearch.keystore");
        assert!(seen.is_symlink);
        assert_eq!(
            seen.resolved.as_ref().map(|real| real.path.to_string()).as_deref(),
            Some(KEYSTORE)
        );
        let parents: Vec<String> =
            seen.parents.iter().map(|parent| parent.path.to_string()).collect();
        assert_eq!(parents, ["/etc/elasticsearch", "/etc", "/srv/es", "/srv"]);
        assert!(seen.contents.known().is_some());
    }

    #[test]
    fn a_real_access_control_list_is_seen_with_names() {
        let root = root();
        let entry = |tag: u16, rights: u16, id: u32| {
            [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let own = u32::MAX;
        let list = [
            2_u32.to_le_bytes().to_vec(),
            entry(1, 6, own),
            entry(2, 4, 4711),
            entry(4, 4, own),
            entry(0x10, 4, own),
            entry(0x20, 0, own),
        ]
        .concat();
        let file = root.path().join(KEYSTORE.trim_start_matches('/'));
        if let Err(error) = rustix::fs::setxattr(&file, acl::ATTRIBUTE, &list, XattrFlags::empty())
        {
            println!("skipped: this file system has no access-control lists: {error}");
            return;
        }
        let seen = look(&root, KEYSTORE);
        let entries = &seen.file.known().unwrap().entries;
        assert_eq!(
            entries.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(),
            ["user:eve:r--"]
        );
    }

    #[test]
    fn a_keystore_that_is_damaged_says_why_and_where() {
        let root = root();
        let file = root.path().join(KEYSTORE.trim_start_matches('/'));
        let mut bytes = fixture::keystore("elasticsearch.keystore", 5, 1);
        bytes[50] ^= 1;
        fs::write(&file, bytes).unwrap();
        let seen = look(&root, KEYSTORE);
        let trouble = seen.contents.trouble().unwrap();
        assert_eq!(trouble.reason, Reason::Unreadable);
        assert!(
            trouble.detail.contains(KEYSTORE) && trouble.detail.contains("checksum"),
            "{trouble}"
        );
        fs::write(&file, vec![0; 2 << 20]).unwrap();
        assert!(look(&root, KEYSTORE).contents.trouble().is_some());
    }

    /// A root with a process in a user namespace, whose first mapped id is `inside` for the one `shift` above ours.
    fn in_user_namespace(inside: u32, shift: u32) -> Observation {
        let root = root();
        let own = root.path().join("proc/7/root");
        fs::create_dir_all(own.join("etc")).unwrap();
        fs::rename(root.path().join("etc/elasticsearch"), own.join("etc/elasticsearch")).unwrap();
        let file = fs::metadata(own.join(KEYSTORE.trim_start_matches('/'))).unwrap();
        fs::write(
            own.join("etc/passwd"),
            "es:x:1000:1000::/:/bin/sh\neve:x:1001:1000::/:/bin/sh\n",
        )
        .unwrap();
        fs::write(own.join("etc/group"), "es:x:1000:mallory\n").unwrap();
        for (map, id) in [("uid_map", file.uid()), ("gid_map", file.gid())] {
            let map = root.path().join("proc/7").join(map);
            fs::write(map, format!("{inside:10} {:10} {:10}\n", id + shift, 1)).unwrap();
        }
        let place = Place {
            path: KEYSTORE.into(),
            namespace: Namespace::Process(7),
            product: "elasticsearch".to_owned(),
            format: "elasticsearch",
            service: None,
            run_as: Some(Account {
                uid: file.uid(),
                gid: file.gid(),
                user: "somebody".to_owned(),
                group: "else".to_owned(),
            }),
            root: Observed::Absent,
            password_sources: Vec::new(),
        };
        look_at(&root, &place, &mut Memory::default())
    }

    #[test]
    fn ids_are_those_that_the_services_user_namespace_has() {
        let seen = in_user_namespace(1000, 0);
        let file = seen.file.known().unwrap();
        assert_eq!((file.metadata.uid, file.metadata.gid), (1000, 1000));
        assert_eq!((file.owner.as_str(), file.group.as_str()), ("es", "es"));
        assert_eq!(file.members, ["es", "eve", "mallory"]);
        let run_as = seen.run_as.unwrap();
        assert_eq!((run_as.uid, run_as.gid, run_as.user.as_str()), (1000, 1000, "es"));
        assert!(seen.troubles.is_empty(), "{:?}", seen.troubles);
    }

    #[test]
    fn a_password_of_the_host_is_not_judged_by_the_ids_of_another_namespace() {
        let root = root();
        fs::write(root.path().join("etc/pass"), "x").unwrap();
        let own = fs::metadata(root.path().join("etc/pass")).unwrap();
        let account =
            |uid, gid| Account { uid, gid, user: "es".to_owned(), group: "es".to_owned() };
        let source = PasswordSource::File {
            variable: "ES_KEYSTORE_PASSPHRASE_FILE".to_owned(),
            path: "/etc/pass".into(),
            namespace: Namespace::Host,
        };
        let place = Place {
            path: KEYSTORE.into(),
            namespace: Namespace::Process(7),
            product: "elasticsearch".to_owned(),
            format: "elasticsearch",
            service: None,
            run_as: Some(account(own.uid(), own.gid())),
            root: Observed::Absent,
            password_sources: vec![source],
        };
        let host = RecordedHost::new(root.path());
        let seen = |run_as: Account| {
            password_sources(&host, &place, Some(&run_as)).remove(0).file.known().is_some()
        };
        assert!(seen(account(own.uid(), own.gid())));
        assert!(!seen(account(own.uid() + 1000, own.gid())));
    }

    #[test]
    fn ids_that_the_user_namespace_does_not_have_are_said_and_are_nobodys() {
        let seen = in_user_namespace(1000, 1);
        let file = seen.file.known().unwrap();
        assert!(file.is_owner_unmapped && file.is_group_unmapped && file.members.is_empty());
        assert!(seen.run_as.is_none());
        assert!(seen.troubles[0].detail.contains("user namespace"), "{:?}", seen.troubles);
    }

    #[test]
    fn a_link_to_nothing_is_no_absence() {
        let root = root();
        let link = root.path().join("etc/elasticsearch/other.keystore");
        symlink("/mnt/away/elasticsearch.keystore", link).unwrap();
        let seen = look(&root, "/etc/elasticsearch/other.keystore");
        assert!(seen.file.trouble().is_some() && seen.contents.trouble().is_some(), "{seen:?}");
    }

    #[test]
    fn what_was_tried_is_not_tried_again_until_the_file_changes() {
        let root = root();
        let place = Place {
            path: KEYSTORE.into(),
            namespace: Namespace::Host,
            product: "elasticsearch".to_owned(),
            format: "elasticsearch",
            service: None,
            run_as: None,
            root: Observed::Absent,
            password_sources: Vec::new(),
        };
        let memory = &mut Memory::default();
        let host = RecordedHost::new(root.path());
        let mut opens = |most: usize| {
            let mut trials = Trials::with_most(memory, most);
            let seen = observe(&host, &place, &mut trials);
            seen.contents.known().unwrap().opens_without_password
        };
        assert_eq!(opens(0), None);
        let known = opens(1);
        assert!(known.is_some());
        assert_eq!(opens(0), known);
        let file = root.path().join(KEYSTORE.trim_start_matches('/'));
        fs::write(file, fixture::keystore("elasticsearch.keystore", 5, 0)).unwrap();
        assert_eq!(opens(0), None);
    }

    #[test]
    fn what_is_not_there_is_absent_and_a_directory_is_no_keystore() {
        let root = root();
        let seen = look(&root, "/etc/elasticsearch/opensearch.keystore");
        assert_eq!((seen.file, seen.contents), (Observed::Absent, Observed::Absent));
        assert!(look(&root, "/etc/elasticsearch").contents.trouble().is_some());
    }
}
