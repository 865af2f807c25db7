//! Every scenario of the tier, one file for each family.

mod ask;
mod bcache;
mod ecryptfs;
mod filesystems;
mod fscrypt;
mod hang;
mod layers;
mod loops;
mod luks;
mod lvm;
mod md;
mod mounts;
mod network;
mod plain;
mod processes;
mod services;
mod swap;
mod targets;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use atrest_tests::vm::scenario::Scenario;

const FAMILIES: &[&[Scenario]] = &[
    plain::ALL,
    luks::ALL,
    lvm::ALL,
    md::ALL,
    layers::ALL,
    targets::ALL,
    loops::ALL,
    mounts::ALL,
    swap::ALL,
    processes::ALL,
    services::ALL,
    network::ALL,
    hang::ALL,
    bcache::ALL,
    filesystems::ALL,
    fscrypt::ALL,
    ecryptfs::ALL,
    ask::ALL,
];

/// The scenarios whose name holds one of the words, or all of them without a word.
pub(crate) fn matching(words: &[String]) -> Result<Vec<&'static Scenario>> {
    let mut names = BTreeSet::new();
    for scenario in FAMILIES.iter().copied().flatten() {
        ensure!(names.insert(scenario.name), "two scenarios are called {}", scenario.name);
    }
    let wanted = |scenario: &&Scenario| {
        words.is_empty() || words.iter().any(|word| scenario.name.contains(word.as_str()))
    };
    let chosen: Vec<_> = FAMILIES.iter().copied().flatten().filter(wanted).collect();
    Ok(chosen)
}
