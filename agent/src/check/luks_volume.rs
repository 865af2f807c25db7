//! What the checks of LUKS headers share: which devices carry one, and who opened them.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::Finding;

use super::outcome::unknown;
use super::{Check, Context};
use crate::layer::device_mapper::crypt;
use crate::luks::{Header, Keyslot};
use crate::snapshot::{BlockDevice, DeviceNumber, DmFacts, DmTarget, Observed, Snapshot};

/// A device that a crypt target stands on.
pub(super) struct LuksVolume<'a> {
    /// The stable id for findings.
    pub(super) asset: String,
    /// The device node, as an operator would type it.
    pub(super) node: String,
    pub(super) header: &'a Observed<Header>,
    /// The device-mapper devices with a crypt target on it.
    pub(super) opened: Vec<&'a DmFacts>,
    /// dm-integrity lies between, so that the header is further down.
    pub(super) is_integrity: bool,
}

/// Every device whose header was looked for.
pub(super) fn volumes(snapshot: &Snapshot) -> Vec<LuksVolume<'_>> {
    let mut openers = openers(snapshot);
    snapshot
        .luks
        .iter()
        .map(|(number, header)| {
            let device = snapshot.devices.get(number);
            let node = device.map_or_else(|| number.to_string(), BlockDevice::node);
            LuksVolume {
                asset: format!("luks:{node}"),
                node,
                header,
                opened: openers.remove(number).unwrap_or_default(),
                is_integrity: device
                    .and_then(|device| device.dm.as_ref())
                    .is_some_and(|dm| has(dm, "integrity")),
            }
        })
        .collect()
}

/// One finding for each volume with a header; unknown where it could not be read.
pub(super) fn judge_headers(
    check: &Check,
    context: &Context<'_>,
    judge: impl Fn(&LuksVolume<'_>, &Header) -> Finding,
) -> Vec<Finding> {
    volumes(context.snapshot)
        .iter()
        .filter_map(|volume| match volume.header {
            Observed::Known(header) => Some(judge(volume, header)),
            // `luks_header` says whether there should have been one.
            Observed::Absent => None,
            Observed::Unreadable(trouble) => {
                let what = format!("the LUKS header of {}", volume.node);
                Some(unknown(check, &volume.asset, &what, trouble))
            }
        })
        .collect()
}

/// How a keyslot is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    /// By what a person types or a key file holds: it has to be stretched.
    Passphrase,
    /// By a random key that systemd shows once for emergencies.
    RecoveryKey,
    /// By hardware or a server, with a random key.
    Device,
}

/// How `slot` is opened, by the tokens that refer to it.
pub(super) fn opener(header: &Header, slot: &Keyslot) -> Opener {
    let tokens = header.tokens.iter().filter(|token| token.keyslots.contains(&slot.number));
    tokens.fold(Opener::Passphrase, |opener, token| match token.kind.as_str() {
        "systemd-recovery" => Opener::RecoveryKey,
        "systemd-tpm2" | "systemd-fido2" | "systemd-pkcs11" | "clevis" => Opener::Device,
        // `luks2-keyring` and tokens nobody knows here hold a passphrase, for all that can be told.
        _ => opener,
    })
}

/// The device-mapper devices with a crypt target, by the device that holds the header of what that stands on.
fn openers(snapshot: &Snapshot) -> BTreeMap<DeviceNumber, Vec<&DmFacts>> {
    // `crypt CIPHER KEY IV_OFFSET DEVICE START`, see the kernel's dm-crypt documentation.
    let holder = |target: &DmTarget| {
        let below = target.args.get(3)?.parse().ok()?;
        crypt::header_holder(below, &snapshot.devices).map(|device| device.number)
    };
    let mut openers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for dm in snapshot.devices.values().filter_map(|device| device.dm.as_ref()) {
        let crypts = dm.table.known().into_iter().flatten().filter(|target| target.kind == "crypt");
        let holders: BTreeSet<DeviceNumber> = crypts.filter_map(holder).collect();
        for holder in holders {
            openers.entry(holder).or_default().push(dm);
        }
    }
    openers
}

fn has(dm: &DmFacts, kind: &str) -> bool {
    dm.table.known().is_some_and(|table| table.iter().any(|target| target.kind == kind))
}
