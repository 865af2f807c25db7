//! The agent's transport against a small server of its own: real TLS on loopback, an authority made for the test.
//!
//! Nothing here sleeps or measures: a test waits for what the server or the agent tells, with a deadline against hanging.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod agent;
mod authority;
mod detection;
mod disk;
mod enrolment;
mod renewal;
mod server;
mod stream;
mod trouble;
