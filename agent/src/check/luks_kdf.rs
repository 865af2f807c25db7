//! `luks_kdf`: passphrases of LUKS keyslots are expensive to try.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::luks_volume::{LuksVolume, Opener, judge_headers, opener};
use super::outcome::finding;
use super::{Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, PCI_3_5_1_3, SOC2_CC6_1};
use crate::luks::{Header, Kdf};
use crate::policy::KdfPolicy;

pub(super) const CHECK: Check = Check {
    id: "luks_kdf",
    title: "Passphrases of LUKS keyslots are stretched enough",
    why: "Whoever has the disk tries passphrases at the speed that the key derivation allows, on as many machines as \
          he likes. Headers of old installations allow thousands a second.",
    decides: "By the parameters in the header, for every keyslot that a typed passphrase or key file opens: PBKDF2 \
              needs the iterations of the policy (600,000; more with SHA-1 or RIPEMD-160), Argon2 its memory (64 MiB) \
              and its work (three passes over that). Keyslots that only a TPM, security key, Tang server or recovery \
              key opens hold random keys and need no stretching.",
    severity: Severity::Medium,
    remedy: "`cryptsetup luksConvertKey --pbkdf argon2id DEVICE` for LUKS2, `cryptsetup luksChangeKey --iter-time 5000 \
             DEVICE` for LUKS1, once for each keyslot named",
    controls: &[NIST_SC_12, NIST_SC_28_1, PCI_3_5_1_3, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    judge_headers(&CHECK, context, |volume, header| judge(volume, header, &context.policy.kdf))
}

fn judge(volume: &LuksVolume<'_>, header: &Header, policy: &KdfPolicy) -> Finding {
    let (mut weak, mut unknown, mut good) = (Vec::new(), Vec::new(), 0_usize);
    let mut evidence = Vec::new();
    for slot in &header.keyslots {
        let Some(kdf) = &slot.kdf else { continue };
        evidence.push((format!("keyslot_{}", slot.number), describe(kdf)));
        if slot.unbound || opener(header, slot) != Opener::Passphrase {
            continue;
        }
        match is_enough(kdf, policy) {
            Some(true) => good += 1,
            Some(false) => weak.push(format!("keyslot {} ({})", slot.number, describe(kdf))),
            None => unknown.push(format!("keyslot {} ({})", slot.number, describe(kdf))),
        }
    }
    let node = &volume.node;
    let (outcome, summary) = if !weak.is_empty() {
        (Outcome::Fail, format!("{node}: {} can be tried too cheaply", weak.join(", ")))
    } else if !unknown.is_empty() {
        (
            Outcome::Unknown,
            format!("{node}: {} is stretched in a way that is not known", unknown.join(", ")),
        )
    } else if good > 0 {
        (Outcome::Pass, format!("{node}: every passphrase is stretched enough"))
    } else {
        (Outcome::NotApplicable, format!("{node}: no keyslot is opened with a passphrase"))
    };
    let judged = finding(&CHECK, &volume.asset, outcome, summary);
    Finding {
        remedy: judged.remedy.replace("DEVICE", node),
        evidence: evidence.into_iter().collect(),
        ..judged
    }
}

fn is_enough(kdf: &Kdf, policy: &KdfPolicy) -> Option<bool> {
    match kdf {
        Kdf::Pbkdf2 { hash, iterations } => {
            let is_short = matches!(hash.as_str(), "sha1" | "ripemd160");
            let least = if is_short {
                policy.pbkdf2_iterations_short_hash
            } else {
                policy.pbkdf2_iterations
            };
            Some(*iterations >= least)
        }
        Kdf::Argon2 { time, memory_kib, .. } => {
            // More memory makes up for fewer passes, not the other way round.
            let work = u64::from(*time) * u64::from(*memory_kib);
            let least = u64::from(policy.argon2_time) * u64::from(policy.argon2_memory_kib);
            Some(*memory_kib >= policy.argon2_memory_kib && work >= least)
        }
        Kdf::Other(_) => None,
    }
}

fn describe(kdf: &Kdf) -> String {
    match kdf {
        Kdf::Pbkdf2 { hash, iterations } => format!("pbkdf2-{hash}, {iterations} iterations"),
        Kdf::Argon2 { variant, time, memory_kib, .. } => {
            format!("{variant}, {time} passes over {} MiB", memory_kib / 1024)
        }
        Kdf::Other(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::luks_fixture::{self, header, pbkdf2, slot, snapshot, token};
    use super::*;
    use crate::luks::{Keyslot, Token};
    use crate::snapshot::{Observed, Trouble};

    fn found(keyslots: Vec<Keyslot>, tokens: Vec<Token>) -> Finding {
        let snapshot = snapshot(Observed::Known(header(keyslots, tokens)));
        luks_fixture::evaluate(&CHECK, &snapshot).pop().unwrap()
    }

    fn outcome(slot: Keyslot) -> Outcome {
        found(vec![slot], Vec::new()).outcome
    }

    fn argon2(time: u32, memory_kib: u32) -> Keyslot {
        let variant = "argon2id".to_owned();
        Keyslot { kdf: Some(Kdf::Argon2 { variant, time, memory_kib, cpus: 4 }), ..slot(0) }
    }

    #[test]
    fn what_cryptsetup_chooses_today_passes() {
        assert_eq!(outcome(slot(0)), Outcome::Pass);
        assert_eq!(outcome(pbkdf2(0, "sha256", 1_800_000)), Outcome::Pass);
        assert_eq!(outcome(argon2(3, 65_536)), Outcome::Pass);
        assert_eq!(outcome(argon2(1, 1_048_576)), Outcome::Pass);
    }

    #[test]
    fn cheap_stretching_fails_and_the_slot_is_named() {
        let finding = found(vec![slot(0), pbkdf2(5, "sha256", 1000)], Vec::new());
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(
            finding.summary.contains("keyslot 5 (pbkdf2-sha256, 1000 iterations)"),
            "{}",
            finding.summary
        );
        assert!(finding.remedy.contains("/dev/sdb1"));
        assert_eq!(outcome(pbkdf2(0, "sha1", 1_000_000)), Outcome::Fail);
        assert_eq!(outcome(argon2(58, 16)), Outcome::Fail);
        assert_eq!(outcome(argon2(1, 65_536)), Outcome::Fail);
    }

    #[test]
    fn random_keys_need_no_stretching() {
        for kind in ["systemd-tpm2", "clevis", "systemd-recovery"] {
            let finding = found(vec![slot(0), pbkdf2(1, "sha256", 1000)], vec![token(kind, &[1])]);
            assert_eq!(finding.outcome, Outcome::Pass, "{kind}");
        }
        let keyring = found(vec![pbkdf2(1, "sha256", 1000)], vec![token("luks2-keyring", &[1])]);
        assert_eq!(keyring.outcome, Outcome::Fail);
        let only = found(vec![pbkdf2(1, "sha256", 1000)], vec![token("systemd-tpm2", &[1])]);
        assert_eq!(only.outcome, Outcome::NotApplicable);
    }

    #[test]
    fn what_is_not_known_does_not_pass() {
        let other = Keyslot { kdf: Some(Kdf::Other("balloon".to_owned())), ..slot(0) };
        assert_eq!(outcome(other), Outcome::Unknown);
        let hidden = snapshot(Observed::Unreadable(Trouble::new(Reason::NoPermission, "no")));
        assert_eq!(luks_fixture::evaluate(&CHECK, &hidden)[0].outcome, Outcome::Unknown);
    }
}
