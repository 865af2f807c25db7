//! LUKS headers read through the real child: made by hand, and by cryptsetup where it is installed.
//!
//! Needs neither root nor devices: libcryptsetup parses a file as well.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test: it fails by panicking, reads its own files and starts cryptsetup"
)]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use atrest_agent::host::luks_reader::{Helper, read_with};
use atrest_agent::luks::{Header, Kdf};
use atrest_agent::snapshot::{Observed, Trouble};
use atrest_proto::model::Reason;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

fn helper() -> Helper {
    Helper::at(env!("CARGO_BIN_EXE_atrest-agent"))
}

/// Reads the header of an image, and makes sure that not a byte of the image changes.
fn read(image: &[u8], size: u64) -> Observed<Header> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    fs::write(&path, image).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
    let before = state(&path);
    let header = read_with(&helper(), || File::open(&path), size);
    assert!(before == state(&path), "the image was changed");
    header
}

/// What any write to a file changes, and the bytes where its header is.
fn state(path: &Path) -> (i64, i64, u64, Vec<u8>) {
    let file = File::open(path).unwrap();
    let metadata = file.metadata().unwrap();
    let mut start = vec![0; 0x1_0000.min(usize::try_from(metadata.len()).unwrap())];
    file.read_exact_at(&mut start, 0).unwrap();
    (metadata.mtime(), metadata.mtime_nsec(), metadata.blocks(), start)
}

fn known(observed: Observed<Header>) -> Header {
    match observed {
        Observed::Known(header) => header,
        other => panic!("{other:?}"),
    }
}

fn refused(observed: Observed<Header>) -> Trouble {
    match observed {
        Observed::Unreadable(trouble) => trouble,
        other => panic!("{other:?}"),
    }
}

const UUID: &str = "28632274-8c8a-493f-835b-da802e1c576b";
const MIB: u64 = 1 << 20;

/// A LUKS1 header with a key in slot 5 only. Salts and digests are not real.
fn luks1() -> Vec<u8> {
    let mut bytes = vec![0; 592];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"LUKS\xba\xbe\0\x01");
    put(8, b"aes");
    put(40, b"xts-plain64");
    put(72, b"sha256");
    put(104, &4096_u32.to_be_bytes());
    put(108, &64_u32.to_be_bytes());
    put(112, &[0x5a; 20]);
    put(164, &150_000_u32.to_be_bytes());
    put(168, UUID.as_bytes());
    for slot in 0..8_usize {
        let at = 208 + slot * 48;
        let state: u32 = if slot == 5 { 0x00ac_71f3 } else { 0x0000_dead };
        put(at, &state.to_be_bytes());
        put(at + 4, &if slot == 5 { 1_234_567_u32 } else { 0 }.to_be_bytes());
        put(at + 40, &(8 + u32::try_from(slot).unwrap() * 504).to_be_bytes());
        put(at + 44, &4000_u32.to_be_bytes());
    }
    bytes
}

const METADATA: &str = r#"{"keyslots":{"5":{"type":"luks2","key_size":64,"af":{"type":"luks1","stripes":4000,"hash":"sha256"},"area":{"type":"raw","offset":"32768","size":"258048","encryption":"aes-xts-plain64","key_size":64},"kdf":{"type":"argon2id","time":4,"memory":1048576,"cpus":4,"salt":"z6vz4xK7cjan92rDA5JF8O6Jk2HouV0O8DMB6GlztVk="}}},"tokens":{"0":{"type":"systemd-tpm2","keyslots":["5"],"tpm2-blob":"c2VjcmV0"}},"segments":{"0":{"type":"crypt","offset":"16777216","size":"dynamic","iv_tweak":"0","encryption":"aes-xts-plain64","sector_size":512}},"digests":{"0":{"type":"pbkdf2","keyslots":["5"],"segments":["0"],"hash":"sha256","iterations":1000,"salt":"G8gqtKhS96IbogHyJLO+t9kmjLkx+DM3HHJqQtgc2Dk=","digest":"C9JWko5m+oYmjg6R0t/98cGGzLr/4UaG3hImSJMivfc="}},"config":{"json_size":"12288","keyslots_size":"16744448"}}"#;

/// Both copies of a LUKS2 header of the smallest size.
fn luks2(metadata: &str) -> Vec<u8> {
    let mut bytes = vec![0; 0x8000];
    for (at, magic) in [(0, b"LUKS\xba\xbe"), (0x4000, b"SKUL\xba\xbe")] {
        let copy = &mut bytes[at..at + 0x4000];
        let mut put = |at: usize, value: &[u8]| copy[at..at + value.len()].copy_from_slice(value);
        put(0, magic);
        put(6, &2_u16.to_be_bytes());
        put(8, &0x4000_u64.to_be_bytes());
        put(16, &3_u64.to_be_bytes());
        put(24, b"es-data");
        put(72, b"sha256");
        put(104, &[0x5a; 64]);
        put(168, UUID.as_bytes());
        put(256, &u64::try_from(at).unwrap().to_be_bytes());
        put(4096, metadata.as_bytes());
        let checksum = Sha256::digest(&*copy);
        copy[448..480].copy_from_slice(&checksum);
    }
    bytes
}

#[test]
fn luks1_is_read_and_says_luks1() {
    let header = known(read(&luks1(), 8 * MIB));
    assert_eq!((header.version, header.uuid.as_str()), (1, UUID));
    assert_eq!((header.cipher.as_str(), header.key_bits), ("aes-xts-plain64", Some(512)));
    let [slot] = header.keyslots.as_slice() else { panic!("{header:?}") };
    assert_eq!((slot.number, slot.kind.as_str()), (5, "luks1"));
    assert_eq!(slot.kdf, Some(Kdf::Pbkdf2 { hash: "sha256".to_owned(), iterations: 1_234_567 }));
}

#[test]
fn luks2_is_read_with_its_names_and_without_its_secrets() {
    let header = known(read(&luks2(METADATA), 32 * MIB));
    assert_eq!((header.version, header.uuid.as_str(), header.label.as_str()), (2, UUID, "es-data"));
    assert_eq!(header.keyslots[0].number, 5);
    assert_eq!(header.tokens[0].kind, "systemd-tpm2");
    assert!(header.damaged.is_empty());
    let json = serde_json::to_string(&header).unwrap();
    for secret in ["c2VjcmV0", "z6vz4x", "G8gqtK", "C9JWko"] {
        assert!(!json.contains(secret));
    }
}

#[test]
fn a_device_of_many_terabytes_costs_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    fs::write(&path, luks2(METADATA)).unwrap();
    let header = known(read_with(&helper(), || File::open(&path), 1 << 50));
    assert_eq!(header.version, 2);
}

#[test]
fn one_damaged_copy_is_told_and_the_other_believed() {
    for (at, name) in
        [(4200, "primary"), (0x4000 + 4200, "secondary"), (0, "primary"), (0x4000, "secondary")]
    {
        let mut image = luks2(METADATA);
        image[at] ^= 0xff;
        let header = known(read(&image, 32 * MIB));
        assert_eq!(header.damaged, [name], "byte {at}");
        assert_eq!((header.uuid.as_str(), header.keyslots.len()), (UUID, 1));
    }
}

#[test]
fn two_damaged_copies_are_refused_with_a_reason() {
    let mut image = luks2(METADATA);
    image[4200] ^= 0xff;
    image[0x4000 + 4200] ^= 0xff;
    let trouble = refused(read(&image, 32 * MIB));
    assert_eq!(trouble.reason, Reason::Unreadable);
    assert!(trouble.detail.contains("libcryptsetup refuses"), "{trouble}");
}

#[test]
fn metadata_that_lies_under_a_right_checksum_is_refused_with_a_reason() {
    for (from, to, reason) in [
        (r#""digests":{"0""#, r#""digests":{"x""#, "libcryptsetup refuses"),
        (r#""offset":"32768""#, r#""offset":"8192""#, "area"),
        (r#""offset":"16777216""#, r#""offset":"-42""#, "-42"),
        (r#"{"keyslots":"#, r#"["keyslots":"#, "libcryptsetup refuses"),
    ] {
        assert!(METADATA.contains(from));
        let trouble = refused(read(&luks2(&METADATA.replacen(from, to, 1)), 32 * MIB));
        assert!(trouble.detail.contains(reason), "{trouble}");
    }
}

#[test]
fn what_is_not_luks_is_absent() {
    for image in [Vec::new(), vec![0; 4096], b"XFSB".to_vec(), b"LUKS".to_vec(), vec![0xff; 65_536]]
    {
        assert_eq!(read(&image, u64::try_from(image.len()).unwrap()), Observed::Absent);
    }
    let mut version = luks1();
    version[7] = 9;
    assert!(refused(read(&version, MIB)).detail.contains("version 9"));
}

#[test]
fn a_device_that_cannot_be_opened_says_why() {
    let missing = || File::open("/nonexistent/device");
    assert_eq!(refused(read_with(&helper(), missing, MIB)).reason, Reason::NotFound);
    let denied = || Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
    assert_eq!(refused(read_with(&helper(), denied, MIB)).reason, Reason::NoPermission);
}

/// A program that answers like no child of the agent.
fn impostor(script: &str) -> (TempDir, Helper) {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("impostor");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (directory, Helper::at(path))
}

#[test]
fn a_child_that_hangs_babbles_or_dies_is_an_answer_too() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    fs::write(&image, luks1()).unwrap();
    for (script, reason, part) in [
        ("exec sleep 60", Reason::Timeout, "longer than"),
        ("exec yes", Reason::Unreadable, "more than a header"),
        ("exit 3", Reason::Unreadable, "3"),
        ("echo nonsense", Reason::Unreadable, "senseless"),
        ("kill -KILL $$", Reason::Unreadable, "9"),
    ] {
        let (_directory, helper) = impostor(script);
        let started = Instant::now();
        let trouble = refused(read_with(&helper, || File::open(&image), 8 * MIB));
        assert_eq!(trouble.reason, reason, "{script}: {trouble}");
        assert!(trouble.detail.contains(part), "{script}: {trouble}");
        assert!(started.elapsed() < Duration::from_secs(8), "{script}");
    }
}

proptest! {
    // Each case is a process; the parsers on our own side have their own thousands of cases.
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_header_hangs_or_goes_unanswered(
        is_luks1 in any::<bool>(),
        changes in proptest::collection::vec((0_usize..0x8000, any::<u8>()), 1..6),
        reseal in any::<bool>(),
    ) {
        let mut image = if is_luks1 { luks1() } else { luks2(METADATA) };
        let length = image.len();
        for (at, value) in changes {
            // Most of the area is padding: aim at what is not.
            let at = if is_luks1 { at % 592 } else { (at % 0x4000).min(4096 + METADATA.len()) + (at / 0x4000) * 0x4000 };
            image[at % length] = value;
        }
        if reseal && !is_luks1 {
            for at in [0, 0x4000] {
                image[at + 448..at + 512].fill(0);
                let checksum = Sha256::digest(&image[at..at + 0x4000]);
                image[at + 448..at + 480].copy_from_slice(&checksum);
            }
        }
        let started = Instant::now();
        let observed = read(&image, 32 * MIB);
        prop_assert!(started.elapsed() < Duration::from_secs(8));
        if let Some(trouble) = observed.trouble() {
            prop_assert_ne!(trouble.reason, Reason::Timeout);
            prop_assert!(!trouble.detail.contains("no answer"), "{}", trouble);
        }
    }
}

/// cryptsetup, when it is installed. Tests with it say that they were skipped otherwise.
static CRYPTSETUP: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let found = ["/usr/sbin/cryptsetup", "/sbin/cryptsetup"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists());
    if found.is_none() {
        println!("skipped: cryptsetup is not installed");
    }
    found
});

fn cryptsetup(program: &Path, image: &Path, action: &[&str]) {
    let mut child = Command::new(program)
        .args(["--batch-mode", "--key-file", "-"])
        .args(action)
        .arg(image)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"not a secret").unwrap();
    assert!(child.wait().unwrap().success(), "cryptsetup {action:?}");
}

#[test]
fn what_cryptsetup_makes_is_read() {
    let Some(program) = CRYPTSETUP.as_deref() else { return };
    let directory = tempfile::tempdir().unwrap();
    for (options, version, kdf) in [
        (
            ["--type=luks1", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", "--hash=sha512"],
            1,
            "sha512",
        ),
        (
            ["--type=luks2", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", "--hash=sha512"],
            2,
            "sha512",
        ),
    ] {
        let image = directory.path().join(format!("luks{version}"));
        File::create(&image).unwrap().set_len(32 * MIB).unwrap();
        let mut action =
            vec!["luksFormat", "--key-size=512", "--cipher=aes-xts-plain64", "--key-slot=5"];
        action.extend(options);
        cryptsetup(program, &image, &action);
        let before = fs::read(&image).unwrap();
        let header = known(read_with(&helper(), || File::open(&image), 32 * MIB));
        assert!(before == fs::read(&image).unwrap(), "the image was changed");
        assert_eq!((header.version, header.cipher.as_str()), (version, "aes-xts-plain64"));
        assert_eq!(header.key_bits, Some(512));
        assert_eq!(header.keyslots.iter().map(|slot| slot.number).collect::<Vec<_>>(), [5]);
        assert_eq!(
            header.keyslots[0].kdf,
            Some(Kdf::Pbkdf2 { hash: kdf.to_owned(), iterations: 1000 })
        );
        assert!(!header.keyslots[0].unbound);
        // The start of the copy, never of the image, was repaired: overwrite the first header and look again.
        let file = File::options().write(true).open(&image).unwrap();
        file.write_all_at(&[0; 4096], 0).unwrap();
        let again = read_with(&helper(), || File::open(&image), 32 * MIB);
        if version == 1 {
            assert_eq!(again, Observed::Absent);
        } else {
            assert_eq!(known(again).damaged, ["primary"]);
        }
    }
}
