//! `/etc/fstab`: what is mounted at boot, and from where. See `fstab(5)`.
//!
//! Options of network file systems hold passwords, and after a comma a password looks like an option: of all options
//! only words that are known here are kept. It is intent, never proof.

use serde::{Deserialize, Serialize};

use crate::boot::source::{Source, escape};
use crate::crypttab::{OddLine, Oddity, lines, numbered};
use crate::mounts::unescape;
use crate::path::HostPath;

/// The file as it was understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub entries: Vec<Entry>,
    /// Lines that were not understood, or not whole.
    pub odd: Vec<OddLine>,
}

/// One mount or swap area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1.
    pub line: usize,
    pub source: Source,
    /// `none` for swap areas.
    pub mount_point: HostPath,
    pub fstype: String,
    /// Known words, as [`FLAGS`] has them, sorted.
    pub flags: Vec<String>,
}

const FLAGS: &[&str] = &[
    "_netdev",
    "bind",
    "noauto",
    "nofail",
    "rbind",
    "ro",
    "x-initrd.mount",
    "x-systemd.automount",
];

impl Entry {
    /// Whether the word `flag` is there.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|found| found == flag)
    }
}

/// Reads the whole file. Never fails: lines that make no sense are among [`Table::odd`].
pub fn parse(text: &[u8]) -> Table {
    /// Source, mount point, type, options, dump, pass.
    const FIELDS: usize = 6;
    let mut table = Table::default();
    for (line, fields) in lines(text) {
        let [source, mount_point, fstype, rest @ ..] = fields.as_slice() else {
            table.odd.push(OddLine { line, why: Oddity::TooFew });
            continue;
        };
        if fields.len() > FIELDS {
            table.odd.push(OddLine { line, why: Oddity::TooMany });
        }
        let options = unescape(rest.first().copied().unwrap_or_default());
        let mut flags: Vec<String> = options
            .split(|byte| *byte == b',')
            .filter_map(|option| FLAGS.iter().find(|flag| flag.as_bytes() == option))
            .map(|flag| (*flag).to_owned())
            .collect();
        flags.sort_unstable();
        flags.dedup();
        table.entries.push(Entry {
            line,
            source: Source::parse(&unescape(source)),
            mount_point: HostPath::new(unescape(mount_point)),
            fstype: String::from_utf8_lossy(&unescape(fstype)).into_owned(),
            flags,
        });
    }
    table
}

/// An fstab with what `table` holds and nothing else, each entry on its own line number.
pub fn format(table: &Table) -> Vec<u8> {
    let rows = table.entries.iter().map(|entry| {
        let flags = entry.flags.join(",");
        let flags = if flags.is_empty() { "defaults" } else { &flags };
        let [source, point, fstype, flags] = [
            entry.source.field().as_slice(),
            entry.mount_point.as_bytes(),
            entry.fstype.as_bytes(),
            flags.as_bytes(),
        ]
        .map(escape);
        (entry.line, [source, point, fstype, flags, b"0".to_vec(), b"0".to_vec()].join(&b' '))
    });
    numbered(rows, &table.odd)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_ordinary_file_is_read() {
        let table = parse(
            b"# <file system> <mount point> ...\n\
              /dev/mapper/es  /srv/es  ext4  defaults,nofail,x-systemd.device-timeout=5  0 2\n\
              /dev/mapper/swap none swap sw 0 0\n\
              UUID=1 /mnt/a\\040b xfs\n",
        );
        assert!(table.odd.is_empty());
        let [es, swap, spaced] = table.entries.as_slice() else { panic!("{table:?}") };
        assert_eq!((es.line, es.source.clone()), (2, Source::Path("/dev/mapper/es".into())));
        assert_eq!((es.mount_point.clone(), es.fstype.as_str()), ("/srv/es".into(), "ext4"));
        assert!(es.has("nofail") && !es.has("noauto"));
        assert_eq!((swap.mount_point.clone(), swap.fstype.as_str()), ("none".into(), "swap"));
        assert_eq!(spaced.mount_point, HostPath::from("/mnt/a b"));
    }

    #[test]
    fn odd_lines_are_told_with_their_number_and_not_lost() {
        let table = parse(b"\n/dev/sda /x\n/dev/sdb /y ext4 defaults 0 0 0\n");
        let odd: Vec<_> = table.odd.iter().map(|odd| (odd.line, odd.why)).collect();
        assert_eq!(odd, [(2, Oddity::TooFew), (3, Oddity::TooMany)]);
        assert_eq!(table.entries.len(), 1);
    }

    #[test]
    fn no_password_is_written_back() {
        let text = "//files/x /mnt cifs user=me,password=a,Hunter2,credentials=/Hunter2,pass=Hunter2 0 0\n\
                    me:Hunter2@files:/x /mnt fuse.sshfs _netdev,Hunter2=1 0 0\n\
                    Hunter2\n/dev/sdb /y ext4 defaults 0 0 Hunter2\n";
        let written = String::from_utf8(format(&parse(text.as_bytes()))).unwrap();
        assert!(!written.contains("Hunter2"), "{written}");
        assert!(!written.contains("files"), "{written}");
        assert_eq!(parse(written.as_bytes()), parse(text.as_bytes()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_read_is_written(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let table = parse(&bytes);
            prop_assert_eq!(parse(&format(&table)), table);
        }

        #[test]
        fn text_like_fstab_survives(
            text in "(([a-z#\\\\0-7]{1,6}|/dev/[a-z]{1,3}|LABEL=[a-f]{1,4}|none|ro,noauto)[ \t\n]){0,24}"
        ) {
            let table = parse(text.as_bytes());
            prop_assert_eq!(parse(&format(&table)), table);
        }
    }
}
