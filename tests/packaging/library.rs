//! What the agent needs of libcryptsetup: only what the oldest supported systems have.

use std::collections::BTreeMap;
use std::process::Command;

use atrest_tests::vm::built;
use object::Endian as _;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, Sym as _};

use crate::generated::read;

/// The symbols that packages are linked against, with their version.
fn declared() -> BTreeMap<String, String> {
    let map = read("packaging/link/libcryptsetup.map");
    let version = map.lines().find_map(|line| line.strip_suffix(" {")).unwrap().to_owned();
    let symbols = map.lines().filter_map(|line| line.trim().strip_suffix(';'));
    let symbols = symbols.filter(|symbol| symbol.starts_with("crypt_"));
    symbols.map(|symbol| (symbol.to_owned(), version.clone())).collect()
}

/// The dynamic symbols of a file with their versions: those that it needs, or those that it has.
fn symbols(file: &[u8], needed: bool) -> BTreeMap<String, String> {
    let header = FileHeader64::<object::Endianness>::parse(file).unwrap();
    let endian = header.endian().unwrap();
    assert!(endian.is_little_endian());
    let sections = header.sections(endian, file).unwrap();
    let table = sections.symbols(endian, file, object::elf::SHT_DYNSYM).unwrap();
    let versions = sections.versions(endian, file).unwrap().unwrap();
    let mut found = BTreeMap::new();
    for (index, symbol) in table.enumerate() {
        if symbol.is_undefined(endian) != needed {
            continue;
        }
        let version = versions.version(versions.version_index(endian, index).into()).unwrap();
        let Some(version) = version else { continue };
        let name = String::from_utf8_lossy(symbol.name(endian, table.strings()).unwrap());
        found.insert(name.into_owned(), String::from_utf8_lossy(version.name()).into_owned());
    }
    found
}

#[test]
fn the_agent_needs_nothing_of_libcryptsetup_that_old_systems_lack() {
    let agent = std::fs::read(built("atrest-agent").unwrap()).unwrap();
    let mut needed = symbols(&agent, true);
    needed.retain(|symbol, _| symbol.starts_with("crypt_"));
    assert_eq!(needed, declared(), "packaging/link/libcryptsetup.map names what packages may use");
}

#[test]
fn the_library_has_what_is_declared() {
    // Where the dynamic linker finds it for the agent.
    let output = Command::new("ldd").arg(built("atrest-agent").unwrap()).output().unwrap();
    let listing = String::from_utf8_lossy(&output.stdout);
    let line = listing.lines().find(|line| line.contains("libcryptsetup.so.12 =>")).unwrap();
    let path = line.split_whitespace().nth(2).unwrap();
    let has = symbols(&std::fs::read(path).unwrap(), false);
    for (symbol, version) in declared() {
        assert_eq!(has.get(&symbol), Some(&version), "{symbol}");
    }
}
