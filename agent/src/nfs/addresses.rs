//! The addresses of this machine that others may reach it at, as `proc_net(5)` tells them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host::Host;
use crate::snapshot::Namespace;

/// The routes of the machine's own network, not of the container that the agent may run in. A machine that knows the
/// routes of the whole internet has more than this, and is no file server.
const ROUTES: &str = "/proc/1/net/fib_trie";
const INTERFACES: &str = "/proc/1/net/if_inet6";
const MOST: usize = 4 * 1024 * 1024;

/// Empty where the kernel does not tell: then nobody is vouched for.
pub fn observe(host: &dyn Host) -> BTreeSet<IpAddr> {
    let read = |path: &str| host.read(&Namespace::Host, &path.into(), MOST).unwrap_or_default();
    let (routes, interfaces) = (read(ROUTES), read(INTERFACES));
    let four = version_4(&routes).map(IpAddr::V4);
    four.chain(version_6(&interfaces).map(IpAddr::V6)).collect()
}

/// A leaf of the trie that is an address of this machine, without loopback and what is told apart by interface only
/// (RFC 3927).
pub fn version_4(routes: &[u8]) -> impl Iterator<Item = Ipv4Addr> {
    let mut leaf: Option<Ipv4Addr> = None;
    let found = routes.split(|byte| *byte == b'\n').filter_map(move |line| {
        let line = std::str::from_utf8(line).ok()?.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
            return None;
        }
        leaf.filter(|_| line == "/32 host LOCAL")
    });
    found.filter(|one| !(one.is_loopback() || one.is_link_local() || one.is_unspecified()))
}

/// Those of global scope, which unique local ones are too.
pub fn version_6(interfaces: &[u8]) -> impl Iterator<Item = Ipv6Addr> {
    interfaces.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
        let (address, scope) = (fields.next()?, fields.nth(2)?);
        let is_plain =
            address.len() == 32 && address.bytes().all(|digit| digit.is_ascii_hexdigit());
        let bits = u128::from_str_radix(address, 16).ok().filter(|_| is_plain && scope == "00")?;
        Some(Ipv6Addr::from_bits(bits))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_others_reach_this_machine_at_count() {
        let routes = b"Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.0.0.0/24 2 0 2\n        \
            |-- 10.0.0.0\n           /24 link UNICAST\n        |-- 10.0.0.5\n           /32 host LOCAL\n        |-- 10.0.0.255\n           \
            /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 169.254.3.4\n        /32 host LOCAL\nLocal:\n     \
            |-- 10.0.0.5\n        /32 host LOCAL\n";
        let four: BTreeSet<_> = version_4(routes).collect();
        assert_eq!(four, BTreeSet::from([Ipv4Addr::new(10, 0, 0, 5)]));
        let interfaces = b"00000000000000000000000000000001 01 80 10 80       lo\n\
            fd000000000000000000000000000005 02 40 00 80     eth0\n\
            fe800000000000000000000000000005 02 40 20 80     eth0\n";
        let six: Vec<_> = version_6(interfaces).collect();
        assert_eq!(six, ["fd00::5".parse::<Ipv6Addr>().unwrap()]);
        assert_eq!(version_6(b"+d000000000000000000000000000005 02 40 00 80 eth0\n").count(), 0);
        assert_eq!(version_4(b"|-- 10.0.0.5\n|-- nonsense\n/32 host LOCAL\n").count(), 0);
    }
}
