//! Device-mapper table lines: `START LENGTH TARGET ARGS…`, as `dmsetup table` prints them.

use std::collections::BTreeMap;

use crate::snapshot::DmTarget;

/// Overwrites the volume key of a `crypt` line with zeros of the same length, as `dmsetup table` does.
///
/// The second argument of a crypt target is the key in hex, or a reference to the kernel's keyring such as
/// `:64:logon:cryptsetup:…`, which is no secret and stays. See the kernel's
/// `Documentation/admin-guide/device-mapper/dm-crypt.rst`. `integrity` may hold one in its optional arguments
/// (`internal_hash:ALG:KEY`). Of any other target what looks like a key is blanked as well.
pub fn blank_key(kind: &str, arguments: &mut [u8]) {
    match kind {
        "crypt" => {
            let mut words =
                arguments.split_mut(|byte| *byte == b' ').filter(|word| !word.is_empty());
            if let Some(key) = words.nth(1)
                && key.first() != Some(&b':')
                && key != b"-"
            {
                key.fill(b'0');
            }
        }
        "integrity" => {
            for word in arguments.split_mut(|byte| *byte == b' ') {
                let keyed = [&b"internal_hash:"[..], b"journal_crypt:", b"journal_mac:"]
                    .iter()
                    .any(|prefix| word.starts_with(prefix));
                // The third part is the key.
                if keyed && let Some(key) = word.splitn_mut(3, |byte| *byte == b':').nth(2) {
                    key.fill(b'0');
                }
            }
        }
        // Root hashes and salts, which are public.
        "verity" => {}
        // Targets that are not known here, such as `inlinecrypt` and `default-key`, hold their keys in hex.
        _ => {
            for word in arguments.split_mut(|byte| *byte == b' ') {
                if word.len() >= SHORTEST_KEY && word.iter().all(u8::is_ascii_hexdigit) {
                    word.fill(b'0');
                }
            }
        }
    }
}

/// The hex digits of a key of 128 bits: no number or device in a table is as long.
const SHORTEST_KEY: usize = 32;

/// Splits the arguments of a target at blanks.
pub fn split_args(arguments: &[u8]) -> Vec<String> {
    arguments
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// One line without the device's name: `START LENGTH TARGET ARGS…`.
pub fn parse_target(line: &[u8]) -> Option<DmTarget> {
    let mut rest = line;
    let mut word = || {
        let start = rest.iter().position(|byte| *byte != b' ')?;
        let trimmed = rest.get(start..)?;
        let end = trimmed.iter().position(|byte| *byte == b' ').unwrap_or(trimmed.len());
        let (word, after) = trimmed.split_at_checked(end)?;
        rest = after;
        std::str::from_utf8(word).ok()
    };
    let start = word()?.parse().ok()?;
    let length = word()?.parse().ok()?;
    let kind = word()?.to_owned();
    let mut arguments = zeroize::Zeroizing::new(rest.to_vec());
    blank_key(&kind, &mut arguments);
    Some(DmTarget { start, length, kind, args: split_args(&arguments) })
}

/// The tables of all devices, as `dmsetup table` prints them: `NAME: START LENGTH TARGET ARGS…`.
///
/// A name may itself hold `: `, so a line belongs to the longest of `names` that it starts with. A device whose line makes
/// no sense has no table that can be trusted, and neither has that of a last line that is cut short.
pub fn parse_listing(listing: &[u8], names: &[String]) -> BTreeMap<String, Option<Vec<DmTarget>>> {
    let mut spellings = BTreeMap::new();
    for name in names {
        spellings.insert(mangle(name).into_bytes(), name);
    }
    // What `dmsetup` prints for one name may be another name as it is: that one comes first.
    for name in names {
        spellings.insert(name.clone().into_bytes(), name);
    }
    let mut tables: BTreeMap<String, Option<Vec<DmTarget>>> = BTreeMap::new();
    for line in listing.split_inclusive(|byte| *byte == b'\n') {
        let whole = line.strip_suffix(b"\n");
        let line = whole.unwrap_or(line);
        let line = line.trim_ascii_end();
        let Some((name, rest)) = longest_name(line, &spellings) else { continue };
        let target = whole.and_then(|_| parse_target(rest));
        let table = tables.entry(name.clone()).or_insert_with(|| Some(Vec::new()));
        match (table.as_mut(), target) {
            (Some(targets), Some(target)) => targets.push(target),
            (Some(_), None) => *table = None,
            (None, _) => {}
        }
    }
    tables
}

/// The name that a line starts with, and what follows it: a number, else this is a longer name.
fn longest_name<'l, 'n>(
    line: &'l [u8],
    spellings: &BTreeMap<Vec<u8>, &'n String>,
) -> Option<(&'n String, &'l [u8])> {
    let ends = line.windows(2).enumerate().filter(|(_, pair)| *pair == b": ").map(|(at, _)| at);
    // The last is that of the longest name.
    ends.rev().find_map(|at| {
        let (name, rest) = line.split_at_checked(at)?;
        let rest = rest.get(2..)?;
        rest.first().filter(|byte| byte.is_ascii_digit())?;
        Some((*spellings.get(name)?, rest))
    })
}

/// `dmsetup` may print bytes outside its whitelist as `\xNN` (`--manglename hex` or `auto`).
fn mangle(name: &str) -> String {
    let mut mangled = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&byte) {
            mangled.push(char::from(byte));
        } else {
            mangled.push_str(&format!("\\x{byte:02x}"));
        }
    }
    mangled
}

/// Formats a table as `dmsetup table` does, for recordings.
pub fn format_listing(name: &str, targets: &[DmTarget]) -> String {
    let mut text = String::new();
    let name = mangle(name);
    for target in targets {
        let DmTarget { start, length, kind, args } = target;
        text.push_str(&format!("{name}: {start} {length} {kind}"));
        for arg in args {
            text.push(' ');
            text.push_str(arg);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_blanked_and_a_keyring_reference_stays() {
        let line = format!("0 8 crypt aes-xts-plain64 {} 0 8:2 4096", "ab".repeat(32));
        assert_eq!(parse_target(line.as_bytes()).unwrap().args[1], "0".repeat(64));
        let line = "0 8 crypt aes-xts-plain64 :64:logon:cryptsetup:u-d0 0 8:2 4096";
        assert_eq!(parse_target(line.as_bytes()).unwrap().args[1], ":64:logon:cryptsetup:u-d0");
    }

    #[test]
    fn the_keys_of_integrity_targets_are_blanked() {
        let line =
            "0 8 integrity 8:1 0 32 J 2 internal_hash:hmac(sha256):c0ffee journal_mac:x:c0ffee";
        let target = parse_target(line.as_bytes()).unwrap();
        assert!(!format!("{target:?}").contains("c0ffee"));
        assert_eq!(target.args[5], "internal_hash:hmac(sha256):000000");
    }

    fn listed(listing: &[u8], names: &[&str]) -> BTreeMap<String, Option<Vec<DmTarget>>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        parse_listing(listing, &names)
    }

    #[test]
    fn what_looks_like_a_key_of_an_unknown_target_is_blanked() {
        let key = "c0ffee".repeat(8);
        let line = format!("0 8 inlinecrypt aes-xts-plain64 {key} 0 8:1 0");
        assert_eq!(parse_target(line.as_bytes()).unwrap().args[1], "0".repeat(48));
        let line = format!("0 8 verity 1 8:1 8:2 4096 4096 1 1 sha256 {key} -");
        assert_eq!(parse_target(line.as_bytes()).unwrap().args[8], key);
    }

    #[test]
    fn names_with_blanks_and_colons_find_their_own_lines() {
        let listing =
            b"cr #1: 0 8 linear 8:1 0\ncr #1: 0 9 x: 0 7 linear 8:2 0\na\\x20b: 0 5 zero\n";
        let tables = listed(listing, &["a b", "cr #1", "cr #1: 0 9 x", "nobody"]);
        let kind = |name: &str| tables[name].as_ref().unwrap()[0].kind.clone();
        assert_eq!(kind("a b"), "zero");
        assert_eq!(kind("cr #1"), "linear");
        assert_eq!(tables["cr #1: 0 9 x"].as_ref().unwrap()[0].args[0], "8:2");
        assert_eq!(tables.get("nobody"), None);
    }

    #[test]
    fn a_line_that_is_cut_short_or_makes_no_sense_spoils_its_table() {
        let tables =
            listed(b"a: 0 8 linear 8:1 0\na: x\nb: 0 8 linear 8:1 0\nb: 8 ?\n", &["a", "b"]);
        assert_eq!(tables["b"], None);
        assert_eq!(listed(b"a: 0 8 linear 8:1 0", &["a"])["a"], None);
    }

    #[test]
    fn how_a_line_ends_is_no_part_of_its_last_argument() {
        for end in ["\r", " ", "\r \r", "\t"] {
            let listing = format!("x: 0 8 linear 8:1 0{end}\n");
            assert_eq!(
                listed(listing.as_bytes(), &["x"])["x"].as_ref().unwrap()[0].args,
                ["8:1", "0"]
            );
        }
    }

    #[test]
    fn a_listing_round_trips() {
        let listing = "vg-lv: 0 10 linear 8:1 2048\nvg-lv: 10 5 linear 8:2 0\n";
        let targets = listed(listing.as_bytes(), &["vg-lv"])["vg-lv"].clone().unwrap();
        assert_eq!(format_listing("vg-lv", &targets), listing);
        let spoof = "x: 0 8 crypt aes 00 0 8:1 0";
        let written = format_listing(spoof, &targets);
        let tables = listed(written.as_bytes(), &["x", spoof]);
        assert_eq!((tables.get("x"), tables[spoof].as_ref()), (None, Some(&targets)));
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _target = parse_target(&line);
            let _listing = parse_listing(&line, &["x".to_owned()]);
        }
    }
}
