//! What administrators are given: units, packages' metadata, manuals, documents. No root, no network.
//!
//! `ATREST_BLESS=1` (`make manuals`) writes anew what is generated. What needs built packages is in `tests/install`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests: they fail by panicking, read the repository, and start programs"
)]

mod catalogue;
mod documents;
mod generated;
mod library;
mod recipes;
mod reference;
mod supervisor;
mod units;
