//! A fleet in one process: many simulated agents with real keys, real TLS and the real protocol, and the servers
//! that they talk to, each a process of its own.
//!
//! [`Server`] is the product, [`Floor`] a bare server of the same shape that keeps nothing: what is measured at the
//! one is measured at the other with the same client and the same bytes.

mod agent;
mod floor;
mod machine;
mod payload;
mod process;
mod raw;
mod server;

pub use agent::Agent;
pub use floor::{Floor, serve as serve_floor};
pub use machine::{Line, Machine, Target, enrol};
pub use payload::posture;
pub use process::{Memory, Process};
pub use server::Server;
