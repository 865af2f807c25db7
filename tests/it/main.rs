//! Tests of several packages together, in process, without root and without a network but loopback.
#![expect(
    clippy::disallowed_methods,
    reason = "tests read the clock and their own files, and run the agent's binary"
)]

mod catalogue;
mod churn;
mod exhaustion;
mod golden;
mod lending;
mod membership;
mod node_api;
mod observer;
mod together;
