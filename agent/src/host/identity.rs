//! Who this host is: names and versions for people, a fingerprint for telling clones apart.

use atrest_proto::model;
use sha2::{Digest as _, Sha256};

use super::{Host, read_text};
use crate::path::HostPath;
use crate::snapshot::Namespace;

/// Facts about the host. What cannot be read is empty.
pub fn observe(host: &dyn Host) -> model::Host {
    let text = |path: &str| read_text(host, &HostPath::from(path)).unwrap_or_default();
    let mut facts = model::Host {
        hostname: text("/proc/sys/kernel/hostname"),
        machine_fingerprint: fingerprint(&text("/etc/machine-id")),
        os: os_release(host).unwrap_or_default(),
        kernel: text("/proc/sys/kernel/osrelease"),
        architecture: String::new(),
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    if facts.hostname.is_empty() {
        facts.hostname = text("/etc/hostname");
    }
    if host.is_live() {
        facts.architecture = sysinfo::System::cpu_arch();
        if facts.hostname.is_empty() {
            facts.hostname = sysinfo::System::host_name().unwrap_or_default();
        }
        if facts.kernel.is_empty() {
            facts.kernel = sysinfo::System::kernel_version().unwrap_or_default();
        }
    }
    facts
}

/// `machine-id(5)` asks that the id itself does not leave the host: it is hashed with this product's name.
fn fingerprint(machine_id: &str) -> String {
    if machine_id.is_empty() {
        return String::new();
    }
    let mut hash = Sha256::new();
    hash.update(b"atrest machine fingerprint 1\0");
    hash.update(machine_id);
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn os_release(host: &dyn Host) -> Option<String> {
    const OS_RELEASE: usize = 64 * 1024;
    let bytes = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| host.read(&Namespace::Host, &HostPath::from(*path), OS_RELEASE).ok())?;
    pretty_name(&String::from_utf8_lossy(&bytes))
}

/// The name in the text of an `os-release(5)` file.
pub(crate) fn pretty_name(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_stable_and_does_not_hold_the_id() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(fingerprint(id), fingerprint(id));
        assert_eq!(fingerprint(id).len(), 32);
        assert!(!fingerprint(id).contains("0123456789"));
        assert_eq!(fingerprint(""), "");
    }
}
