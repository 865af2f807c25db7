//! Which process listens where: what shows that a connection over loopback goes to the node and to nobody else.
//!
//! `/proc/PID/net/tcp` lists the sockets of a network with their inodes, `/proc/PID/fd` the inodes that a process holds
//! (`proc_pid_net(5)`, `proc_pid_fd(5)`). An inode belongs to one socket for as long as that is open, so a socket that was
//! the node's before a connection was made and still is afterwards has taken that connection.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use atrest_proto::model::Reason;

use super::Listener;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// What is read of a table. Sockets that listen come first (`tcp_seq_start` of the kernel's `net/ipv4/tcp_ipv4.c`), each
/// in about 150 bytes.
const TABLE: usize = 4 << 20;
/// `TCP_LISTEN` of the kernel's `include/net/tcp_states.h`.
const LISTEN: &str = "0A";
/// A node with many shards and clients holds tens of thousands of descriptors.
const DESCRIPTORS: usize = 200_000;

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(super) address: SocketAddr,
    pub(super) inode: u64,
}

/// The sockets that listen, from the text of a table that ends where `is_whole` says so. `None` when a line makes no sense,
/// or the text may end before the last of them.
pub(crate) fn parse(text: &[u8], is_whole: bool) -> Option<Vec<Socket>> {
    let text = std::str::from_utf8(text).ok()?;
    let (text, _partial) = if is_whole { (text, "") } else { text.rsplit_once('\n')? };
    let mut sockets = Vec::new();
    let mut sees_end = is_whole;
    // `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`.
    for line in text.lines().skip(1) {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let local = columns.next()?;
        let state = columns.nth(1)?;
        if state != LISTEN {
            sees_end = true;
            continue;
        }
        sockets.push(Socket { address: address(local)?, inode: columns.nth(5)?.parse().ok()? });
    }
    sees_end.then_some(sockets)
}

/// `0100007F:23F0`: words of the address in the machine's own order of bytes, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0_u8; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            // Java listens on IPv4 addresses by such a socket too.
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// Every socket that listens in the network of a process.
fn listening(host: &dyn Host, pid: i32) -> Result<Vec<Socket>, Trouble> {
    let mut sockets = Vec::new();
    for table in ["tcp", "tcp6"] {
        let path = HostPath::from(format!("/proc/{pid}/net/{table}"));
        let text = match host.read_start(&Namespace::Host, &path, TABLE) {
            Ok(text) => text,
            // A kernel without IPv6.
            Err(trouble) if trouble.reason == Reason::NotFound && table == "tcp6" => continue,
            Err(trouble) => return Err(trouble),
        };
        let parsed = parse(&text, text.len() < TABLE);
        sockets.extend(parsed.ok_or_else(|| {
            Trouble::new(Reason::Unreadable, format!("{path}: a line that makes no sense"))
        })?);
    }
    Ok(sockets)
}

/// Whether a connection to `to` may come out at a socket that is bound to `at`.
fn takes(at: SocketAddr, to: SocketAddr) -> bool {
    let is_any = match at.ip() {
        IpAddr::V4(any) => any.is_unspecified() && to.is_ipv4(),
        // Of both families, unless it was told otherwise.
        IpAddr::V6(any) => any.is_unspecified(),
    };
    at.port() == to.port() && (is_any || at.ip() == to.ip())
}

/// Where on loopback a connection comes out at a socket that is bound to `address`.
fn over_loopback(address: SocketAddr) -> Vec<SocketAddr> {
    let ips = match address.ip() {
        ip if ip.is_loopback() => vec![ip],
        IpAddr::V4(any) if any.is_unspecified() => vec![Ipv4Addr::LOCALHOST.into()],
        IpAddr::V6(any) if any.is_unspecified() => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        IpAddr::V4(_) | IpAddr::V6(_) => Vec::new(),
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, address.port())).collect()
}

/// The sockets of a process that listen on one of `ports` and can be reached over this host's loopback: in the order of
/// `ports`, and IPv4 first.
pub(crate) fn of_process(
    host: &dyn Host,
    pid: i32,
    ports: &[RangeInclusive<u16>],
) -> Result<Vec<Listener>, Trouble> {
    let network = |pid: &str| {
        host.read_link(&Namespace::Host, &HostPath::from(format!("/proc/{pid}/ns/net")))
    };
    // The half that looks may have a network of its own, without anything in it: the one that asks has the host's.
    let own = if host.sees_own_root() { "self" } else { "1" };
    if network(&pid.to_string())? != network(own)? {
        let detail =
            "its network is its own, as in a container: this host's loopback does not lead there";
        return Err(Trouble::new(Reason::NotFound, detail));
    }
    let position = |port: u16| ports.iter().position(|range| range.contains(&port));
    let mut wanted: BTreeMap<u64, SocketAddr> = BTreeMap::new();
    for socket in listening(host, pid)? {
        if position(socket.address.port()).is_some() && !over_loopback(socket.address).is_empty() {
            wanted.insert(socket.inode, socket.address);
        }
    }
    let mut listeners = Vec::new();
    for (descriptor, inode) in descriptors(host, pid, &wanted)? {
        let addresses = wanted.get(&inode).map(|address| over_loopback(*address));
        let listener = |address| Listener { address, inode, descriptor };
        listeners.extend(addresses.into_iter().flatten().map(listener));
    }
    listeners.sort_by_key(|found| {
        let port = found.address.port();
        (position(port), port, found.address.is_ipv6(), found.descriptor)
    });
    listeners.dedup_by_key(|found| found.address);
    if listeners.is_empty() {
        let ports: Vec<String> = ports.iter().map(shown).collect();
        let detail = format!("it does not listen on loopback on a port of {}", ports.join(", "));
        return Err(Trouble::new(Reason::NotFound, detail));
    }
    Ok(listeners)
}

fn shown(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}-{}", range.start(), range.end())
    }
}

/// The descriptors by which a process holds the `wanted` sockets.
fn descriptors(
    host: &dyn Host,
    pid: i32,
    wanted: &BTreeMap<u64, SocketAddr>,
) -> Result<Vec<(u32, u64)>, Trouble> {
    let directory = HostPath::from(format!("/proc/{pid}/fd"));
    let mut found = Vec::new();
    for name in host.list(&Namespace::Host, &directory)?.into_iter().take(DESCRIPTORS) {
        let number = std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok());
        let inode = host.read_link(&Namespace::Host, &directory.join(&name));
        let inode = inode.ok().and_then(|link| inode_of(&link));
        if let (Some(number), Some(inode)) = (number, inode.filter(|i| wanted.contains_key(i))) {
            found.push((number, inode));
        }
    }
    Ok(found)
}

/// `socket:[12345]`.
fn inode_of(link: &HostPath) -> Option<u64> {
    let inode = link.as_bytes().strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inode).ok()?.parse().ok()
}

/// Makes sure that the process still holds the socket, and that no other one takes connections to its address.
pub(crate) fn still_holds(host: &dyn Host, pid: i32, listener: &Listener) -> Result<(), Trouble> {
    let descriptor = HostPath::from(format!("/proc/{pid}/fd/{}", listener.descriptor));
    let held = host.read_link(&Namespace::Host, &descriptor)?;
    let takers: Vec<u64> = listening(host, pid)?
        .into_iter()
        .filter(|socket| takes(socket.address, listener.address))
        .map(|socket| socket.inode)
        .collect();
    if inode_of(&held) == Some(listener.inode) && takers == [listener.inode] {
        return Ok(());
    }
    let detail = format!("{} is not, or not only, listened on by process {pid}", listener.address);
    Err(Trouble::new(Reason::Unreadable, detail))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;
    use crate::host::live::LiveHost;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn row(local: &str, state: &str, inode: &str) -> String {
        format!(
            "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 x\n"
        )
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_table_of_the_kernel_is_read() {
        let text = [
            HEAD,
            &row("0100007F:23F0", "0A", "11"),
            &row("00000000:23F1", "0A", "12"),
            &row("0000000000000000FFFF00000100007F:23F0", "0A", "13"),
            &row("00000000000000000000000001000000:23F0", "0A", "14"),
            &row("0100007F:23F0", "01", "15"),
        ]
        .concat();
        let found: Vec<String> = parse(text.as_bytes(), true)
            .unwrap()
            .iter()
            .map(|socket| format!("{} {}", socket.address, socket.inode))
            .collect();
        assert_eq!(
            found,
            ["127.0.0.1:9200 11", "0.0.0.0:9201 12", "127.0.0.1:9200 13", "[::1]:9200 14"]
        );
    }

    #[test]
    fn a_table_that_may_go_on_is_no_proof() {
        let listens = [HEAD, &row("0100007F:23F0", "0A", "11")].concat();
        assert_eq!(parse(listens.as_bytes(), true).unwrap().len(), 1);
        assert_eq!(parse(listens.as_bytes(), false), None);
        let whole = listens.clone() + &row("0100007F:23F0", "01", "12") + "   1: 01000";
        assert_eq!(parse(whole.as_bytes(), false).unwrap().len(), 1);
        for line in
            ["x\n", "0: x y 0A\n", &row("0100007F", "0A", "1"), &row("0100007F:1", "0A", "x")]
        {
            assert_eq!(parse([HEAD, line].concat().as_bytes(), true), None, "{line}");
        }
    }

    #[test]
    fn who_takes_a_connection() {
        let takes = |at: &str, to: &str| takes(at.parse().unwrap(), to.parse().unwrap());
        assert!(takes("127.0.0.1:9200", "127.0.0.1:9200"));
        assert!(takes("0.0.0.0:9200", "127.0.0.1:9200"));
        assert!(takes("[::]:9200", "127.0.0.1:9200") && takes("[::]:9200", "[::1]:9200"));
        assert!(!takes("0.0.0.0:9200", "[::1]:9200"));
        assert!(!takes("127.0.0.2:9200", "127.0.0.1:9200"));
        assert!(!takes("0.0.0.0:9201", "127.0.0.1:9200"));
    }

    #[test]
    fn only_loopback_is_ever_connected_to() {
        let reached = |at: &str| over_loopback(at.parse().unwrap());
        for at in ["0.0.0.0:1", "[::]:1", "127.0.0.9:1", "[::1]:1"] {
            let reached = reached(at);
            assert!(!reached.is_empty() && reached.iter().all(|to| to.ip().is_loopback()), "{at}");
        }
        for at in ["10.0.0.5:1", "[2001:db8::1]:1", "169.254.169.254:1"] {
            assert!(reached(at).is_empty(), "{at}");
        }
    }

    #[test]
    fn this_process_is_found_by_its_own_socket() {
        let host = LiveHost::new("/");
        let pid = i32::try_from(std::process::id()).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let ports = [address.port()..=address.port()];
        let found = of_process(&host, pid, &ports).unwrap();
        let [listener] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(listener.address, address);
        assert_eq!(still_holds(&host, pid, listener), Ok(()));
        // Another process does not hold it, and another socket on that address is another.
        assert!(still_holds(&host, 1, listener).is_err());
        assert!(
            still_holds(&host, pid, &Listener { inode: listener.inode + 1, ..*listener }).is_err()
        );
        drop(socket);
        assert!(still_holds(&host, pid, listener).is_err());
        assert_eq!(of_process(&host, pid, &ports).unwrap_err().reason, Reason::NotFound);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[0-9A-F: \n]{0,200}", is_whole: bool) {
            drop(parse(text.as_bytes(), is_whole));
        }
    }
}
