//! What the tests of several packages share: the VM tier, the in-process fleet, the golden hosts, a stand-in for a search node.

pub mod emulator;
pub mod fleet;
pub mod recording;
pub mod search_node;
pub mod synthetic;
pub mod vm;
