//! Every fuzz target on its committed seeds and a bounded number of mutations of them: the same ones each time.
//!
//! libFuzzer goes on from the same seeds with `make fuzz`. `ATREST_BLESS=1` writes the files that a new line in
//! `fuzzing::TARGETS` asks for.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test: it fails by panicking, and reads and writes its own files"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use atrest_agent::fuzzing::{TARGETS, run};

/// Mutations of each target, so that all of them together take a few seconds.
const MUTATIONS: usize = 8000;
/// Larger seeds are cut to this before they are mutated.
const LARGEST: usize = 4096;

fn crate_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz")
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = crate_directory().join("corpus").join(target);
    names(&directory).iter().map(|name| fs::read(directory.join(name)).unwrap()).collect()
}

/// The generator of Steele, Lea and Flood ("Fast splittable pseudorandom number generators", 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// Words that parsers stumble over, as libFuzzer's dictionaries have them.
    fn word(&mut self) -> Vec<u8> {
        let number = self.next();
        match self.below(8) {
            0 => vec![0xff; 4],
            1 => vec![0; 8],
            2 => number.to_le_bytes().to_vec(),
            3 => b"18446744073709551616".to_vec(),
            4 => b"\\134".to_vec(),
            5 => b" \n\t:,/="[self.below(7)..].to_vec(),
            6 => "\u{feff}\u{80}".as_bytes().to_vec(),
            _ => vec![number.to_le_bytes()[0]],
        }
    }

    fn mutated(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = seed[..seed.len().min(LARGEST)].to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                2 if at < bytes.len() => {
                    let end = (at + 1 + self.below(16)).min(bytes.len());
                    drop(bytes.drain(at..end));
                }
                3 => {
                    let from = self.below(other.len());
                    let piece = &other[from..other.len().min(from + 64)];
                    drop(bytes.splice(at..at, piece.iter().copied()));
                }
                _ => {
                    let word = self.word();
                    let end =
                        if self.below(2) == 0 { at } else { bytes.len().min(at + word.len()) };
                    drop(bytes.splice(at..end, word));
                }
            }
        }
        bytes
    }
}

#[test]
fn every_target_survives_its_seeds_and_mutations_of_them() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name}: no seeds");
        target(&[]);
        for seed in &seeds {
            target(seed);
        }
        let mut chance = SplitMix(0x2026);
        for _ in 0..MUTATIONS {
            let (seed, other) = (chance.below(seeds.len()), chance.below(seeds.len()));
            target(&chance.mutated(&seeds[seed], &seeds[other]));
        }
    }
}

#[test]
fn every_target_has_its_place_in_the_fuzz_crate() {
    let root = crate_directory();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let (head, _) = manifest.split_once("# Below: one for each target.\n").unwrap();
    let mut expected = format!("{head}# Below: one for each target.\n");
    let bless = std::env::var_os("ATREST_BLESS").is_some();
    for (name, _) in TARGETS {
        expected.push_str(&format!(
            "\n[[bin]]\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\ntest = false\ndoc = false\nbench = false\n"
        ));
        let source = format!(
            "#![no_main]\n\nlibfuzzer_sys::fuzz_target!(|bytes: &[u8]| atrest_agent::fuzzing::run(\"{name}\", bytes));\n"
        );
        let path = root.join("fuzz_targets").join(format!("{name}.rs"));
        if bless {
            fs::write(&path, &source).unwrap();
            fs::create_dir_all(root.join("corpus").join(name)).unwrap();
        }
        assert!(
            fs::read_to_string(&path).is_ok_and(|found| found == source),
            "{name}: ATREST_BLESS=1"
        );
    }
    if bless {
        fs::write(root.join("Cargo.toml"), &expected).unwrap();
    }
    assert!(manifest == expected || bless, "tests/fuzz/Cargo.toml: write it with ATREST_BLESS=1");
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "a target is named twice");
    assert_eq!(names(&root.join("corpus")), targets, "a corpus without a target, or without seeds");
    let sources: BTreeSet<String> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&root.join("fuzz_targets")), sources, "a file without a target");
}

#[test]
#[should_panic(expected = "no target is called nothing")]
fn a_target_that_is_not_there_is_no_success() {
    run("nothing", &[]);
}
