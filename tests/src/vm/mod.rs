//! The VM harness: a stock Debian kernel in a machine of its own, to prove verdicts against.
//!
//! `programs` and `kernel` take what the host has, `initramfs` puts a guest together, `machine`
//! boots, freezes and thaws it, `guest` gives it orders, and `truth` measures what a scenario
//! really left on the disks. `scenario` is what a scenario says, `answer` reads what the agent and the
//! naive rule said, `judge` compares them, and `table` is what is published of it. The scenarios
//! themselves are in the `vm` test.

pub mod answer;
pub mod judge;
pub mod scenario;
pub mod table;

mod cpio;
mod guest;
mod initramfs;
mod kernel;
mod machine;
mod modules;
mod process;
mod programs;
mod qmp;
mod tier;
mod truth;
mod wire;

pub use guest::Output;
pub use initramfs::Contents;
pub use kernel::{Flavour, Kernel};
pub use machine::{Frozen, Machine, Spec};
pub use tier::{Tier, Unavailable, agent, built, required};
pub use truth::{Found, Markers, Truth};
