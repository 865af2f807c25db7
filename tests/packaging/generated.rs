//! Files that are generated, committed, and held to what they are made from.

use std::path::{Path, PathBuf};

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn read(file: &str) -> String {
    let path = repository().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Holds a file of the repository to a text.
pub(crate) fn hold(file: &str, text: &str) {
    let path = repository().join(file);
    if std::env::var_os("ATREST_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{file} is out of date: run `make manuals`");
}
