//! Looks through a configuration directory: for copies of settings, for private keys that are not encrypted, and for files
//! of keys and hashes. Symbolic links out of the directory are followed, as those to certificates of the host are; depth,
//! entries and bytes are bounded, and what is left out is said.

use std::collections::BTreeMap;

use atrest_proto::model::Reason;
use zeroize::Zeroizing;

use super::{Form, Kind, Place, Sighting, Swept, Value, scan, value};
use crate::host::{FileKind, Host, Metadata};
use crate::path::HostPath;
use crate::snapshot::Observed;

/// Levels of directories. `certs/ca/` and its like are two deep, what Kubernetes mounts is one deeper.
const DEPTH: usize = 4;
const ENTRIES: usize = 2_000;
/// In bytes: bundles of certificates with a key are below this. Of a bigger file the start tells whether it is text.
const ORDINARY: usize = 256 << 10;
/// In bytes: enough to see that a file is a program, a database or an archive.
const START: usize = 4096;
/// In bytes: a bigger text is not read. Dictionaries, and the fields of Beats, are below this.
pub(super) const LARGEST: usize = 4 << 20;
/// In bytes, read of all files together.
const TOTAL: usize = 32 << 20;

/// What was left out of a look: each reason once, with how many files or directories it was, and the first of them.
#[derive(Default)]
struct LeftOut(BTreeMap<Why, (usize, String)>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    TooDeep,
    TooMany,
    TooLarge,
    Budget,
    Unreadable,
}

impl LeftOut {
    /// `what` is a path, or for what could not be read what the system said.
    fn add(&mut self, why: Why, what: impl FnOnce() -> String) {
        self.0.entry(why).or_insert_with(|| (0, what())).0 += 1;
    }

    fn into_texts(self) -> Vec<String> {
        let texts = self.0.into_iter().map(|(why, (count, first))| {
            let (one, many) = match why {
                Why::TooDeep => ("directory", "directories"),
                Why::TooLarge | Why::Budget => ("file", "files"),
                Why::TooMany | Why::Unreadable => ("name", "names"),
            };
            let counted = if count == 1 { format!("one {one}") } else { format!("{count} {many}") };
            match why {
                Why::TooDeep => format!("what is in {counted} {DEPTH} levels down ({first})"),
                Why::TooMany => format!("what comes after {ENTRIES} entries ({first})"),
                Why::TooLarge => {
                    format!("{counted} of more than {} MiB ({first})", LARGEST >> 20)
                }
                Why::Budget => format!("{counted} after {} MiB of others ({first})", TOTAL >> 20),
                Why::Unreadable => format!("{counted} that could not be read ({first})"),
            }
        });
        texts.collect()
    }
}

/// What a directory holds that has to be looked at by itself.
pub(super) fn sweep(host: &dyn Host, place: &Place) -> (Swept, Vec<Place>) {
    let mut sweep = Sweep {
        host,
        place,
        budget: TOTAL,
        entries: 0,
        others: 0,
        found: Vec::new(),
        left_out: LeftOut::default(),
    };
    let mut level = vec![place.path.clone()];
    for depth in 0..=DEPTH {
        if depth == DEPTH {
            for directory in &level {
                sweep.left_out.add(Why::TooDeep, || directory.to_string());
            }
            break;
        }
        let mut deeper = Vec::new();
        for directory in level {
            sweep.directory(&directory, depth, &mut deeper);
        }
        level = deeper;
    }
    let swept = Swept {
        entries: sweep.entries,
        found: sweep.others,
        left_out: sweep.left_out.into_texts(),
    };
    (swept, sweep.found)
}

/// A look through a directory, as far as it got.
struct Sweep<'a> {
    host: &'a dyn Host,
    place: &'a Place,
    /// In bytes: what may still be read.
    budget: usize,
    entries: usize,
    /// Files of keys among those that were found.
    others: usize,
    found: Vec<Place>,
    left_out: LeftOut,
}

impl Sweep<'_> {
    fn directory(&mut self, directory: &HostPath, depth: usize, deeper: &mut Vec<HostPath>) {
        let place = self.place;
        let names = match self.host.list(&place.namespace, directory) {
            Ok(names) => names,
            Err(trouble) => {
                self.left_out.add(Why::Unreadable, || trouble.detail);
                return;
            }
        };
        for name in names {
            let path = directory.join(&name);
            if self.entries >= ENTRIES {
                self.left_out.add(Why::TooMany, || format!("from {path} on"));
                return;
            }
            self.entries += 1;
            let metadata = match self.host.metadata(&place.namespace, &path, false) {
                Ok(metadata) => metadata,
                // It is gone since the directory was read.
                Err(trouble) if trouble.reason == Reason::NotFound => continue,
                Err(trouble) => {
                    self.left_out.add(Why::Unreadable, || trouble.detail);
                    continue;
                }
            };
            match metadata.kind {
                FileKind::Directory if depth == 0 && is_programs_own(&place.product, &name) => {}
                FileKind::Directory => deeper.push(path),
                FileKind::File => self.file(path, &name, &metadata),
                FileKind::Symlink => self.link(path, &name, deeper),
                FileKind::BlockDevice | FileKind::Other => {}
            }
        }
    }

    fn file(&mut self, path: HostPath, name: &[u8], metadata: &Metadata) {
        let place = self.place;
        let size = usize::try_from(metadata.size).unwrap_or(usize::MAX);
        if let Some(form) = settings_form(place, name) {
            self.found.push(Place { path, form, ..place.clone() });
        } else if self.is_other(&path, size) {
            self.others += 1;
            self.found.push(Place { path, form: Form::Other, ..place.clone() });
        }
    }

    /// What a link leads to, unless that is in the directory, or the directory in it.
    fn link(&mut self, path: HostPath, name: &[u8], deeper: &mut Vec<HostPath>) {
        let seen_by = &self.place.namespace;
        let metadata = match self.host.metadata(seen_by, &path, true) {
            Ok(metadata) => metadata,
            Err(trouble) if trouble.reason == Reason::NotFound => return,
            Err(trouble) => {
                self.left_out.add(Why::Unreadable, || trouble.detail);
                return;
            }
        };
        let real = |path: &HostPath| match self.host.resolve(seen_by, path).at {
            Observed::Known(resolved) => Some(resolved.path),
            Observed::Absent | Observed::Unreadable(_) => None,
        };
        let own = real(&self.place.path).unwrap_or_else(|| self.place.path.normalised());
        let Some(target) = real(&path) else {
            self.left_out.add(Why::Unreadable, || format!("{path}: where it leads is not known"));
            return;
        };
        if target.is_at_or_below(&own) {
            return;
        }
        match metadata.kind {
            FileKind::File => self.file(path, name, &metadata),
            // As `/`, which is no configuration.
            FileKind::Directory if own.is_at_or_below(&target) => {
                self.left_out.add(Why::TooMany, || format!("what {path} leads to"));
            }
            FileKind::Directory => deeper.push(path),
            FileKind::Symlink | FileKind::BlockDevice | FileKind::Other => {}
        }
    }

    /// Whether a file that holds no settings holds something else, readable for others or not.
    fn is_other(&mut self, path: &HostPath, size: usize) -> bool {
        if by_name(path).is_some() {
            return true;
        }
        if size == 0 {
            return false;
        }
        let seen_by = &self.place.namespace;
        if size > ORDINARY {
            match self.host.read_start(seen_by, path, START).map(Zeroizing::new) {
                // Programs stand beside their settings in archives. No key is as large as that.
                Ok(start) if start.contains(&0) => return false,
                Ok(_) => {}
                Err(trouble) => {
                    self.left_out.add(Why::Unreadable, || trouble.detail);
                    return false;
                }
            }
        }
        if size > LARGEST {
            self.left_out.add(Why::TooLarge, || path.to_string());
            return false;
        }
        let Some(left) = self.budget.checked_sub(size) else {
            self.left_out.add(Why::Budget, || path.to_string());
            return false;
        };
        self.budget = left;
        match self.host.read_start(seen_by, path, LARGEST) {
            Ok(bytes) => !files(path, &Zeroizing::new(bytes), true).is_empty(),
            Err(trouble) => {
                self.left_out.add(Why::Unreadable, || trouble.detail);
                false
            }
        }
    }
}

/// A directory of the program itself, in an archive whose settings stand beside it: the modules and dashboards of a Beat, the
/// versions and the state of Elastic Agent. They are deep, and no configuration.
fn is_programs_own(product: &str, name: &[u8]) -> bool {
    const OF_BEATS: [&[u8]; 4] = [b"data", b"kibana", b"logs", b"module"];
    let is_beat = product.ends_with("beat") || product == "apm-server";
    (product == "elastic-agent" && name == b"data") || (is_beat && OF_BEATS.contains(&name))
}

/// How a file of settings is written, by its name; copies that editors and packages leave behind count.
fn settings_form(place: &Place, name: &[u8]) -> Option<Form> {
    const COPIES: [&str; 10] = [
        ".bak",
        ".old",
        ".orig",
        ".save",
        ".rpmsave",
        ".rpmnew",
        ".rpmorig",
        ".dpkg-old",
        ".dpkg-dist",
        "~",
    ];
    // Reference files have every default, disabled modules have examples, and files of fields have no settings.
    const NONE: [&str; 4] = [".reference.yml", ".disabled", "fields.yml", "internal_users.yml"];
    // A copy may have any name.
    let name = &*String::from_utf8_lossy(name);
    if NONE.iter().any(|ending| name.ends_with(ending)) {
        return None;
    }
    let name = COPIES.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    // `elasticsearch.yml.2024-01-01`.
    let is_dated = |extension: &str| {
        name.split_once(extension).is_some_and(|(_, rest)| {
            rest.starts_with(['.', '-', '_']) && rest.bytes().all(|byte| !byte.is_ascii_lowercase())
        })
    };
    let is = |extension: &str| name.ends_with(extension) || is_dated(extension);
    if is(".yml") || is(".yaml") {
        Some(Form::Yaml)
    } else if is(".options") {
        Some(Form::JavaOptions)
    } else if place.product == "logstash" && is(".conf") {
        Some(Form::Pipeline)
    } else if is(".env") {
        Some(Form::Variables)
    } else {
        None
    }
}

/// A file that has keys or hashes in it whatever it is written in.
fn by_name(path: &HostPath) -> Option<&'static str> {
    let name = path.file_name()?.to_ascii_lowercase();
    match name.as_slice() {
        b"users" | b"internal_users.yml" => Some("the password hashes of users"),
        b"service_tokens" => Some("the hashes of service tokens"),
        b"system_key" => Some("the key of Watcher"),
        _ => {
            let is = |endings: &[&str]| endings.iter().any(|end| name.ends_with(end.as_bytes()));
            is(&[".p12", ".pfx", ".pkcs12", ".jks", ".bcfks"]).then_some("a key store")
        }
    }
}

/// What a file holds, `for_others` being whether everybody may read it.
pub(super) fn files(path: &HostPath, bytes: &[u8], for_others: bool) -> Vec<Sighting> {
    /// JKS and JCEKS: `sun.security.provider.JavaKeyStore`, `com.sun.crypto.provider.JceKeyStore`.
    const STORES: [[u8; 4]; 2] = [[0xfe, 0xed, 0xfe, 0xed], [0xce, 0xce, 0xce, 0xce]];
    let sighting = |kind, setting: &str, line| Sighting {
        line,
        setting: setting.to_owned(),
        kind,
        value: Value::Set,
        is_comment: false,
        instead: None,
    };
    let mut seen = Vec::new();
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    if value::is_private_key(&text) {
        let line = scan::numbered(&text).find(|(_, line)| {
            line.contains("-----BEGIN ")
                && line.contains("PRIVATE KEY")
                && !line.contains("ENCRYPTED")
        });
        seen.push(sighting(
            Kind::PrivateKey,
            "an unencrypted private key",
            line.map(|(line, _)| line),
        ));
    } else if is_der_key(bytes) {
        seen.push(sighting(Kind::PrivateKey, "an unencrypted private key", None));
    }
    let named = by_name(path);
    if named == Some("the key of Watcher") {
        seen.push(sighting(Kind::Key, "the key of Watcher", None));
    }
    let is_store = STORES.iter().any(|magic| bytes.starts_with(magic));
    if let Some(what) = named.or(is_store.then_some("a key store"))
        && for_others
        && !bytes.trim_ascii().is_empty()
    {
        seen.push(sighting(Kind::OpenFile, what, None));
    }
    seen
}

/// `PrivateKeyInfo` (RFC 5208), `RSAPrivateKey` (RFC 8017) or `ECPrivateKey` (RFC 5915) in DER: a sequence that begins
/// with a small number. An encrypted key begins with a sequence.
fn is_der_key(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(&[0x30]) else { return false };
    // The length, short or long, must be that of the file.
    let (length, rest) = match rest.split_first() {
        Some((&short, rest)) if short < 0x80 => (usize::from(short), rest),
        Some((&long @ 0x81..=0x83, rest)) => {
            let Some((octets, rest)) = rest.split_at_checked(usize::from(long & 0x7f)) else {
                return false;
            };
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        Some(_) | None => return false,
    };
    if length != rest.len() {
        return false;
    }
    match rest {
        // Version 0 or 1, then an algorithm, or a modulus, which is long, or the octets of an EC key.
        [0x02, 0x01, 0x00, 0x02, length, ..] => matches!(length, 0x81 | 0x82),
        [0x02, 0x01, 0x00 | 0x01, 0x30, ..] | [0x02, 0x01, 0x01, 0x04, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::host::live::LiveHost;
    use crate::snapshot::Namespace;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";

    #[test]
    fn what_is_the_programs_own_is_not_looked_through() {
        let root = tempfile::tempdir().unwrap();
        for path in ["data/v1/components/a/b/c.spec.yml", "inputs.d/a.yml"] {
            let path = root.path().join("etc/es").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a: b\n").unwrap();
        }
        let host = LiveHost::new(root.path());
        let (swept, found) = sweep(&host, &place("elastic-agent"));
        assert_eq!((swept.left_out.len(), found.len()), (0, 1));
        let (swept, _) = sweep(&host, &place("filebeat"));
        assert_eq!(swept.left_out.len(), 0);
        let (swept, _) = sweep(&host, &place("elasticsearch"));
        assert_eq!(swept.left_out.len(), 1);
    }

    fn place(product: &str) -> Place {
        Place {
            path: "/etc/es".into(),
            form: Form::Directory,
            namespace: Namespace::Host,
            product: product.to_owned(),
            service: None,
        }
    }

    fn swept(
        files: &[(&str, &str)],
        change: impl FnOnce(&std::path::Path),
    ) -> (Swept, Vec<(String, Form)>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join("etc/es").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        change(root.path());
        let (swept, found) = sweep(&LiveHost::new(root.path()), &place("elasticsearch"));
        (swept, found.into_iter().map(|place| (place.path.to_string(), place.form)).collect())
    }

    #[test]
    fn keys_stores_and_copies_of_settings_are_found() {
        let (seen, found) = swept(
            &[
                ("elasticsearch.yml", "a: b\n"),
                ("elasticsearch.yml.bak", "a: b\n"),
                ("elasticsearch.yml.2024-01-01", "a: b\n"),
                ("jvm.options.d/x.options", "-Xms1g\n"),
                ("certs/node.key", KEY),
                ("certs/node.crt", "-----BEGIN CERTIFICATE-----\nMII\n"),
                ("certs/odd-name", KEY),
                ("certs/http.p12", "x"),
                ("certs/enc.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n"),
                ("users", "elastic:$2a$10$x\n"),
                ("log4j2.properties", "a=b\n"),
                ("a/b/c/d/deep.key", KEY),
            ],
            |root| symlink("/etc/passwd", root.join("etc/es/link.key")).unwrap(),
        );
        let expected = [
            ("/etc/es/elasticsearch.yml", Form::Yaml),
            ("/etc/es/elasticsearch.yml.2024-01-01", Form::Yaml),
            ("/etc/es/elasticsearch.yml.bak", Form::Yaml),
            ("/etc/es/users", Form::Other),
            ("/etc/es/certs/http.p12", Form::Other),
            ("/etc/es/certs/node.key", Form::Other),
            ("/etc/es/certs/odd-name", Form::Other),
            ("/etc/es/jvm.options.d/x.options", Form::JavaOptions),
        ];
        assert_eq!(found, expected.map(|(path, form)| (path.to_owned(), form)));
        assert_eq!(seen.found, 4);
        assert_eq!(seen.left_out, ["what is in one directory 4 levels down (/etc/es/a/b/c/d)"]);
    }

    #[test]
    fn links_out_of_the_directory_are_followed() {
        let (seen, found) = swept(&[("certs/in.key", KEY)], |root| {
            fs::create_dir_all(root.join("pki/private")).unwrap();
            fs::write(root.join("pki/private/node.key"), KEY).unwrap();
            fs::write(root.join("pki/host.key"), KEY).unwrap();
            for (target, link) in [
                ("/pki/host.key", "certs/out.key"),
                ("/pki/private", "private"),
                ("certs/in.key", "again.key"),
                ("/etc/es", "round"),
                ("/nowhere", "gone"),
            ] {
                symlink(target, root.join("etc/es").join(link)).unwrap();
            }
        });
        let found: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            found,
            ["/etc/es/certs/in.key", "/etc/es/certs/out.key", "/etc/es/private/node.key"]
        );
        assert!(seen.left_out.is_empty(), "{:?}", seen.left_out);
        let (seen, _) = swept(&[("a.yml", "")], |root| {
            symlink("/etc", root.join("etc/es/all")).unwrap();
        });
        assert_eq!(seen.left_out.len(), 1, "{:?}", seen.left_out);
    }

    #[test]
    fn too_many_entries_are_said_to_be_left_out() {
        let names: Vec<String> = (0..ENTRIES + 5).map(|number| format!("f{number}.txt")).collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        let (seen, _) = swept(&files, |_| {});
        assert_eq!(seen.entries, ENTRIES);
        assert!(seen.left_out[0].starts_with("what comes after 2000 entries (from /etc/es/f"));
        assert_eq!(seen.left_out.len(), 1);
    }

    #[test]
    fn too_large_texts_are_said_to_be_left_out_and_programs_are_not_keys() {
        let text = |size: usize| "word\n".repeat(size.div_ceil(5));
        let large = text(LARGEST + 1);
        let program = format!("\u{7f}ELF\0{large}");
        let with_key = format!("{}{KEY}", text(ORDINARY));
        let (seen, found) = swept(
            &[("a.dic", &large), ("b.dic", &large), ("filebeat", &program), ("c.pem", &with_key)],
            |_| {},
        );
        assert_eq!(found, [("/etc/es/c.pem".to_owned(), Form::Other)]);
        assert_eq!(seen.left_out, ["2 files of more than 4 MiB (/etc/es/a.dic)"]);
    }

    #[test]
    fn what_comes_after_the_budget_is_said_to_be_left_out_once() {
        let large = "word\n".repeat(LARGEST / 5);
        let names: Vec<String> = (0..11).map(|number| format!("f{number:02}.dic")).collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), &*large)).collect();
        let (seen, _) = swept(&files, |_| {});
        assert_eq!(seen.left_out, ["3 files after 32 MiB of others (/etc/es/f08.dic)"]);
    }

    #[test]
    fn a_copy_whose_name_is_no_text_is_read_as_settings() {
        use std::os::unix::ffi::OsStrExt as _;
        let (_, found) = swept(&[("elasticsearch.yml", "a: b\n")], |root| {
            let name = std::ffi::OsStr::from_bytes(b"\xff.yml");
            fs::write(root.join("etc/es").join(name), "a: b\n").unwrap();
        });
        assert_eq!(found.iter().filter(|(_, form)| *form == Form::Yaml).count(), 2);
    }

    #[test]
    fn every_reason_is_said_once() {
        let mut left_out = LeftOut::default();
        for number in 0..1000 {
            left_out.add(Why::Unreadable, || format!("/f{number}: denied"));
            left_out.add(Why::TooDeep, || format!("/d{number}"));
        }
        assert_eq!(
            left_out.into_texts(),
            [
                "what is in 1000 directories 4 levels down (/d0)",
                "1000 names that could not be read (/f0: denied)",
            ]
        );
    }

    #[test]
    fn a_directory_that_may_not_be_read_is_left_out() {
        if nix::unistd::geteuid().is_root() {
            println!("skipped: root may read everything");
            return;
        }
        let (seen, _) = swept(&[("certs/x", "")], |root| {
            fs::set_permissions(root.join("etc/es/certs"), fs::Permissions::from_mode(0o000))
                .unwrap();
        });
        assert_eq!(seen.left_out.len(), 1);
    }

    #[test]
    fn what_a_file_is_depends_on_who_may_read_it() {
        let kinds = |name: &str, bytes: &[u8], for_others| {
            let seen = files(&HostPath::from(name), bytes, for_others);
            seen.into_iter().map(|seen| seen.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds("/c/http.p12", b"x", true), [Kind::OpenFile]);
        assert_eq!(kinds("/c/http.p12", b"x", false), []);
        assert_eq!(kinds("/c/odd", &[0xfe, 0xed, 0xfe, 0xed, 0], true), [Kind::OpenFile]);
        assert_eq!(kinds("/c/users", b"", true), []);
        assert_eq!(kinds("/c/system_key", b"x", false), [Kind::Key]);
        assert_eq!(kinds("/c/k.pem", KEY.as_bytes(), false), [Kind::PrivateKey]);
    }

    #[test]
    fn keys_in_der_are_told_from_certificates_and_encrypted_ones() {
        let whole = |inside: &[u8]| {
            let length = u16::try_from(inside.len()).unwrap().to_be_bytes();
            [&[0x30, 0x82, length[0], length[1]][..], inside].concat()
        };
        let padded = |start: &[u8]| whole(&[start, &[7; 300]].concat());
        assert!(is_der_key(&padded(&[2, 1, 0, 0x30, 0x0d])));
        assert!(is_der_key(&padded(&[2, 1, 0, 2, 0x82, 1, 1])));
        assert!(is_der_key(&padded(&[2, 1, 1, 4, 0x20])));
        assert!(!is_der_key(&padded(&[0x30, 0x82, 1, 1])), "a certificate");
        assert!(!is_der_key(&padded(&[0x30, 0x40, 6])), "an encrypted key");
        assert!(!is_der_key(&padded(&[2, 1, 3, 0x30])), "PKCS#12");
        assert!(!is_der_key(&[0x30, 0x82, 9, 9, 2, 1, 0, 0x30]));
        assert!(!is_der_key(b"0"));
    }
}
