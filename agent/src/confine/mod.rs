//! What each process of the agent gives up before it meets anything that it did not make itself.
//!
//! The units of systemd do the same from outside, and more; this holds for every way to start the agent, and is what its own
//! tests try to break. What the kernel lacks is not made up for: it is said, and the units' means stay.
//!
//! * [`talker`]: meets the network. Reads its configuration and the authorities of the system, writes its state, and no more.
//! * [`looker`]: meets disks and keystores. Has no network but sockets of this machine and the kernel's.
//! * [`parser`]: meets LUKS headers, with libcryptsetup. Has one file in memory.

mod allowed;
mod files;
mod syscalls;

use std::path::PathBuf;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};
use thiserror::Error;

pub use allowed::Allowed;
use files::Files;

/// Why a process is not confined: it must not go on.
#[derive(Debug, Error)]
pub enum ConfineError {
    #[error("privileges cannot be given up: {0}")]
    Privileges(#[from] rustix::io::Errno),
    #[error("system calls cannot be forbidden: {0}")]
    Calls(#[from] syscalls::CallsError),
    #[error("files cannot be forbidden: {0}")]
    Files(#[from] landlock::RulesetError),
}

/// How much of the file system is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All that is not named, for every kind of access that this program knows of.
    Named,
    /// The same, for those kinds that this kernel knows of.
    Older,
    /// This kernel has no Landlock (before 5.13, or switched off).
    Everything,
}

/// What names hosts, accounts and authorities, with what programs are made of. `/etc` as a whole, since `resolv.conf` and
/// its like are replaced while the agent runs: what in it is not for everybody is kept from the agent's account by its mode.
const OF_SYSTEM: &[&str] = &[
    "/bin",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/sbin",
    "/sys/devices/system/cpu",
    "/usr",
    "/var/lib/ca-certificates",
];

/// What libraries want for themselves when they are loaded.
const OF_LIBRARIES: &[&str] = &[
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/pki/tls",
    "/etc/ssl/openssl.cnf",
    "/lib",
    "/lib64",
    "/proc/sys/crypto",
    "/usr",
];

/// Nodes that hold and tell nothing.
const NOTHING: &[&str] = &["/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// Confines the half that talks: no capability, no file that is not allowed, no socket but of the internet and of this
/// machine, no system call that looks into other processes or changes the machine.
///
/// To be called while there is one thread.
pub fn talker(allowed: &Allowed) -> Result<Reach, ConfineError> {
    without_privileges()?;
    let mut read: Vec<PathBuf> = OF_SYSTEM.iter().map(PathBuf::from).collect();
    read.extend(allowed.read.iter().cloned());
    let nodes = NOTHING.iter().map(PathBuf::from).collect();
    let reach = Files { read, nodes, write: allowed.write.clone(), runs: true }.restrict()?;
    syscalls::forbid(syscalls::MEDDLING, syscalls::Sockets::Internet)?;
    Ok(reach)
}

/// Confines the half that looks: what it starts has no capability, and there is no network. Its own capabilities and its
/// reach of files are what it is there for.
///
/// To be called while there is one thread.
pub fn looker() -> Result<(), ConfineError> {
    // An account of its own got them to be kept over the start of this program, and of this program only.
    let own = capabilities(None)?;
    clear_ambient_capability_set()?;
    set_capabilities(None, CapabilitySets { inheritable: CapabilitySet::empty(), ..own })?;
    set_no_new_privs(true)?;
    syscalls::forbid(syscalls::MEDDLING, syscalls::Sockets::Kernel)?;
    Ok(())
}

/// Confines the child that parses LUKS headers: no capability, no file but what libraries want when they are loaded, and
/// nothing to be written but descriptors that it has; no socket at all, no other program.
///
/// To be called while there is one thread.
pub fn parser() -> Result<Reach, ConfineError> {
    without_privileges()?;
    let read = OF_LIBRARIES.iter().map(PathBuf::from).collect();
    let nodes = NOTHING.iter().map(PathBuf::from).collect();
    let reach = Files { read, nodes, write: Vec::new(), runs: false }.restrict()?;
    syscalls::forbid(syscalls::MEDDLING, syscalls::Sockets::None)?;
    syscalls::forbid(syscalls::STARTING, syscalls::Sockets::None)?;
    Ok(reach)
}

fn without_privileges() -> Result<(), ConfineError> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let nothing = CapabilitySet::empty();
    let sets = CapabilitySets { effective: nothing, permitted: nothing, inheritable: nothing };
    set_capabilities(None, sets)?;
    Ok(())
}

#[cfg(test)]
mod tests;
