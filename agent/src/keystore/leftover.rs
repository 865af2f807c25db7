//! What lies beside a keystore and may hold the same secrets, or older ones.

use atrest_proto::model::Reason;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::access::{Access, Looker};
use super::trials::Trials;
use super::{Contents, Format, Look, Parsed};
use crate::host::FileKind;
use crate::path::HostPath;
use crate::snapshot::{Observed, Trouble};

/// A file that lies beside a keystore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    pub path: HostPath,
    pub kind: Kind,
    pub access: Access,
    /// What it says, when it is a keystore as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
}

/// What left the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// A save that was interrupted: `.tmp`.
    Interrupted,
    /// The backup that Elasticsearch makes when it configures its security: `.EPOCH.orig`.
    AutoConfiguration,
    /// A package manager's: `.rpmsave`, `.dpkg-old`.
    Package,
    /// An editor's: `~`, `.swp`.
    Editor,
    /// Somebody's copy, by its name.
    Copy,
    /// A keystore by what is in it, whatever it is called.
    OtherName,
    /// What Elastic Agent kept in clear before it had a vault: `fleet.yml`, `state.yml`.
    Plain,
}

/// Everything that was found beside a keystore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftovers {
    pub found: Vec<Leftover>,
    /// What was not looked at, because there is too much of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// What could not be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
}

/// Names that are looked at in one directory.
const MAX_NAMES: usize = 4096;
/// Files whose bytes are looked at in one directory.
const MAX_READ: usize = 1024;
/// In bytes, of all those files together.
const MAX_BYTES: u64 = 32 << 20;
/// Files in one directory on which the empty password is newly tried in one look.
const MAX_TRIED: usize = 8;
/// In bytes: enough to see that a file is not a keystore.
const START: usize = 16;

/// What `name` is beside a keystore called `keystore`; `None` when its name does not say that it has to do with it.
pub fn kind(keystore: &[u8], name: &[u8]) -> Option<Kind> {
    const PACKAGE: [&[u8]; 10] = [
        b".rpmsave",
        b".rpmnew",
        b".rpmorig",
        b".dpkg-old",
        b".dpkg-new",
        b".dpkg-dist",
        b".dpkg-bak",
        b".dpkg-tmp",
        b".ucf-old",
        b".ucf-dist",
    ];
    const PLAIN: [(&[u8], &[u8]); 2] = [(b"fleet.enc", b"fleet.yml"), (b"state.enc", b"state.yml")];
    if PLAIN.contains(&(keystore, name)) {
        return Some(Kind::Plain);
    }
    if name == keystore {
        return None;
    }
    // Vim's `.NAME.swp`, Emacs's `#NAME#`; a digest of the file as it was installed is nobody's secret.
    let hidden = name.strip_prefix(b".").and_then(|name| name.strip_prefix(keystore));
    if let Some(rest) = hidden {
        return (rest != b".initial_md5sum").then_some(Kind::Editor);
    }
    if name.strip_prefix(b"#").is_some_and(|name| name.starts_with(keystore)) {
        return Some(Kind::Editor);
    }
    let rest = name.strip_prefix(keystore)?;
    let ends = |end: &[u8]| rest.ends_with(end);
    if ends(b".tmp") {
        return Some(Kind::Interrupted);
    }
    let epoch = rest.strip_prefix(b".").and_then(|rest| rest.strip_suffix(b".orig"));
    if epoch.is_some_and(|epoch| !epoch.is_empty() && epoch.iter().all(u8::is_ascii_digit)) {
        return Some(Kind::AutoConfiguration);
    }
    if PACKAGE.iter().any(|end| ends(end)) {
        return Some(Kind::Package);
    }
    if ends(b"~") || [&b".swp"[..], b".swo", b".swn"].iter().any(|end| ends(end)) {
        return Some(Kind::Editor);
    }
    Some(Kind::Copy)
}

/// Looks through the directories that hold the keystore at `path`, and the link to it.
pub fn observe(
    looker: &mut Looker<'_>,
    format: Option<&Format>,
    path: &HostPath,
    real: &HostPath,
    trials: &mut Trials<'_>,
) -> Leftovers {
    let mut leftovers = Leftovers::default();
    let mut directories: Vec<HostPath> = Vec::new();
    for place in [real.clone(), path.normalised()] {
        let (Some(directory), Some(name)) = (place.parent(), place.file_name()) else { continue };
        if !directories.contains(&directory) {
            let name = name.to_vec();
            let keystores = [path.normalised(), real.clone()];
            let keystore = (name.as_slice(), keystores.as_slice());
            look_through(looker, format, &directory, keystore, &mut leftovers, trials);
            directories.push(directory);
        }
    }
    leftovers.found.sort_by(|a, b| a.path.cmp(&b.path));
    leftovers.found.dedup_by(|a, b| a.path == b.path);
    leftovers
}

fn look_through(
    looker: &mut Looker<'_>,
    format: Option<&Format>,
    directory: &HostPath,
    (keystore, keystores): (&[u8], &[HostPath]),
    leftovers: &mut Leftovers,
    trials: &mut Trials<'_>,
) {
    let mut names = match looker.host.list(looker.seen_by, directory) {
        Ok(names) => names,
        Err(trouble) => {
            if trouble.reason != Reason::NotFound {
                leftovers.troubles.push(trouble);
            }
            return;
        }
    };
    let mut cut = |what: String| {
        leftovers.cut.get_or_insert(what);
    };
    if names.len() > MAX_NAMES {
        // Those whose names tell come first.
        let all = names.len();
        names.sort_by_key(|name| kind(keystore, name).is_none());
        names.truncate(MAX_NAMES);
        cut(format!("{directory} holds {all} names, of which {MAX_NAMES} were looked at"));
    }
    let siblings = format.map_or(&[][..], |format| format.siblings);
    let (mut read, mut bytes, mut here) = (0, 0_u64, MAX_TRIED);
    for name in names {
        let path = directory.join(&name);
        if keystores.contains(&path) || siblings.iter().any(|known| known.as_bytes() == name) {
            continue;
        }
        let kind = kind(keystore, &name);
        let metadata = match looker.host.metadata(looker.seen_by, &path, true) {
            Ok(metadata) => metadata,
            // A link that leads nowhere, or a file that is gone again.
            Err(trouble) if trouble.reason == Reason::NotFound => continue,
            Err(trouble) => {
                if kind.is_some() {
                    leftovers.troubles.push(trouble);
                }
                continue;
            }
        };
        if metadata.kind != FileKind::File || metadata.size == 0 {
            continue;
        }
        if let Observed::Known(resolved) = looker.host.resolve(looker.seen_by, &path).at
            && keystores.contains(&resolved.path)
        {
            continue;
        }
        let mut contents = None;
        if let Some(format) = format
            && let Look::Bytes { starts, parse } = format.look
            && usize::try_from(metadata.size).is_ok_and(|size| size <= format.limit)
        {
            if read == MAX_READ || bytes > MAX_BYTES {
                leftovers.cut.get_or_insert(format!(
                    "{directory} holds more files than the {MAX_READ} that are looked into"
                ));
            } else {
                read += 1;
                let start = match looker.host.read_start(looker.seen_by, &path, START) {
                    Ok(start) => start,
                    Err(trouble) => {
                        // One is enough to leave it open.
                        if trouble.reason != Reason::NotFound && leftovers.troubles.is_empty() {
                            leftovers.troubles.push(trouble);
                        }
                        Vec::new()
                    }
                };
                if starts(&start) {
                    bytes += metadata.size;
                    let whole = looker.host.read(looker.seen_by, &path, format.limit);
                    let whole = whole.map(Zeroizing::new).unwrap_or_default();
                    if let Ok(Parsed { contents: mut found, lock }) = parse(&whole) {
                        found.opens_without_password = lock
                            .and_then(|lock| trials.open(&whole, &lock, &mut here))
                            .map(|opened| opened.opens);
                        contents = Some(found);
                    }
                }
            }
        }
        let kind = match (kind, &contents) {
            (Some(kind), _) => kind,
            (None, Some(_)) => Kind::OtherName,
            (None, None) => continue,
        };
        let access = looker.access(&path, metadata);
        leftovers.found.push(Leftover { path, kind, access, contents });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::host::recorded::RecordedHost;
    use crate::keystore::trials::Memory;
    use crate::keystore::{elasticsearch, format};
    use crate::snapshot::Namespace;

    #[test]
    fn names_tell_what_left_them() {
        let keystore = b"elasticsearch.keystore";
        for (name, expected) in [
            ("elasticsearch.keystore.tmp", Some(Kind::Interrupted)),
            ("elasticsearch.keystore.1699999999.orig", Some(Kind::AutoConfiguration)),
            ("elasticsearch.keystore.orig", Some(Kind::Copy)),
            ("elasticsearch.keystore.rpmsave", Some(Kind::Package)),
            ("elasticsearch.keystore.dpkg-old", Some(Kind::Package)),
            ("elasticsearch.keystore~", Some(Kind::Editor)),
            (".elasticsearch.keystore.swp", Some(Kind::Editor)),
            ("#elasticsearch.keystore#", Some(Kind::Editor)),
            ("elasticsearch.keystore.bak", Some(Kind::Copy)),
            ("elasticsearch.keystore-2024", Some(Kind::Copy)),
            ("elasticsearch.keystore", None),
            (".elasticsearch.keystore.initial_md5sum", None),
            ("elasticsearch.yml", None),
            ("fleet.yml", None),
        ] {
            assert_eq!(kind(keystore, name.as_bytes()), expected, "{name}");
        }
        assert_eq!(kind(b"fleet.enc", b"fleet.yml"), Some(Kind::Plain));
        assert_eq!(kind(b"state.enc", b"state.yml"), Some(Kind::Plain));
    }

    /// What is found beside `elasticsearch.keystore` in a directory that holds `files`.
    fn beside(files: &[(&str, &[u8])]) -> Leftovers {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("etc/es");
        fs::create_dir_all(directory.join("elasticsearch.keystore.d")).unwrap();
        for (name, bytes) in files {
            fs::write(directory.join(name), bytes).unwrap();
        }
        let host = RecordedHost::new(root.path());
        let mut looker = Looker::new(&host, &Namespace::Host);
        let path = HostPath::from("/etc/es/elasticsearch.keystore");
        let memory = &mut Memory::default();
        observe(&mut looker, format("elasticsearch"), &path, &path, &mut Trials::new(memory))
    }

    #[test]
    fn copies_are_found_by_name_and_by_what_is_in_them() {
        let whole = elasticsearch::fixture::keystore("elasticsearch.keystore", 4, 0);
        let found = beside(&[
            ("elasticsearch.keystore", &whole),
            ("elasticsearch.keystore.tmp", b"x"),
            ("elasticsearch.keystore.bak", &whole),
            ("old", &whole),
            ("elasticsearch.yml", b"a: b"),
            ("elasticsearch.keystore.empty", b""),
            (".elasticsearch.keystore.initial_md5sum", b"0123"),
        ]);
        let found: Vec<_> = found
            .found
            .iter()
            .map(|one| {
                let opens = one.contents.as_ref().map(|contents| contents.opens_without_password);
                let name = String::from_utf8(one.path.file_name().unwrap().to_vec()).unwrap();
                (name, one.kind, opens)
            })
            .collect();
        assert_eq!(
            found,
            [
                ("elasticsearch.keystore.bak".to_owned(), Kind::Copy, Some(Some(true))),
                ("elasticsearch.keystore.tmp".to_owned(), Kind::Interrupted, None),
                ("old".to_owned(), Kind::OtherName, Some(Some(true))),
            ]
        );
    }

    #[test]
    fn a_directory_that_is_too_full_says_so() {
        let names: Vec<String> = (0..MAX_READ + 10).map(|number| format!("f{number}")).collect();
        let files: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        assert!(beside(&files).cut.is_some());
        assert_eq!(beside(&files[..10]), Leftovers::default());
    }

    proptest! {
        #[test]
        fn no_names_panic(
            keystore in proptest::collection::vec(any::<u8>(), 0..20),
            name in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _kind = kind(&keystore, &name);
        }
    }
}
