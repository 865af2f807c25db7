//! Holds the posture of the fleet, and tells people when it is not what it should be.
//!
//! ```text
//! grpc (agents) → fleet::Observation → hub → store ⟨ fleet::apply → alert::decide ⟩ → ack
//!                                       ↓                                   ↓
//!                                     roster                             outbox → notify
//!                                       ↓
//!                        grpc (operators) → atrestctl
//! ```
//! [`fleet`], [`alert`], [`enrollment`] and [`access`] are pure; `serve` puts the parts together.

pub mod access;
pub mod alert;
mod archive;
pub mod audit;
pub mod authority;
mod certificate_files;
pub mod clock;
pub mod config;
mod directory;
pub mod drain;
pub mod enrollment;
pub mod fleet;
mod grpc;
pub mod hex;
pub mod hub;
mod journal;
pub mod labels;
mod limit;
pub mod logging;
mod metrics;
pub mod notify;
pub mod serve;
pub mod state_dir;
pub mod store;
pub mod supervisor;
mod tls;
pub mod view;
