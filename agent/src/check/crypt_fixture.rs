//! dm-crypt devices as observed on an ordinary host, for the tests of the checks.

use atrest_proto::model::{Finding, Reason};

use super::luks_fixture;
use crate::dm_table::parse_target;
use crate::policy::Policy;
use crate::snapshot::{DmFacts, Observed, Snapshot, Trouble};

/// A key of 512 bits in the kernel's keyring.
pub(super) const KEYRING: &str = ":64:logon:cryptsetup:x-d0";

/// Its facts, to be changed.
pub(super) fn facts(snapshot: &mut Snapshot) -> &mut DmFacts {
    snapshot.devices.values_mut().find_map(|device| device.dm.as_mut()).unwrap()
}

/// `/dev/mapper/es` on `/dev/sdb1` (8:17) with this table and the UUID of a LUKS2 volume, and a whole header below.
pub(super) fn snapshot(table: &[&str]) -> Snapshot {
    let header = luks_fixture::header(vec![luks_fixture::slot(0)], Vec::new());
    let mut snapshot = luks_fixture::snapshot(Observed::Known(header));
    let table = table.iter().map(|line| parse_target(line.as_bytes()).unwrap()).collect();
    facts(&mut snapshot).table = Observed::Known(table);
    snapshot
}

/// The same with one crypt target of 2048 sectors.
pub(super) fn crypt(cipher: &str, key: &str) -> Snapshot {
    snapshot(&[&format!("0 2048 crypt {cipher} {key} 0 8:17 32768")])
}

/// A key of this many bits in the table itself.
pub(super) fn table_key(bits: usize) -> String {
    "0".repeat(bits / 4)
}

/// A table that could not be read.
pub(super) fn unreadable(uuid: &str, reason: Reason) -> Snapshot {
    let mut snapshot = snapshot(&[]);
    let facts = facts(&mut snapshot);
    uuid.clone_into(&mut facts.uuid);
    facts.table = Observed::Unreadable(Trouble::new(reason, "denied"));
    snapshot
}

/// The only finding of `check`.
pub(super) fn only(check: &super::Check, snapshot: &Snapshot) -> Finding {
    only_with(check, snapshot, &Policy::default())
}

/// The only finding of `check` with this policy.
pub(super) fn only_with(check: &super::Check, snapshot: &Snapshot, policy: &Policy) -> Finding {
    let mut findings = luks_fixture::evaluate_with(check, snapshot, policy);
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}
