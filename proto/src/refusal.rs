//! Why the server refuses an agent, in a word for programs, beside the status that tells people.
//!
//! Sent as the metadata [`HEADER`] with the status. An agent that does not know the word goes by the status alone.

/// The key of the metadata.
pub const HEADER: &str = "atrest-refusal";

/// An operator ended this host's enrolment. Only a new token lets it in again.
pub const HOST_REVOKED: &str = "host_revoked";

/// Another machine speaks with this host's identity, and keeps its place. Only a new token helps.
pub const IDENTITY_CLASH: &str = "identity_clash";
