//! `crypt`: `CIPHER KEY IV_OFFSET DEVICE OFFSET [#OPTIONS OPTIONS…]`.
//!
//! Encrypts, unless the cipher is null. See the kernel's `dm-crypt.rst`.

use std::collections::BTreeMap;

use atrest_proto::model::{EncryptedBy, Reason};

use super::{Dissected, device_argument};
use crate::layer::{Leg, Role};
use crate::snapshot::{BlockDevice, DeviceNumber, DmFacts, DmTarget};

/// Where a volume key is kept while the device is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// In the table itself: `dmsetup table --showkeys` prints it.
    Table,
    /// In the kernel's keyring, by type.
    Keyring(String),
    /// There is none.
    None,
}

/// What the arguments of a crypt target say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypt {
    /// The specification, such as `aes-xts-plain64` or `capi:authenc(hmac(sha256),xts(aes))-random`.
    pub cipher: String,
    pub key: Key,
    /// The size of the key in bits, all parts together.
    pub key_bits: Option<u32>,
    /// Optional arguments, such as `allow_discards`.
    pub options: Vec<String>,
}

/// Reads the arguments of a crypt target.
pub fn read(target: &DmTarget) -> Option<Crypt> {
    let cipher = target.args.first()?.clone();
    let key = target.args.get(1)?;
    let (key, key_bits) = if key == "-" {
        (Key::None, None)
    } else if let Some(reference) = key.strip_prefix(':') {
        // `:SIZE:TYPE:DESCRIPTION`, the size in bytes.
        let mut parts = reference.splitn(3, ':');
        let bytes = parts.next()?.parse::<u32>().ok()?;
        (Key::Keyring(parts.next()?.to_owned()), bytes.checked_mul(8))
    } else {
        (Key::Table, u32::try_from(key.len()).ok().and_then(|digits| digits.checked_mul(4)))
    };
    Some(Crypt { cipher, key, key_bits, options: target.args.iter().skip(6).cloned().collect() })
}

/// Whether a specification names the cipher that does nothing, in any of its spellings (`cipher_null-ecb`,
/// `capi:ecb(cipher_null)-null`, `capi:ecb-cipher_null-…`), or `rfc4543`, which only adds a checksum.
///
/// A key `-` has no length, so it belongs to such a cipher. It does not stand for a key that was wiped, as by
/// `cryptsetup luksSuspend`: the kernel then shows zeros of the key's length (`crypt_wipe_key` and `crypt_status` of
/// its `dm-crypt.c`), even where the key came from the keyring.
pub fn is_null(crypt: &Crypt) -> bool {
    crypt.cipher.contains("cipher_null")
        || crypt.cipher.contains("rfc4543")
        || crypt.key == Key::None
        || crypt.key_bits == Some(0)
}

pub(super) fn dissect(target: &DmTarget, device: &BlockDevice) -> Option<Dissected> {
    let crypt = read(target)?;
    let below = device_argument(target, 3)?;
    // The offset is a number of sectors: a line without it was cut short.
    target.args.get(4)?.parse::<u64>().ok()?;
    let mut detail = BTreeMap::from([("cipher".to_owned(), crypt.cipher.clone())]);
    if let Some(bits) = crypt.key_bits {
        detail.insert("key_bits".to_owned(), bits.to_string());
    }
    // Each target that encrypts is known by name: one that is not may be another null cipher.
    // `paes` is AES with a key that only the firmware of s390 sees, so that its strength cannot be told.
    let is_known =
        super::cipher::read(&crypt.cipher).is_some() || crypt.cipher.starts_with("paes-xts-");
    if !is_known && !is_null(&crypt) {
        let detail_of = format!("{}: the cipher `{}`", device.node(), crypt.cipher);
        let legs = vec![Leg::Unknown { reason: Reason::UnknownTarget, detail: detail_of }];
        return Some(Dissected { legs, shown: vec![below], detail });
    }
    if is_null(&crypt) {
        // What is below may still encrypt; where it does not, this is why.
        let legs = vec![Leg::Device { device: below, role: Role::NullCipher }];
        return Some(Dissected { legs, shown: Vec::new(), detail });
    }
    let by = EncryptedBy {
        technology: "dm-crypt".to_owned(),
        device: device.node(),
        cipher: crypt.cipher,
        key_bits: crypt.key_bits,
    };
    Some(Dissected { legs: vec![Leg::Encrypted(by)], shown: vec![below], detail })
}

/// The device that holds the LUKS header of what a crypt target stands on: below dm-integrity, which LUKS2 puts between for authenticated encryption.
pub fn header_holder(
    number: DeviceNumber,
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
) -> Option<&BlockDevice> {
    let device = devices.get(&number)?;
    let table = device.dm.as_ref().and_then(|dm| dm.table.known());
    let integrity = table.into_iter().flatten().find(|target| target.kind == "integrity");
    let below = integrity.and_then(|target| target.args.first()?.parse().ok());
    below.and_then(|number| devices.get(&number)).or(Some(device))
}

/// The devices that may hold the LUKS header of what `dm` is: those below its crypt targets, and, for a LUKS device by its
/// UUID, those below linear ones: its encryption may not have begun. The UUID is no proof, but reason to look.
pub fn header_holders<'a>(
    dm: &'a DmFacts,
    devices: &'a BTreeMap<DeviceNumber, BlockDevice>,
) -> impl Iterator<Item = &'a BlockDevice> {
    let may_be_prepared = dm.uuid.starts_with("CRYPT-LUKS");
    dm.table.known().into_iter().flatten().filter_map(move |target| {
        let below = match target.kind.as_str() {
            "crypt" => device_argument(target, 3)?,
            "linear" if may_be_prepared => device_argument(target, 0)?,
            _ => return None,
        };
        header_holder(below, devices)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm_table::parse_target;
    use crate::snapshot::Observed;

    const NULL: Leg = Leg::Device { device: DeviceNumber::new(8, 1), role: Role::NullCipher };

    fn legs(line: &str) -> Option<Vec<Leg>> {
        let target = parse_target(line.as_bytes()).unwrap();
        dissect(&target, &BlockDevice::default()).map(|found| found.legs)
    }

    fn key_bits(line: &str) -> Option<u32> {
        read(&parse_target(line.as_bytes()).unwrap()).unwrap().key_bits
    }

    #[test]
    fn a_real_cipher_encrypts() {
        let inline = format!("0 8 crypt aes-xts-plain64 {} 0 8:1 0", "0".repeat(128));
        assert!(matches!(legs(&inline).unwrap()[..], [Leg::Encrypted(_)]));
        assert_eq!(key_bits(&inline), Some(512));
        let keyring =
            "0 8 crypt capi:xts(aes)-plain64 :64:logon:cryptsetup:u-d0 0 8:1 0 1 allow_discards";
        assert!(matches!(legs(keyring).unwrap()[..], [Leg::Encrypted(_)]));
        assert_eq!(key_bits(keyring), Some(512));
        let crypt = read(&parse_target(keyring.as_bytes()).unwrap()).unwrap();
        assert_eq!(crypt.key, Key::Keyring("logon".to_owned()));
        assert_eq!(crypt.options, ["allow_discards"]);
    }

    #[test]
    fn a_null_cipher_does_not_in_any_spelling() {
        for cipher in [
            "cipher_null-ecb",
            "cipher_null-ecb-null",
            "capi:ecb(cipher_null)-null",
            "capi:ecb-cipher_null-plain",
            "capi:rfc4543(gcm(aes))-random",
        ] {
            let line = format!("0 8 crypt {cipher} 00 0 8:1 0");
            assert_eq!(legs(&line).unwrap(), [NULL], "{cipher}");
        }
        assert_eq!(legs("0 8 crypt aes-xts-plain64 - 0 8:1 0").unwrap(), [NULL]);
        assert_eq!(legs("0 8 crypt aes-xts-plain64 :0:logon:x 0 8:1 0").unwrap(), [NULL]);
    }

    #[test]
    fn a_wiped_key_still_encrypts() {
        // What `luksSuspend` leaves of a key, from the table or the keyring.
        let wiped = format!("0 8 crypt aes-xts-plain64 {} 0 8:1 0", "0".repeat(128));
        assert!(matches!(legs(&wiped).unwrap()[..], [Leg::Encrypted(_)]));
    }

    #[test]
    fn a_header_is_looked_for_below_crypt_and_below_what_may_become_crypt() {
        let device = |name: &str, number, uuid: &str, line: &str| {
            let table = vec![parse_target(line.as_bytes()).unwrap()];
            let dm = DmFacts {
                name: name.to_owned(),
                uuid: uuid.to_owned(),
                suspended: false,
                dependencies: None,
                table: Observed::Known(table),
            };
            BlockDevice { number, dm: Some(dm), ..BlockDevice::default() }
        };
        let holder = |uuid: &str, line: &str| {
            let disk = BlockDevice { number: DeviceNumber::new(8, 1), ..BlockDevice::default() };
            let dif = device("dif", DeviceNumber::new(254, 1), "", "0 8 integrity 8:1 0 32 J 0");
            let devices = BTreeMap::from([(disk.number, disk), (dif.number, dif)]);
            let top = device("top", DeviceNumber::new(254, 0), uuid, line).dm.unwrap();
            header_holders(&top, &devices).map(|device| device.number).collect::<Vec<_>>()
        };
        let disk = [DeviceNumber::new(8, 1)];
        assert_eq!(holder("", "0 8 crypt aes-xts-plain64 - 0 8:1 0"), disk);
        assert_eq!(holder("", "0 8 crypt aes-xts-plain64 - 0 254:1 0"), disk);
        assert_eq!(holder("CRYPT-LUKS2-0-a", "0 8 linear 8:1 0"), disk);
        assert!(holder("LVM-0", "0 8 linear 8:1 0").is_empty());
        assert!(holder("CRYPT-LUKS2-0-a", "0 8 zero").is_empty());
    }

    #[test]
    fn a_cipher_that_is_not_known_is_no_proof() {
        for cipher in ["rot13-xts-plain64", "capi:new(aes)-plain64", "aes-new-plain64", "?"] {
            let line = format!("0 8 crypt {cipher} {} 0 8:1 0", "0".repeat(64));
            let legs = legs(&line).unwrap();
            assert!(
                matches!(legs[..], [Leg::Unknown { reason: Reason::UnknownTarget, .. }]),
                "{cipher}"
            );
        }
    }

    #[test]
    fn a_line_that_is_cut_short_is_not_a_pass() {
        assert_eq!(legs("0 8 crypt aes-xts-plain64 00"), None);
        assert_eq!(legs("0 8 crypt"), None);
    }
}
