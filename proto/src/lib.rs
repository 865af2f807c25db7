//! The wire between agents and server, and the vocabulary both sides share.
//!
//! [`v1`] is generated from `atrest/v1/*.proto` and stops here: the rest of the product speaks
//! [`model`], and [`convert`] is the one place where the two meet.

pub mod convert;
pub mod digest;
pub mod model;
pub mod refusal;
pub mod token;

/// The generated messages, clients and servers of package `atrest.v1`.
#[path = "gen/atrest.v1.rs"]
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::indexing_slicing,
    unused_qualifications,
    unreachable_pub,
    elided_lifetimes_in_paths,
    let_underscore_drop,
    reason = "generated code"
)]
#[rustfmt::skip]
pub mod v1;

/// The compiled descriptors of [`v1`], for the reflection service.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptor.bin");
