//! LUKS2 headers that were made to cost time or memory, or to say two things: the answer comes soon, and costs little.
//!
//! Needs neither root nor cryptsetup: the real child parses files.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test: it fails by panicking and reads its own files"
)]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use atrest_agent::host::luks_reader::{Helper, read_with};
use atrest_agent::luks::{Header, Kdf, MAX_JSON};
use atrest_agent::snapshot::Observed;
use atrest_proto::model::Reason;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const AGENT: &str = env!("CARGO_BIN_EXE_atrest-agent");
const UUID: &str = "28632274-8c8a-493f-835b-da802e1c576b";
const SMALL: usize = 0x4000;
/// The largest header that the format allows.
const LARGE: usize = 0x40_0000;
const MIB: u64 = 1 << 20;
/// What a good header says; `json_size` goes with a header of `size` bytes.
fn metadata(size: usize) -> Value {
    json!({
        "keyslots": {"0": slot(2 * size, 258_048)},
        "tokens": {},
        "segments": {"0": {"type": "crypt", "offset": "33554432", "size": "dynamic", "iv_tweak": "0",
                           "encryption": "aes-xts-plain64", "sector_size": 512}},
        "digests": {"0": {"type": "pbkdf2", "keyslots": ["0"], "segments": ["0"], "hash": "sha256", "iterations": 1000,
                          "salt": "G8gqtKhS96IbogHyJLO+t9kmjLkx+DM3HHJqQtgc2Dk=",
                          "digest": "C9JWko5m+oYmjg6R0t/98cGGzLr/4UaG3hImSJMivfc="}},
        "config": {"json_size": (size - 4096).to_string(), "keyslots_size": "16744448"}
    })
}

fn slot(offset: usize, size: usize) -> Value {
    json!({
        "type": "luks2", "key_size": 64, "af": {"type": "luks1", "stripes": 4000, "hash": "sha256"},
        "area": {"type": "raw", "offset": offset.to_string(), "size": size.to_string(),
                 "encryption": "aes-xts-plain64", "key_size": 64},
        "kdf": {"type": "argon2id", "time": 4, "memory": 1_048_576, "cpus": 4,
                "salt": "z6vz4xK7cjan92rDA5JF8O6Jk2HouV0O8DMB6GlztVk="}
    })
}

/// One copy of a header, with its right checksum, whatever it says.
fn copy(size: usize, is_second: bool, sequence: u64, label: &str, text: &str) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, if is_second { b"SKUL\xba\xbe" } else { b"LUKS\xba\xbe" });
    put(6, &2_u16.to_be_bytes());
    put(8, &u64::try_from(size).unwrap().to_be_bytes());
    put(16, &sequence.to_be_bytes());
    put(24, label.as_bytes());
    put(72, b"sha256");
    put(168, UUID.as_bytes());
    put(256, &if is_second { u64::try_from(size).unwrap() } else { 0 }.to_be_bytes());
    put(4096, &text.as_bytes()[..text.len().min(size - 4096 - 1)]);
    let checksum = Sha256::digest(&bytes);
    bytes[448..480].copy_from_slice(&checksum);
    bytes
}

fn both(size: usize, text: &str) -> Vec<u8> {
    [copy(size, false, 3, "es", text), copy(size, true, 3, "es", text)].concat()
}

fn ask(path: &Path, size: u64, helper: &Helper) -> Observed<Header> {
    let started = Instant::now();
    let answer = read_with(helper, || File::open(path), size);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    if let Observed::Known(header) = &answer {
        assert!(serde_json::to_vec(header).unwrap().len() < MAX_JSON);
    }
    answer
}

/// Reads an image of which nothing may change.
fn read(image: &[u8], size: u64) -> Observed<Header> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    fs::write(&path, image).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(size).unwrap();
    let answer = ask(&path, size, &Helper::at(AGENT));
    assert!(
        fs::read(&path).unwrap()[..image.len().min(usize::try_from(size).unwrap())]
            == image[..image.len().min(usize::try_from(size).unwrap())],
        "the image was changed"
    );
    answer
}

fn known(answer: Observed<Header>) -> Header {
    match answer {
        Observed::Known(header) => header,
        other => panic!("{other:?}"),
    }
}

/// The reason of a refusal, which is the child's own and no time-out.
fn refused(answer: Observed<Header>) -> String {
    match answer {
        Observed::Unreadable(trouble) => {
            assert_eq!(trouble.reason, Reason::Unreadable, "{trouble}");
            assert!(!trouble.detail.contains("no answer"), "{trouble}");
            trouble.detail
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_largest_header_is_read_like_the_smallest() {
    for size in [SMALL, LARGE] {
        let header = known(read(&both(size, &metadata(size).to_string()), 64 * MIB));
        assert_eq!((header.label.as_str(), header.keyslots.len()), ("es", 1));
        assert!(header.damaged.is_empty());
    }
}

#[test]
fn a_json_area_filled_with_nesting_or_members_is_refused() {
    let room = LARGE - 4096 - 64;
    let many = |one: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for number in 0.. {
            let next = one(number);
            if text.len() + next.len() > room {
                break;
            }
            text.push_str(&next);
        }
        text
    };
    let slots = many(&|number| format!("\"{number}\":{{}},"));
    assert!(slots.matches(':').count() > 300_000);
    let whole_slots = many(&|number| format!("\"{number}\":{},", slot(0x8000, 4096)));
    let trimmed = |members: &str| members.trim_end_matches(',').to_owned();
    for (what, text) in [
        ("arrays", "[".repeat(room)),
        ("objects", "{\"a\":".repeat(room / 5)),
        (
            "closed arrays",
            format!("{{\"keyslots\":{}{}}}", "[".repeat(room / 2 - 8), "]".repeat(room / 2 - 8)),
        ),
        // Each costs json-c hundreds of bytes, which is the most that 4 MiB can be made to take.
        ("empty objects", format!("{{\"a\":[{}{{}}]}}", "{},".repeat(room / 3 - 10))),
        ("members", format!("{{\"keyslots\":{{{}}}}}", trimmed(&slots))),
        ("keyslots", format!("{{\"keyslots\":{{{}}}}}", trimmed(&whole_slots))),
        ("one name", format!("{{\"{}\":1}}", "a".repeat(room - 8))),
        ("one number", format!("{{\"keyslots\":{}}}", "9".repeat(room - 16))),
        ("blanks", " ".repeat(room)),
        ("escapes", format!("{{\"{}\":1}}", "\\u0000".repeat(room / 6 - 2))),
    ] {
        // By libcryptsetup, or by the child's own bounds of memory and time where the machine is slow.
        let answer = read(&both(LARGE, &text), 64 * MIB);
        assert!(answer.trouble().is_some(), "{what}: {answer:?}");
    }
}

#[test]
fn more_keyslots_than_the_format_has_are_refused() {
    let mut hostile = metadata(LARGE);
    for number in 0..500 {
        hostile["keyslots"][number.to_string()] = slot(2 * LARGE + number * 258_048, 258_048);
    }
    refused(read(&both(LARGE, &hostile.to_string()), 1 << 30));
}

#[test]
fn argon2_of_terabytes_is_told_and_not_computed() {
    let mut hostile = metadata(SMALL);
    let kdf = &mut hostile["keyslots"]["0"]["kdf"];
    kdf["memory"] = json!(i32::MAX);
    kdf["time"] = json!(i32::MAX);
    kdf["cpus"] = json!(i32::MAX);
    let started = Instant::now();
    let header = known(read(&both(SMALL, &hostile.to_string()), 64 * MIB));
    assert!(started.elapsed() < Duration::from_secs(3));
    let most = u32::try_from(i32::MAX).unwrap();
    let variant = "argon2id".to_owned();
    assert_eq!(
        header.keyslots[0].kdf,
        Some(Kdf::Argon2 { variant, time: most, memory_kib: most, cpus: most })
    );
}

/// Whether it is refused or not is libcryptsetup's to say; what is told fits its place, and it is told soon.
#[test]
fn numbers_of_any_size_are_answered() {
    let numbers = ["-1", "4294967296", "1e999", "99999999999999999999999999"];
    for (slot_field, text) in
        [("time", false), ("memory", false), ("cpus", false), ("offset", true), ("size", true)]
    {
        for number in numbers {
            let mut hostile = metadata(SMALL);
            let field = if text { "area" } else { "kdf" };
            hostile["keyslots"]["0"][field][slot_field] = json!("@");
            let value = if text { format!("\"{number}\"") } else { number.to_owned() };
            let metadata = hostile.to_string().replace("\"@\"", &value);
            match read(&both(SMALL, &metadata), 64 * MIB) {
                Observed::Known(header) => assert_eq!(header.keyslots.len(), 1),
                other => drop(refused(other)),
            }
        }
    }
}

#[test]
fn areas_that_overlap_or_leave_the_device_are_refused() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut hostile = metadata(SMALL);
        change(&mut hostile);
        read(&both(SMALL, &hostile.to_string()), 64 * MIB)
    };
    refused(with(&|hostile| hostile["keyslots"]["1"] = slot(2 * SMALL + 4096, 258_048)));
    refused(with(&|hostile| hostile["keyslots"]["0"] = slot(SMALL, 258_048)));
    refused(with(&|hostile| hostile["keyslots"]["0"] = slot(1 << 50, 258_048)));
    refused(with(&|hostile| hostile["config"]["keyslots_size"] = json!("18446744073709547520")));
    refused(with(&|hostile| hostile["config"]["json_size"] = json!("4190208")));
    // Where the data is has nothing to do with how the keys are kept; whatever it is, it is an answer.
    match with(&|hostile| hostile["segments"]["0"]["offset"] = json!((1_u64 << 50).to_string())) {
        Observed::Known(header) => assert_eq!(header.segments.len(), 1),
        other => drop(refused(other)),
    }
}

#[test]
fn of_two_good_headers_the_newer_is_believed_and_the_other_told() {
    let text = metadata(SMALL).to_string();
    for (first, second, label, damaged) in [
        (3, 4, "second", "primary"),
        (4, 3, "first", "secondary"),
        (0, u64::MAX, "second", "primary"),
        (u64::MAX, 0, "first", "secondary"),
    ] {
        let image =
            [copy(SMALL, false, first, "first", &text), copy(SMALL, true, second, "second", &text)]
                .concat();
        let header = known(read(&image, 64 * MIB));
        assert_eq!(
            (header.label.as_str(), &header.damaged[..]),
            (label, &[damaged.to_owned()][..]),
            "{first} {second}"
        );
    }
}

#[test]
fn a_header_that_claims_more_than_the_device_has_is_answered() {
    let image = both(LARGE, &metadata(LARGE).to_string());
    for size in [0, 6, 512, 4096, 0x4000, 0x40_0000, 0x40_1000, 0x80_0000] {
        match read(&image, size) {
            Observed::Known(header) => assert_eq!(header.version, 2),
            Observed::Absent => assert!(size < 16, "{size}"),
            other @ Observed::Unreadable(_) => drop(refused(other)),
        }
    }
}

/// The agent behind a script that does something first.
fn delayed(directory: &Path, first: &str) -> Helper {
    let path = directory.join("helper");
    fs::write(&path, format!("#!/bin/sh\n{first}\nexec {AGENT} \"$@\"\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Helper::at(path)
}

#[test]
fn a_header_that_is_just_being_written_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let good = directory.path().join("good");
    let text = metadata(SMALL).to_string();
    fs::write(&good, both(SMALL, &text)).unwrap();
    // The first copy is written, the second not yet.
    let half = [copy(SMALL, false, 4, "new", &text), copy(SMALL, true, 3, "es", &text)].concat();
    fs::write(&path, half).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(64 * MIB).unwrap();
    let finish = format!(
        "/bin/dd if={} of={} conv=notrunc bs=16384 2>/dev/null",
        good.display(),
        path.display()
    );
    let header = known(ask(&path, 64 * MIB, &delayed(directory.path(), &finish)));
    assert!(header.damaged.is_empty(), "{header:?}");
    assert_eq!(header.label, "es");
}

#[test]
fn a_header_that_never_rests_is_answered_and_nothing_is_made_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let text = metadata(SMALL).to_string();
    let images = [("one", 5_u64), ("two", 6)].map(|(label, sequence)| {
        [copy(SMALL, false, sequence, label, &text), copy(SMALL, true, sequence, label, &text)]
            .concat()
    });
    fs::write(&path, &images[0]).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(64 * MIB).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for image in images.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // In pieces, so that checksums and contents do not belong together for most of the time.
                for (at, piece) in image.chunks(512).enumerate() {
                    file.write_all_at(piece, u64::try_from(at * 512).unwrap()).unwrap();
                }
            }
        });
        for _ in 0..20 {
            match ask(&path, 64 * MIB, &Helper::at(AGENT)) {
                Observed::Known(header) => {
                    assert!(["one", "two"].contains(&header.label.as_str()), "{header:?}");
                    assert_eq!(header.keyslots.len(), 1);
                }
                other => drop(refused(other)),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}
