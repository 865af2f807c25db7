//! What ZFS says of its pools and datasets, in the script format of its own tools, which is the only way to ask.
//!
//! `zpool list -vHLP` (`zpool-list(8)`): one line for each pool; its devices follow, each line beginning with a tab; lines
//! with a class (`logs`, `cache`, `spare`, `special`, `dedup`) stand between and hold no tab. `zfs get -Hp -o
//! name,property,value encryption,keystatus` (`zfs-get(8)`): three fields with tabs between.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::path::HostPath;

/// More lines than any host has.
const MAX_LINES: usize = 1_000_000;

/// The pools and datasets of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub pools: BTreeMap<String, Vec<Vdev>>,
    pub datasets: BTreeMap<String, Encryption>,
}

/// A device of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vdev {
    pub path: HostPath,
    pub class: Class,
}

/// What a device of a pool is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Contents and metadata, `special` and `dedup` devices too.
    Data,
    Log,
    Cache,
    Spare,
}

/// How a dataset is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `off`, or the suite, such as `aes-256-gcm`.
    pub cipher: String,
    /// `available`, `unavailable`, or `-`.
    pub key_status: String,
}

/// The suites of `zfsprops(7)`, and the size of their keys in bits.
const SUITES: &[(&str, u32)] = &[
    ("aes-128-ccm", 128),
    ("aes-192-ccm", 192),
    ("aes-256-ccm", 256),
    ("aes-128-gcm", 128),
    ("aes-192-gcm", 192),
    ("aes-256-gcm", 256),
];

impl Encryption {
    /// The size of the key in bits, of a suite that is known.
    pub fn key_bits(&self) -> Option<u32> {
        SUITES.iter().find(|(suite, _)| *suite == self.cipher).map(|(_, bits)| *bits)
    }

    /// A known suite with its key loaded: without the key nothing could be mounted.
    pub fn is_working(&self) -> bool {
        self.key_bits().is_some() && self.key_status == "available"
    }
}

/// Reads the answers of `zpool list` and `zfs get`; `None` when a line makes no sense.
pub fn parse(pools: &[u8], datasets: &[u8]) -> Option<Facts> {
    Some(Facts { pools: parse_pools(pools)?, datasets: parse_datasets(datasets)? })
}

/// The facts in the form of the answers of `zpool list` and `zfs get`, as far as [`parse`] reads them.
pub fn format(facts: &Facts) -> (Vec<u8>, Vec<u8>) {
    const CLASSES: [(Class, &str); 4] = [
        (Class::Data, ""),
        (Class::Log, "logs  -\n"),
        (Class::Cache, "cache  -\n"),
        (Class::Spare, "spare  -\n"),
    ];
    let mut pools = Vec::new();
    for (pool, vdevs) in &facts.pools {
        pools.extend(format!("{pool}\t0\n").into_bytes());
        for (class, heading) in CLASSES {
            let mut vdevs = vdevs.iter().filter(|vdev| vdev.class == class).peekable();
            if vdevs.peek().is_some() {
                pools.extend(heading.as_bytes());
            }
            for vdev in vdevs {
                pools.push(b'\t');
                pools.extend(vdev.path.as_bytes());
                pools.extend(b"\t-\n");
            }
        }
    }
    let mut datasets = String::new();
    for (name, Encryption { cipher, key_status }) in &facts.datasets {
        datasets
            .push_str(&format!("{name}\tencryption\t{cipher}\n{name}\tkeystatus\t{key_status}\n"));
    }
    (pools, datasets.into_bytes())
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(MAX_LINES)
}

fn parse_pools(text: &[u8]) -> Option<BTreeMap<String, Vec<Vdev>>> {
    let mut pools: BTreeMap<String, Vec<Vdev>> = BTreeMap::new();
    let mut pool = None;
    let mut class = Class::Data;
    for line in lines(text) {
        if let Some(vdev) = line.strip_prefix(b"\t") {
            let path = vdev.split(|byte| *byte == b'\t').next()?;
            let pool: &String = pool.as_ref()?;
            // Mirrors and RAID groups have names that are no paths; their members follow.
            if path.iter().all(u8::is_ascii_digit) {
                // A device that is gone is shown by a number, which is the name of none.
                let path = HostPath::from("/dev").join(path);
                pools.entry(pool.clone()).or_default().push(Vdev { path, class });
            } else if path.starts_with(b"/") {
                let vdev = Vdev { path: HostPath::new(path.to_vec()), class };
                pools.entry(pool.clone()).or_default().push(vdev);
            } else if !is_group(path) {
                return None;
            }
        } else if line.contains(&b'\t') && !is_heading(line) {
            let name = line.split(|byte| *byte == b'\t').next()?;
            let name = std::str::from_utf8(name).ok()?.to_owned();
            pools.entry(name.clone()).or_default();
            pool = Some(name);
            class = Class::Data;
        } else {
            let word = line.split(|byte| matches!(byte, b' ' | b'\t')).next()?;
            class = match word {
                b"dedup" | b"special" => Class::Data,
                b"logs" => Class::Log,
                b"cache" => Class::Cache,
                b"spare" => Class::Spare,
                _ => return None,
            };
        }
    }
    Some(pools)
}

/// A class with dashes for its sizes, whatever stands between.
fn is_heading(line: &[u8]) -> bool {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    words.next().is_some() && words.all(|word| word == b"-")
}

/// `mirror-0`, `raidz2-1`, `draid1:4d:6c:1s-0`, `replacing-0`, `spare-1`, `indirect-0`: groups of `zpoolconcepts(7)`.
fn is_group(name: &[u8]) -> bool {
    ["mirror", "raidz", "draid", "replacing", "spare", "indirect"]
        .iter()
        .any(|group| name.starts_with(group.as_bytes()))
}

fn parse_datasets(text: &[u8]) -> Option<BTreeMap<String, Encryption>> {
    let mut datasets: BTreeMap<String, Encryption> = BTreeMap::new();
    for line in lines(text) {
        let line = std::str::from_utf8(line).ok()?;
        let mut fields = line.split('\t');
        let (name, property, value) = (fields.next()?, fields.next()?, fields.next()?);
        let encryption = datasets.entry(name.to_owned()).or_default();
        match property {
            "encryption" => value.clone_into(&mut encryption.cipher),
            "keystatus" => value.clone_into(&mut encryption.key_status),
            _ => {}
        }
    }
    Some(datasets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn classes_and_groups_are_told_apart() {
        let text = b"a\t1\n\traidz1-0\t1\n\t/dev/sda\t1\nspecial  -  -\n\t/dev/sdb\t1\nlogs  -\n\tmirror-2\t1\n\t/dev/sdc\t1\nb\t1\n\t/tank/file\t1\n";
        let pools = parse_pools(text).unwrap();
        let classes: Vec<Class> = pools["a"].iter().map(|vdev| vdev.class).collect();
        assert_eq!(classes, [Class::Data, Class::Data, Class::Log]);
        assert_eq!(pools["b"][0], Vdev { path: "/tank/file".into(), class: Class::Data });
    }

    #[test]
    fn what_is_formatted_is_read_again() {
        let pools = b"a\t1\n\t/dev/sda\t1\nlogs  -\n\t/dev/sdc\t1\nspare  -\n\t/dev/sdd\t1\nb\t1\n\t/f\t1\n";
        let datasets = b"a\tencryption\toff\na\tkeystatus\t-\na/b\tencryption\taes-128-ccm\na/b\tkeystatus\tavailable\n";
        let facts = parse(pools, datasets).unwrap();
        let (pools, datasets) = format(&facts);
        assert_eq!(parse(&pools, &datasets), Some(facts));
    }

    #[test]
    fn a_heading_is_one_with_tabs_too_and_a_device_that_is_gone_spoils_its_pool_only() {
        let text = b"a\t1\n\t/dev/sda\t1\nlogs\t-\t-\n\t/dev/sdb\t1\nb\t1\n\t1234567890\t-\n";
        let pools = parse_pools(text).unwrap();
        assert_eq!(pools.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(pools["a"][1].class, Class::Log);
        assert_eq!(pools["b"][0].path, "/dev/1234567890".into());
    }

    #[test]
    fn a_line_that_makes_no_sense_spoils_the_answer() {
        assert_eq!(parse_pools(b"\t/dev/sda\t1\n"), None);
        assert_eq!(parse_pools(b"a\t1\n\tsda\t1\n"), None);
        assert_eq!(parse_pools(b"a\t1\nfuture  -\n"), None);
        assert_eq!(parse_datasets(b"tank encryption off\n"), None);
    }

    #[test]
    fn only_a_known_suite_with_its_key_works() {
        let is_working = |cipher: &str, key_status: &str| {
            Encryption { cipher: cipher.to_owned(), key_status: key_status.to_owned() }.is_working()
        };
        assert!(is_working("aes-256-gcm", "available"));
        assert!(!is_working("aes-256-gcm", "unavailable"));
        assert!(!is_working("off", "available"));
        assert!(!is_working("rot13", "available"));
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(
            pools in proptest::collection::vec(any::<u8>(), 0..200),
            datasets in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _facts = parse(&pools, &datasets);
        }
    }
}
