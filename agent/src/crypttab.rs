//! `/etc/crypttab`: which volumes are opened at boot, and with which keys. See `crypttab(5)` of systemd and of Debian.
//!
//! Only what has a place in these types is kept; other options may hold anything. It is intent, never proof.

use serde::{Deserialize, Serialize};

use crate::boot::source::{Source, escape};
use crate::mounts::unescape;
use crate::path::HostPath;

/// The file as it was understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub entries: Vec<Entry>,
    /// Lines that were not understood, or not whole.
    pub odd: Vec<OddLine>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1.
    pub line: usize,
    /// The name below `/dev/mapper`.
    pub name: String,
    pub device: Source,
    pub key: Key,
    pub options: Options,
}

/// The third field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    /// `none`, `-` or nothing: somebody is asked, or a token or a default key file opens it.
    Unnamed,
    /// A new random key each time, so nothing rests.
    Random(HostPath),
    /// `on` names the device on whose file system the file lies, when it is another one.
    File { path: HostPath, on: Option<Source> },
    /// Something else, such as an argument for a key script. It is not kept.
    Other,
}

/// Options with a value that is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Known words without a value, as [`FLAGS`] has them, sorted.
    pub flags: Vec<String>,
    pub header: Option<HostPath>,
    /// The device on whose file system the header lies, when it is another one.
    pub header_on: Option<Source>,
    /// The program that gives the key.
    pub keyscript: Option<HostPath>,
    /// In bytes.
    pub keyfile_offset: Option<u64>,
}

/// A line with something wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OddLine {
    /// From 1.
    pub line: usize,
    pub why: Oddity,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Oddity {
    /// It has fewer fields than the format demands, so there is no entry.
    TooFew,
    /// It has more fields than the format knows; the rest was left out.
    TooMany,
}

impl std::fmt::Display for Oddity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooFew => "it has too few fields, so that it opens nothing",
            Self::TooMany => {
                "it has too many fields, and what follows the last known one is ignored"
            }
        })
    }
}

/// Options without a value, or whose value does not matter here. Nothing else is kept.
const FLAGS: &[&str] = &[
    "_netdev",
    "discard",
    "fido2-device",
    "initramfs",
    "luks",
    "noauto",
    "nofail",
    "noearly",
    "pkcs11-uri",
    "plain",
    "read-only",
    "readonly",
    "swap",
    "tcrypt",
    "bitlk",
    "tmp",
    "tpm2-device",
    "x-initrd.attach",
];

impl Options {
    /// Whether the word `flag` is there.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|found| found == flag)
    }
}

/// Reads the whole file. Never fails: lines that make no sense are among [`Table::odd`].
pub fn parse(text: &[u8]) -> Table {
    let mut table = Table::default();
    for (line, fields) in lines(text) {
        let mut fields = fields.into_iter();
        let (Some(name), Some(device)) = (fields.next(), fields.next()) else {
            table.odd.push(OddLine { line, why: Oddity::TooFew });
            continue;
        };
        let key = key(&unescape(fields.next().unwrap_or_default()));
        let options = options(fields.next().unwrap_or_default());
        if fields.next().is_some() {
            table.odd.push(OddLine { line, why: Oddity::TooMany });
        }
        let name = String::from_utf8_lossy(&unescape(name)).into_owned();
        let device = Source::parse(&unescape(device));
        table.entries.push(Entry { line, name, device, key, options });
    }
    table
}

/// The lines that are neither blank nor a comment, with their number from 1, cut into fields.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, Vec<&[u8]>)> {
    text.split(|byte| *byte == b'\n').enumerate().filter_map(|(index, line)| {
        let fields: Vec<&[u8]> =
            line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
        let first = fields.first()?;
        (!first.starts_with(b"#")).then(|| (index + 1, fields))
    })
}

fn key(field: &[u8]) -> Key {
    match field {
        b"" | b"none" | b"-" => Key::Unnamed,
        b"/dev/urandom" | b"/dev/random" | b"/dev/hwrng" | b"/dev/hw_random" => {
            Key::Random(HostPath::new(field))
        }
        _ => {
            let (path, on) = on_device(field);
            match path {
                Some(path) => Key::File { path, on },
                None => Key::Other,
            }
        }
    }
}

/// `PATH` or `PATH:DEVICE`. A colon that no device follows belongs to the path.
pub(crate) fn on_device(field: &[u8]) -> (Option<HostPath>, Option<Source>) {
    let absolute = |path: &[u8]| path.starts_with(b"/").then(|| HostPath::new(path));
    if let Some(colon) = field.iter().rposition(|byte| *byte == b':')
        && let Some((path, device)) = field.split_at_checked(colon)
    {
        let device = Source::parse(device.get(1..).unwrap_or_default());
        if device != Source::Other && path.starts_with(b"/") {
            return (absolute(path), Some(device));
        }
    }
    (absolute(field), None)
}

fn options(field: &[u8]) -> Options {
    let mut options = Options::default();
    let field = unescape(field);
    for option in field.split(|byte| *byte == b',') {
        let (name, value) = match option.iter().position(|byte| *byte == b'=') {
            Some(at) => (option.get(..at), option.get(at + 1..)),
            None => (Some(option), None),
        };
        let (name, value) = (name.unwrap_or_default(), value.unwrap_or_default());
        match name {
            b"header" => (options.header, options.header_on) = on_device(value),
            b"keyscript" => options.keyscript = Some(HostPath::new(value)),
            b"keyfile-offset" => {
                options.keyfile_offset =
                    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            }
            _ => {
                let known = FLAGS.iter().find(|flag| flag.as_bytes() == name);
                options.flags.extend(known.map(|flag| (*flag).to_owned()));
            }
        }
    }
    options.flags.sort_unstable();
    options.flags.dedup();
    options
}

/// A crypttab with what `table` holds and nothing else, each entry on its own line number.
pub fn format(table: &Table) -> Vec<u8> {
    let rows = table.entries.iter().map(|entry| (entry.line, row(entry)));
    numbered(rows, &table.odd)
}

/// Puts rows onto their lines. An odd line is marked so that it is odd again when it is read.
pub(crate) fn numbered(rows: impl Iterator<Item = (usize, Vec<u8>)>, odd: &[OddLine]) -> Vec<u8> {
    let mut lines: std::collections::BTreeMap<usize, Vec<u8>> = rows.collect();
    for OddLine { line, why } in odd {
        let at = lines.entry(*line).or_default();
        at.extend_from_slice(match why {
            Oddity::TooFew => b"?",
            Oddity::TooMany => b" ?",
        });
    }
    let mut text = Vec::new();
    let mut at = 1;
    for (line, row) in lines {
        text.extend(std::iter::repeat_n(b'\n', line.saturating_sub(at)));
        at = line;
        text.extend(row);
    }
    text.push(b'\n');
    text
}

fn row(entry: &Entry) -> Vec<u8> {
    let key = match &entry.key {
        Key::Unnamed => b"none".to_vec(),
        Key::Random(path) => path.as_bytes().to_vec(),
        Key::File { path, on } => with_device(path, on.as_ref()),
        Key::Other => b"?".to_vec(),
    };
    let options = &entry.options;
    let mut words: Vec<Vec<u8>> =
        options.flags.iter().map(|flag| flag.as_bytes().to_vec()).collect();
    if let Some(header) = &options.header {
        words.push(
            [b"header=", with_device(header, options.header_on.as_ref()).as_slice()].concat(),
        );
    }
    if let Some(script) = &options.keyscript {
        words.push([b"keyscript=", script.as_bytes()].concat());
    }
    if let Some(offset) = options.keyfile_offset {
        words.push(format!("keyfile-offset={offset}").into_bytes());
    }
    let options = if words.is_empty() { b"-".to_vec() } else { words.join(&b","[..]) };
    let fields = [entry.name.as_bytes(), &entry.device.field(), &key, &options];
    fields.map(escape).join(&b' ')
}

fn with_device(path: &HostPath, on: Option<&Source>) -> Vec<u8> {
    let mut field = path.as_bytes().to_vec();
    if let Some(on) = on {
        field.push(b':');
        field.extend(on.field());
    }
    field
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::boot::source::Tag;

    fn one(line: &str) -> Entry {
        let table = parse(line.as_bytes());
        assert!(table.odd.is_empty(), "{table:?}");
        table.entries.into_iter().next().unwrap()
    }

    fn file(path: &str) -> Key {
        Key::File { path: path.into(), on: None }
    }

    #[test]
    fn an_ordinary_line_is_read() {
        let entry = one("es\tUUID=28632274  /etc/keys/es.key luks,discard,nofail,_netdev\n");
        assert_eq!(entry.name, "es");
        assert_eq!(entry.device, Source::Tag { tag: Tag::Uuid, value: "28632274".to_owned() });
        assert_eq!(entry.key, file("/etc/keys/es.key"));
        assert_eq!(entry.options.flags, ["_netdev", "discard", "luks", "nofail"]);
        assert!(entry.options.has("discard") && !entry.options.has("noauto"));
    }

    #[test]
    fn what_is_no_key_file_is_told_apart() {
        for unnamed in ["es /dev/sdb", "es /dev/sdb none", "es /dev/sdb - luks"] {
            assert_eq!(one(unnamed).key, Key::Unnamed, "{unnamed}");
        }
        assert_eq!(one("s /dev/sdc /dev/urandom swap").key, Key::Random("/dev/urandom".into()));
        assert_eq!(one("s /dev/sdc es keyscript=/lib/x").key, Key::Other);
    }

    #[test]
    fn a_key_or_header_on_another_device_is_read() {
        let entry = one("es /dev/sdb /k/es:UUID=12 header=/h.img:/dev/sdc1,keyfile-offset=4096");
        let on = Source::Tag { tag: Tag::Uuid, value: "12".to_owned() };
        assert_eq!(entry.key, Key::File { path: "/k/es".into(), on: Some(on) });
        assert_eq!(entry.options.header, Some("/h.img".into()));
        assert_eq!(entry.options.header_on, Some(Source::Path("/dev/sdc1".into())));
        assert_eq!(entry.options.keyfile_offset, Some(4096));
        assert_eq!(one("es /dev/sdb /k/a:b").key, file("/k/a:b"));
    }

    #[test]
    fn options_that_matter_are_kept_whatever_their_value() {
        let entry = one(
            "es /dev/sdb none tpm2-device=auto,fido2-device=auto,x-initrd.attach,plain,tmp=ext4,swap,noauto",
        );
        for flag in ["tpm2-device", "fido2-device", "x-initrd.attach", "plain", "tmp", "swap"] {
            assert!(entry.options.has(flag), "{flag}");
        }
        assert_eq!(one("e /dev/b k keyscript=/lib/x").options.keyscript, Some("/lib/x".into()));
    }

    #[test]
    fn escapes_comments_and_blank_lines() {
        let table = parse(b"# es /dev/sda\n\n  \t\n  # x\ncr\\0401 /dev/sd\\134x /k\\040ey\r\n");
        assert_eq!(table.entries.len(), 1);
        assert_eq!(table.entries[0].line, 5);
        assert_eq!(table.entries[0].name, "cr 1");
        assert_eq!(table.entries[0].device, Source::Path("/dev/sd\\x".into()));
        assert_eq!(table.entries[0].key, file("/k ey"));
    }

    #[test]
    fn odd_lines_are_told_with_their_number_and_not_lost() {
        let table = parse(b"es\nok /dev/a none luks more\n");
        assert_eq!(
            table.odd,
            [OddLine { line: 1, why: Oddity::TooFew }, OddLine { line: 2, why: Oddity::TooMany }]
        );
        assert_eq!(table.entries.len(), 1);
    }

    #[test]
    fn nothing_but_what_has_a_place_is_written_back() {
        let text = "a /dev/sdb Hunter2 luks,password=Hunter2,pkcs11-uri=pkcs11:pin-value=Hunter2,x-Hunter2\n\
                    Hunter2\nc //me:Hunter2@x none luks Hunter2\n";
        let written = String::from_utf8(format(&parse(text.as_bytes()))).unwrap();
        assert!(!written.contains("Hunter2"), "{written}");
        assert_eq!(parse(written.as_bytes()), parse(text.as_bytes()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_read_is_written(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let table = parse(&bytes);
            let again = parse(&format(&table));
            prop_assert_eq!(&again, &table, "{}", String::from_utf8_lossy(&format(&table)));
        }

        #[test]
        fn text_like_crypttab_survives(
            text in "(([a-z#\\\\0-7]{1,6}|/dev/[a-z]{1,3}|UUID=[0-9a-f]{1,4}|none|-|/k:UUID=1|header=/h|swap,tmp)[ \t\n]){0,20}"
        ) {
            let table = parse(text.as_bytes());
            let again = parse(&format(&table));
            prop_assert_eq!(again, table);
        }
    }
}
