//! LUKS volumes as observed on an ordinary host, for the tests of the checks.

use crate::luks::{Header, Kdf, Keyslot, Token};
use crate::snapshot::{BlockDevice, DeviceNumber, DmFacts, DmTarget, Observed, Snapshot};

const PARTITION: DeviceNumber = DeviceNumber::new(8, 17);

pub(super) const UUID: &str = "28632274-8c8a-493f-835b-da802e1c576b";

pub(super) fn slot(number: u32) -> Keyslot {
    Keyslot {
        number,
        unbound: false,
        kind: "luks2".to_owned(),
        key_bits: Some(512),
        kdf: Some(Kdf::Argon2 {
            variant: "argon2id".to_owned(),
            time: 4,
            memory_kib: 1_048_576,
            cpus: 4,
        }),
    }
}

pub(super) fn pbkdf2(number: u32, hash: &str, iterations: u32) -> Keyslot {
    Keyslot { kdf: Some(Kdf::Pbkdf2 { hash: hash.to_owned(), iterations }), ..slot(number) }
}

pub(super) fn token(kind: &str, keyslots: &[u32]) -> Token {
    Token { number: 0, kind: kind.to_owned(), keyslots: keyslots.to_vec(), pins: Vec::new() }
}

pub(super) fn header(keyslots: Vec<Keyslot>, tokens: Vec<Token>) -> Header {
    Header {
        version: 2,
        uuid: UUID.to_owned(),
        cipher: "aes-xts-plain64".to_owned(),
        keyslots,
        tokens,
        ..Header::default()
    }
}

/// `/dev/sdb1`, opened as `/dev/mapper/es` from the LUKS2 header that it should have.
pub(super) fn snapshot(header: Observed<Header>) -> Snapshot {
    opened_as(&format!("CRYPT-LUKS2-{}-es", UUID.replace('-', "")), header)
}

/// The same with another UUID on the device-mapper device.
pub(super) fn opened_as(dm_uuid: &str, header: Observed<Header>) -> Snapshot {
    let partition =
        BlockDevice { number: PARTITION, name: "sdb1".to_owned(), ..BlockDevice::default() };
    let table = DmTarget {
        start: 0,
        length: 2048,
        kind: "crypt".to_owned(),
        args: ["aes-xts-plain64", ":64:logon:x", "0", "8:17", "32768"].map(str::to_owned).to_vec(),
    };
    let crypt = BlockDevice {
        number: DeviceNumber::new(254, 0),
        name: "dm-0".to_owned(),
        slaves: vec![PARTITION],
        dm: Some(DmFacts {
            name: "es".to_owned(),
            uuid: dm_uuid.to_owned(),
            suspended: false,
            dependencies: None,
            table: Observed::Known(vec![table]),
        }),
        ..BlockDevice::default()
    };
    Snapshot {
        devices: [partition, crypt].into_iter().map(|device| (device.number, device)).collect(),
        luks: [(PARTITION, header)].into(),
        ..Snapshot::empty()
    }
}

/// What `check` finds on `snapshot` with the default policy.
pub(super) fn evaluate(
    check: &super::Check,
    snapshot: &Snapshot,
) -> Vec<atrest_proto::model::Finding> {
    evaluate_with(check, snapshot, &crate::policy::Policy::default())
}

/// What `check` finds on `snapshot` with this policy.
pub(super) fn evaluate_with(
    check: &super::Check,
    snapshot: &Snapshot,
    policy: &crate::policy::Policy,
) -> Vec<atrest_proto::model::Finding> {
    (check.evaluate)(&super::Context {
        snapshot,
        policy,
        paths: &[],
        swaps: &[],
        keystore_volumes: &[],
        secret_volumes: &[],
        spares: &[],
        evaluator: &crate::volume::Evaluator::new(snapshot),
        boot_volumes: &[],
    })
}
