//! `/var/lib/nfs/etab`: what the kernel's NFS server lends, as `exportfs(8)` keeps it for `mountd(8)`.

use std::collections::BTreeMap;

use atrest_proto::model::Verdict;
use serde::{Deserialize, Serialize};

use crate::path::HostPath;

/// Where it is.
pub const PATH: &str = "/var/lib/nfs/etab";
/// A server has a handful of exports, of some hundred bytes each.
pub const MOST: usize = 1024 * 1024;

/// A directory that is lent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Export {
    pub path: HostPath,
    /// Clients of version 4 name everything from here (`fsid=0`, `exports(5)`).
    pub is_root: bool,
}

/// Reads the table: a directory and one client with its options on each line. Lines that make no sense are left out:
/// nobody vouches for what they may have named.
pub fn parse(text: &[u8]) -> Vec<Export> {
    let mut exports: BTreeMap<HostPath, bool> = BTreeMap::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        // One that is cut short may name another directory than it meant.
        let Some(line) = line.strip_suffix(b"\n") else { continue };
        let mut fields = line.splitn(2, |byte| *byte == b'\t' || *byte == b' ');
        let (Some(path), Some(client)) = (fields.next(), fields.next()) else { continue };
        let Some(path) = unescape(path) else { continue };
        let path = HostPath::new(path);
        if !path.is_absolute() {
            continue;
        }
        let options = client.iter().position(|byte| *byte == b'(').map(|at| at + 1);
        let options = options.and_then(|at| client.get(at..)).unwrap_or_default();
        let options = options.strip_suffix(b")").unwrap_or(options);
        let is_root = options
            .split(|byte| *byte == b',')
            .any(|option| option == b"fsid=0" || option == b"fsid=root");
        *exports.entry(path.normalised()).or_default() |= is_root;
    }
    exports.into_iter().map(|(path, is_root)| Export { path, is_root }).collect()
}

/// `qword_add` of nfs-utils writes what would end a word as three octal digits, or two hexadecimal ones after `\x`.
fn unescape(word: &[u8]) -> Option<Vec<u8>> {
    let mut rest = word;
    let mut plain = Vec::with_capacity(word.len());
    while let Some((byte, after)) = rest.split_first() {
        if *byte != b'\\' {
            plain.push(*byte);
            rest = after;
            continue;
        }
        let (digits, radix) = match after.strip_prefix(b"x") {
            Some(hex) => (hex.get(..2)?, 16),
            None => (after.get(..3)?, 8),
        };
        let text = std::str::from_utf8(digits).ok()?;
        // `from_str_radix` would take a sign.
        if !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        plain.push(u8::from_str_radix(text, radix).ok()?);
        rest = after.get(3..)?;
    }
    (!plain.contains(&0)).then_some(plain)
}

/// The names that clients may mount, with how what lies there rests. Where two directories have one name, for different
/// versions of the protocol, the worse of them counts: it is `unknown` unless they are the same.
pub fn names(
    exports: &[Export],
    verdict: impl Fn(&HostPath) -> Verdict,
) -> BTreeMap<HostPath, Verdict> {
    let mut names: BTreeMap<HostPath, Verdict> = BTreeMap::new();
    let mut name = |name: HostPath, verdict: Verdict| {
        let known = names.entry(name).or_insert(verdict);
        if *known != verdict {
            *known = Verdict::Unknown;
        }
    };
    let root = exports.iter().find(|export| export.is_root);
    for export in exports {
        let verdict = verdict(&export.path);
        name(export.path.clone(), verdict);
        let below = root.and_then(|root| export.path.as_bytes().strip_prefix(root.path.as_bytes()));
        match below {
            Some([]) => name(HostPath::root(), verdict),
            Some(below) if below.starts_with(b"/") => name(HostPath::new(below.to_vec()), verdict),
            Some(_) | None => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAB: &str = "/srv/nfs4\t*(ro,sync,wdelay,hide,nocrossmnt,secure,root_squash,fsid=0,sec=sys,ro,secure)\n\
        /srv/nfs4/backup\t10.0.0.0/24(rw,sync,fsid=12,sec=sys)\n\
        /srv/nfs4/backup\t10.0.1.0/24(rw,sync)\n\
        /srv/nfs4x\t*(rw)\n\
        /srv/a\\040b\t*(rw)\n\
        /srv/c\\x20d\t*(rw)\n\
        relative\t*(rw)\n\
        /srv/cut\t*(r";

    fn export(path: &str, is_root: bool) -> Export {
        Export { path: path.into(), is_root }
    }

    #[test]
    fn each_directory_is_there_once() {
        let expected = [
            export("/srv/a b", false),
            export("/srv/c d", false),
            export("/srv/nfs4", true),
            export("/srv/nfs4/backup", false),
            export("/srv/nfs4x", false),
        ];
        assert_eq!(parse(ETAB.as_bytes()), expected);
    }

    #[test]
    fn nonsense_is_no_export() {
        for line in
            ["\n", "\t\n", "/srv\n", "/a\\04\t*(rw)\n", "/a\\+01\t*(rw)\n", "/a\\000b\t*(rw)\n"]
        {
            assert_eq!(parse(line.as_bytes()), [], "{line}");
        }
    }

    #[test]
    fn below_the_root_of_version_4_a_directory_has_two_names() {
        let verdict = |path: &HostPath| {
            if *path == HostPath::from("/srv/nfs4x") {
                Verdict::Unencrypted
            } else {
                Verdict::Encrypted
            }
        };
        let names = names(&parse(ETAB.as_bytes()), verdict);
        let names: Vec<_> =
            names.iter().map(|(name, verdict)| (name.to_string(), *verdict)).collect();
        let encrypted = ["/", "/backup", "/srv/a b", "/srv/c d", "/srv/nfs4", "/srv/nfs4/backup"];
        let mut expected: Vec<_> =
            encrypted.map(|name| (name.to_owned(), Verdict::Encrypted)).into();
        expected.push(("/srv/nfs4x".to_owned(), Verdict::Unencrypted));
        assert_eq!(names, expected);
    }

    #[test]
    fn a_name_of_two_directories_is_worth_what_both_are() {
        let exports =
            [export("/backup", false), export("/srv", true), export("/srv/backup", false)];
        let verdict = |path: &HostPath| {
            if *path == HostPath::from("/backup") {
                Verdict::Unencrypted
            } else {
                Verdict::Encrypted
            }
        };
        assert_eq!(
            names(&exports, verdict).get(&HostPath::from("/backup")),
            Some(&Verdict::Unknown)
        );
    }
}
