//! What the checks of dm-crypt devices share: which devices there are, and what their tables say.

use atrest_proto::model::Finding;

use super::outcome::unknown;
use super::{Check, Context};
use crate::layer::device_mapper::crypt::{self, Crypt};
use crate::snapshot::{BlockDevice, DmFacts, DmTarget, Observed, Snapshot, Trouble};

/// A device-mapper device with at least one crypt target.
pub(super) struct CryptDevice<'a> {
    /// The stable id for findings.
    pub(super) asset: String,
    /// The device node, as an operator would type it.
    pub(super) node: String,
    pub(super) dm: &'a DmFacts,
    pub(super) table: &'a [DmTarget],
}

impl CryptDevice<'_> {
    /// The crypt targets, in the table's order. `None` stands for a line that makes no sense.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&DmTarget, Option<Crypt>)> {
        let targets = self.table.iter().filter(|target| target.kind == "crypt");
        targets.map(|target| (target, crypt::read(target)))
    }
}

/// The stable id of a dm-crypt device.
pub(super) fn asset(node: &str) -> String {
    format!("crypt:{node}")
}

/// Every device with a crypt target, and those that may be such, with the reason why that is not known.
pub(super) fn devices(snapshot: &Snapshot) -> Vec<Result<CryptDevice<'_>, (String, &Trouble)>> {
    snapshot.devices.values().filter_map(device).collect()
}

fn device(device: &BlockDevice) -> Option<Result<CryptDevice<'_>, (String, &Trouble)>> {
    let dm = device.dm.as_ref()?;
    let node = device.node();
    match &dm.table {
        Observed::Known(table) => table
            .iter()
            .any(|target| target.kind == "crypt")
            .then(|| Ok(CryptDevice { asset: asset(&node), node, dm, table })),
        Observed::Unreadable(trouble) => may_be_crypt(dm).then_some(Err((node, trouble))),
        Observed::Absent => None,
    }
}

/// By its UUID, which proves nothing, but is reason to ask.
fn may_be_crypt(dm: &DmFacts) -> bool {
    let others = ["VERITY-", "INTEGRITY-"];
    dm.uuid
        .strip_prefix("CRYPT-")
        .is_some_and(|rest| !others.iter().any(|other| rest.starts_with(other)))
}

/// One finding for each dm-crypt device; unknown where its table could not be read.
pub(super) fn judge_devices(
    check: &Check,
    context: &Context<'_>,
    judge: impl Fn(&CryptDevice<'_>) -> Finding,
) -> Vec<Finding> {
    devices(context.snapshot)
        .iter()
        .map(|device| match device {
            Ok(device) => judge(device),
            Err((node, trouble)) => {
                unknown(check, &asset(node), &format!("the table of {node}"), trouble)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::crypt_fixture::{KEYRING, snapshot, unreadable};
    use super::*;

    #[test]
    fn the_table_says_which_devices_are_dm_crypt() {
        let crypt = snapshot(&[&format!("0 8 crypt aes-xts-plain64 {KEYRING} 0 8:17 0")]);
        let found = devices(&crypt);
        assert_eq!(found.len(), 1);
        assert!(found[0].as_ref().is_ok_and(|device| device.asset == "crypt:/dev/mapper/es"));
        // A UUID alone makes none.
        assert!(devices(&snapshot(&["0 8 linear 8:17 0"])).is_empty());
    }

    #[test]
    fn a_table_that_may_not_be_read_is_asked_for_by_its_uuid() {
        let hidden = |uuid: &str| devices(&unreadable(uuid, Reason::NoPermission)).len();
        assert_eq!(hidden("CRYPT-LUKS2-0-es"), 1);
        assert_eq!(hidden("CRYPT-PLAIN-es"), 1);
        assert_eq!(hidden("CRYPT-VERITY-0-es"), 0);
        assert_eq!(hidden("LVM-0"), 0);
    }
}
