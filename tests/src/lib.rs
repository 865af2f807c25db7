//! What the tests of several packages share: the VM tier, the in-process fleet, the golden hosts.

pub mod recording;
pub mod synthetic;
pub mod vm;
