//! What is said on the stream about directories of other machines, and back. What comes from the server is bounded here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use atrest_proto::model::Verdict;
use atrest_proto::v1;

use super::{Offer, RemoteDirectory, Vouch};
use crate::path::HostPath;
use crate::transport::failure::bounded;

/// As many as the server takes.
const MOST: usize = 1_000;

/// What this machine lends.
pub fn exports(lent: &Offer) -> v1::Exports {
    let exports = lent.exports.iter().take(MOST).map(|(path, verdict)| v1::Export {
        path: path.as_bytes().to_vec(),
        verdict: v1::Verdict::from(*verdict).into(),
    });
    let addresses = lent.addresses.iter().take(MOST).map(|address| bytes(*address));
    v1::Exports { exports: exports.collect(), addresses: addresses.collect() }
}

/// What it has borrowed.
pub fn directories(borrowed: &BTreeSet<RemoteDirectory>) -> v1::RemoteDirectories {
    let directories = borrowed.iter().take(MOST).map(|place| v1::RemoteDirectory {
        address: bytes(place.address),
        path: place.path.as_bytes().to_vec(),
    });
    v1::RemoteDirectories { directories: directories.collect() }
}

/// What others say, `None` where nobody does any more. What makes no sense is left out.
pub fn vouches(vouches: v1::Vouches) -> (BTreeMap<RemoteDirectory, Option<Vouch>>, bool) {
    let words = vouches.vouches.into_iter().take(MOST).filter_map(|vouch| {
        let verdict = match v1::Verdict::try_from(vouch.verdict) {
            Ok(v1::Verdict::Unspecified) => None,
            Ok(verdict) => Some(verdict.into()),
            Err(_) => Some(Verdict::Unknown),
        };
        let v1::RemoteDirectory { address, path } = vouch.directory?;
        let place = RemoteDirectory { address: address_of(&address)?, path: HostPath::new(path) };
        let host = bounded(&vouch.hostname);
        Some((place, verdict.map(|verdict| Vouch { host, verdict })))
    });
    (words.collect(), vouches.complete)
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_comes_back_as_it_was_asked_for() {
        for address in ["10.0.0.5", "fd00::1"] {
            let place = RemoteDirectory { address: address.parse().unwrap(), path: "/b".into() };
            let said = directories(&BTreeSet::from([place.clone()]));
            let answer = said.directories.into_iter().map(|directory| v1::Vouch {
                directory: Some(directory),
                hostname: "fs-1\n".to_owned(),
                verdict: v1::Verdict::Encrypted.into(),
            });
            let nonsense = [v1::Vouch::default()];
            let all = answer.chain(nonsense).collect();
            let (words, complete) = vouches(v1::Vouches { vouches: all, complete: true });
            assert!(complete);
            assert_eq!(words.len(), 1);
            let word = words.get(&place).and_then(|word| word.as_ref());
            assert_eq!(word.map(|word| word.verdict), Some(Verdict::Encrypted));
        }
    }
}
