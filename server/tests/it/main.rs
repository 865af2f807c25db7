//! The server as its users meet it: in process on port 0, or as the real program, with real TLS and real agents' messages.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests: they fail by panicking, read their own files and the clock, and run the server as a process"
)]

mod access;
mod alerts;
mod api;
mod audit;
mod clash;
mod config;
mod crash;
mod ctl;
mod duties;
mod enrolment;
mod grouping;
mod handling;
mod harness;
mod history;
mod hostile;
mod ingest;
mod kills;
mod membership;
mod metrics;
mod operators;
mod outage;
mod own_pki;
mod revocation;
mod safety;
