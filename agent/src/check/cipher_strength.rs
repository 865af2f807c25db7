//! `cipher_strength`: what dm-crypt encrypts with holds today.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::crypt_device::{CryptDevice, judge_devices};
use super::outcome::finding;
use super::{CIS_3_11, Check, Context, HIPAA_312, ISO_8_24, NIST_SC_28_1, PCI_3_5_1_2, SOC2_CC6_1};
use crate::layer::device_mapper::cipher::{self, Iv, Kind, Mode, Specification};
use crate::layer::device_mapper::crypt::{self, Crypt};
use crate::policy::CipherPolicy;
use crate::snapshot::DmTarget;

pub(super) const CHECK: Check = Check {
    id: "cipher_strength",
    title: "dm-crypt devices use a cipher that holds",
    why: "A device that goes through dm-crypt is no safer than its cipher. The null cipher does nothing, ECB shows which \
          blocks are equal, a foreseeable IV lets a planted file be recognised, and blocks of 64 bits repeat within a \
          large disk. For PCI DSS 3.5.1.2 it is supporting evidence only: disk encryption alone does not satisfy that \
          requirement on fixed disks.",
    decides: "By the cipher, mode, IV and key size in the kernel's live table, in both spellings of dm-crypt. Fails for \
              null ciphers, ciphers with blocks of 64 bits, RC4, ECB, CBC with a foreseeable IV, a counter mode whose IV \
              comes back, 32-bit sector numbers on a device that has more sectors, and a key below the policy's size \
              (128 bits; XTS uses half of its key). CBC with ESSIV and LRW are legacy and pass unless the policy says \
              otherwise. What is not known is unknown.",
    severity: Severity::High,
    remedy: "`cryptsetup reencrypt --cipher aes-xts-plain64 --key-size 512 DEVICE` for LUKS2; for others make a new LUKS2 \
             volume and copy the data",
    controls: &[NIST_SC_28_1, PCI_3_5_1_2, HIPAA_312, ISO_8_24, SOC2_CC6_1, CIS_3_11],
    evaluate,
};

/// What is wrong with a cipher, the worst last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Good,
    /// It passes because the policy says so.
    Legacy(&'static str),
    Unknown(String),
    Bad(Severity, String),
}

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    judge_devices(&CHECK, context, |device| judge(device, &context.policy.cipher))
}

fn judge(device: &CryptDevice<'_>, policy: &CipherPolicy) -> Finding {
    let node = &device.node;
    let mut ciphers = Vec::new();
    let mut worst = Grade::Good;
    for (target, crypt) in device.targets() {
        let grade = match &crypt {
            Some(crypt) => {
                ciphers.push(describe(crypt));
                grade(crypt, iv_units(device, target, crypt), policy)
            }
            None => Grade::Unknown("a crypt line that makes no sense".to_owned()),
        };
        worst = worst.max(grade);
    }
    ciphers.sort_unstable();
    ciphers.dedup();
    let ciphers = ciphers.join("; ");
    let judged = match worst {
        Grade::Good => {
            finding(&CHECK, &device.asset, Outcome::Pass, format!("{node} uses {ciphers}"))
        }
        Grade::Legacy(why) => {
            let summary = format!("{node} uses {ciphers}: {why}, which the policy accepts");
            finding(&CHECK, &device.asset, Outcome::Pass, summary)
        }
        Grade::Unknown(why) => Finding {
            remedy: "this version does not know that cipher: see the table, and ask for it to be supported".to_owned(),
            ..finding(&CHECK, &device.asset, Outcome::Unknown, format!("{node}: {why}"))
        },
        Grade::Bad(severity, why) => Finding {
            severity,
            ..finding(&CHECK, &device.asset, Outcome::Fail, format!("{node} uses {ciphers}: {why}"))
        },
    };
    let evidence = [("cipher".to_owned(), ciphers)];
    Finding {
        evidence: evidence.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        ..judged
    }
}

fn describe(crypt: &Crypt) -> String {
    match crypt.key_bits {
        Some(bits) => format!("{}, {bits}-bit key", crypt.cipher),
        None => crypt.cipher.clone(),
    }
}

/// How many sectors, as the IV counts them, the device has up to the end of this target. With `iv_large_sectors` it
/// counts in sectors of the encryption, else in 512 bytes.
fn iv_units(device: &CryptDevice<'_>, target: &DmTarget, crypt: &Crypt) -> u64 {
    let end = |target: &DmTarget| target.start.saturating_add(target.length);
    let all = device.table.iter().map(end).max().unwrap_or_else(|| end(target));
    let is_large = crypt.options.iter().any(|option| option == "iv_large_sectors");
    let size =
        crypt.options.iter().find_map(|option| option.strip_prefix("sector_size:")?.parse().ok());
    let per_unit = size.filter(|_| is_large).map_or(1, |bytes: u64| bytes / 512).max(1);
    all / per_unit
}

fn grade(crypt: &Crypt, iv_units: u64, policy: &CipherPolicy) -> Grade {
    let bad = |severity, why: &str| Grade::Bad(severity, why.to_owned());
    if crypt::is_null(crypt) {
        return bad(Severity::Critical, "it encrypts nothing");
    }
    let Some(found) = cipher::read(&crypt.cipher) else {
        return Grade::Unknown(format!("the cipher {} is not known", crypt.cipher));
    };
    match found.algorithm.kind {
        Kind::Null => return bad(Severity::Critical, "it encrypts nothing"),
        Kind::BrokenStream => return bad(Severity::High, "RC4 is broken"),
        Kind::Block64 => {
            return bad(Severity::High, "its blocks of 64 bits repeat within a large disk");
        }
        Kind::Block128 | Kind::Stream => {}
    }
    let strength = crypt.key_bits.and_then(|total| found.strength(total));
    let of_key = match strength {
        Some(bits) if bits < policy.min_key_bits => {
            let why = format!("{bits} bits of key where the policy wants {}", policy.min_key_bits);
            Grade::Bad(Severity::High, why)
        }
        Some(_) => Grade::Good,
        None => Grade::Unknown(format!(
            "how much of its key {} encrypts with is not known",
            crypt.cipher
        )),
    };
    of_key.max(of_mode(&found, iv_units, policy))
}

fn of_mode(found: &Specification, iv_units: u64, policy: &CipherPolicy) -> Grade {
    let bad = |severity, why: &str| Grade::Bad(severity, why.to_owned());
    let legacy = |why: &'static str| {
        if policy.accept_legacy_modes {
            Grade::Legacy(why)
        } else {
            Grade::Bad(Severity::Medium, format!("{why}, which the policy does not accept"))
        }
    };
    let (mode, iv) = (found.algorithm.mode, found.iv);
    let wraps = iv == Iv::Plain32 && iv_units > 1 << 32;
    match (mode, iv) {
        (Mode::ChecksumOnly, _) => bad(Severity::Critical, "it encrypts nothing"),
        (Mode::Ecb, _) => bad(Severity::High, "ECB shows which blocks are equal"),
        (Mode::Xts | Mode::Wide, Iv::Null) => {
            bad(Severity::High, "a null IV shows which sectors hold the same")
        }
        (Mode::Xts | Mode::Wide, _) if wraps => bad(
            Severity::Medium,
            "32 bits of sector number come back on this device: the IV should be plain64",
        ),
        (
            Mode::Xts | Mode::Wide,
            Iv::Plain32 | Iv::Plain64 | Iv::Benbi | Iv::Essiv | Iv::Eboiv | Iv::Random,
        )
        | (Mode::Cbc | Mode::Stream | Mode::Aead, Iv::Random) => Grade::Good,
        (Mode::Cbc, Iv::Plain32 | Iv::Plain64 | Iv::Benbi | Iv::Null | Iv::Tcw) => bad(
            Severity::Medium,
            "CBC with an IV that can be foreseen lets planted files be recognised",
        ),
        (Mode::Cbc, Iv::Essiv | Iv::Eboiv | Iv::Elephant | Iv::Lmk) => {
            legacy("CBC is a legacy mode")
        }
        (Mode::Lrw, Iv::Benbi) => legacy("LRW is a legacy mode"),
        (
            Mode::Stream | Mode::Aead,
            Iv::Plain32 | Iv::Plain64 | Iv::Benbi | Iv::Null | Iv::Essiv | Iv::Eboiv,
        ) => bad(Severity::High, "a sector that is written again gets the same key stream"),
        (Mode::Xts | Mode::Wide | Mode::Cbc | Mode::Lrw | Mode::Stream | Mode::Aead, _) => {
            Grade::Unknown("that IV is not known with that mode".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;
    use proptest::prelude::*;

    use super::super::crypt_fixture::{
        KEYRING, crypt, only, only_with, snapshot, table_key, unreadable,
    };
    use super::super::luks_fixture;
    use super::*;
    use crate::policy::Policy;

    fn found(cipher: &str, bits: usize) -> (Outcome, Severity) {
        let finding = only(&CHECK, &crypt(cipher, &table_key(bits)));
        (finding.outcome, finding.severity)
    }

    #[test]
    fn what_holds_today_passes() {
        for (cipher, bits) in [
            ("aes-xts-plain64", 512),
            ("aes-xts-plain64", 256),
            ("aes-xts-plain", 512),
            ("serpent-xts-plain64", 512),
            ("twofish-xts-plain64", 512),
            ("camellia-xts-plain64", 512),
            ("aria-xts-plain64", 512),
            ("sm4-xts-plain64", 256),
            ("aes-hctr2-plain64", 256),
            ("xchacha20,aes-adiantum-plain64", 256),
            ("capi:xts(aes)-plain64", 512),
            ("capi:xts-aes-aesni-plain64", 512),
            ("capi:authenc(hmac(sha256),xts(aes))-random", 768),
            ("capi:adiantum(xchacha12,aes)-plain64", 256),
            ("capi:gcm(aes)-random", 256),
            ("capi:rfc7539(chacha20,poly1305)-random", 256),
            ("aes-cbc-essiv:sha256", 256),
            ("aes-cbc-eboiv", 256),
            ("aes-cbc-elephant", 512),
            ("aes:64-cbc-lmk", 65 * 128),
            ("aes-lrw-benbi", 256),
        ] {
            assert_eq!(found(cipher, bits), (Outcome::Pass, Severity::Info), "{cipher}");
        }
        assert_eq!(only(&CHECK, &crypt("aes-xts-plain64", KEYRING)).outcome, Outcome::Pass);
    }

    #[test]
    fn what_encrypts_nothing_is_critical() {
        for cipher in
            ["cipher_null-ecb", "capi:ecb(cipher_null)-null", "capi:rfc4543(gcm(aes))-random"]
        {
            assert_eq!(found(cipher, 256), (Outcome::Fail, Severity::Critical), "{cipher}");
        }
        let keyless = only(&CHECK, &crypt("aes-xts-plain64", "-"));
        assert_eq!((keyless.outcome, keyless.severity), (Outcome::Fail, Severity::Critical));
    }

    #[test]
    fn broken_and_short_ciphers_fail() {
        for (cipher, bits) in [
            ("des-cbc-essiv:sha256", 64),
            ("des3_ede-cbc-essiv:sha256", 192),
            ("blowfish-cbc-essiv:sha256", 256),
            ("cast5-cbc-essiv:sha256", 128),
            ("arc4-ecb", 128),
            ("aes-ecb", 256),
            ("aes-ecb-null", 256),
            ("aes-xts-null", 512),
            ("capi:ctr(aes)-plain64", 256),
            ("capi:gcm(aes)-plain64", 256),
            ("capi:xchacha20-plain64", 256),
            // Half of it is each of the two keys.
            ("aes-xts-plain64", 128),
            ("capi:authenc(hmac(sha256),xts(aes))-random", 384),
        ] {
            assert_eq!(found(cipher, bits), (Outcome::Fail, Severity::High), "{cipher}");
        }
    }

    #[test]
    fn cbc_with_a_foreseeable_iv_fails() {
        for cipher in [
            "aes",
            "aes-cbc-plain",
            "aes-cbc-plain64",
            "aes-cbc-null",
            "aes-cbc-tcw",
            "capi:cbc(aes)-plain64",
            "capi:authenc(hmac(sha256),cbc(aes))-plain64",
        ] {
            assert_eq!(found(cipher, 512), (Outcome::Fail, Severity::Medium), "{cipher}");
        }
    }

    #[test]
    fn what_is_not_known_is_unknown() {
        for cipher in [
            "rot13-xts-plain64",
            "aes-xts-lmk",
            "capi:xts-aes-homebrew-plain64",
            "aes-lrw-essiv:sha256",
        ] {
            assert_eq!(found(cipher, 512).0, Outcome::Unknown, "{cipher}");
        }
        let cut = only(&CHECK, &snapshot(&["0 8 crypt aes-xts-plain64"]));
        assert_eq!(cut.outcome, Outcome::Unknown);
        let hidden = only(&CHECK, &unreadable("CRYPT-LUKS2-0-es", Reason::NoPermission));
        assert_eq!(
            (hidden.outcome, hidden.reasons),
            (Outcome::Unknown, vec![Reason::NoPermission])
        );
    }

    #[test]
    fn without_dm_crypt_it_does_not_apply() {
        assert!(luks_fixture::evaluate(&CHECK, &snapshot(&["0 8 linear 8:17 0"])).is_empty());
    }

    #[test]
    fn a_sector_number_of_32_bits_fails_only_where_it_comes_back() {
        let table = |length: u64, options: &str| {
            only(
                &CHECK,
                &snapshot(&[&format!(
                    "0 {length} crypt aes-xts-plain {KEYRING} 0 8:17 0{options}"
                )]),
            )
        };
        // 2 TiB in sectors of 512 bytes.
        assert_eq!(table(1 << 32, "").outcome, Outcome::Pass);
        let large = table((1 << 32) + 8, "");
        assert_eq!((large.outcome, large.severity), (Outcome::Fail, Severity::Medium));
        assert_eq!(table((1 << 32) + 8, " 1 sector_size:4096").outcome, Outcome::Fail);
        assert_eq!(
            table((1 << 32) + 8, " 2 sector_size:4096 iv_large_sectors").outcome,
            Outcome::Pass
        );
    }

    #[test]
    fn the_worst_segment_decides() {
        let good = format!("0 8 crypt aes-xts-plain64 {KEYRING} 0 8:17 0");
        let odd = format!("8 8 crypt rot13-xts-plain64 {KEYRING} 0 8:17 8");
        let bad = format!("16 8 crypt aes-ecb {KEYRING} 0 8:17 16");
        assert_eq!(only(&CHECK, &snapshot(&[&good, &odd])).outcome, Outcome::Unknown);
        assert_eq!(only(&CHECK, &snapshot(&[&good, &odd, &bad])).outcome, Outcome::Fail);
    }

    #[test]
    fn the_policy_decides_on_legacy_modes_and_key_sizes() {
        let strict = Policy {
            cipher: CipherPolicy { min_key_bits: 256, accept_legacy_modes: false },
            ..Policy::default()
        };
        let with =
            |cipher: &str, bits| only_with(&CHECK, &crypt(cipher, &table_key(bits)), &strict);
        let legacy = with("aes-cbc-essiv:sha256", 256);
        assert_eq!((legacy.outcome, legacy.severity), (Outcome::Fail, Severity::Medium));
        assert_eq!(with("aes-xts-plain64", 256).outcome, Outcome::Fail);
        assert_eq!(with("aes-xts-plain64", 512).outcome, Outcome::Pass);
    }

    proptest! {
        #[test]
        fn only_a_specification_that_is_known_passes(cipher in "[a-z0-9(),:_-]{1,40}") {
            let (outcome, _) = found(&cipher, 512);
            prop_assert!(outcome != Outcome::Pass || cipher::read(&cipher).is_some());
        }
    }
}
