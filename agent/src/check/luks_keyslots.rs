//! `luks_keyslots`: a volume can be opened by whom it should, and after its hardware is gone.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::luks_volume::{LuksVolume, Opener, judge_headers, opener};
use super::outcome::finding;
use super::{Check, Context, ISO_8_24, NIST_SC_12, PCI_3_5_1_3, SOC2_CC6_1};
use crate::luks::Header;
use crate::policy::Policy;

pub(super) const CHECK: Check = Check {
    id: "luks_keyslots",
    title: "LUKS keyslots are no more and no fewer than needed",
    why: "A keyslot that nobody remembers is a key that nobody guards. A volume that only a TPM or a Tang server \
          opens is lost with that hardware, and one without any keyslot with the next reboot.",
    decides: "By the keyslots, digests and tokens in the header. Fails when no keyslot opens the data, when one is \
              bound to no data, when there are more than the policy allows, or when only a TPM, security key or Tang \
              server opens it and the policy wants a passphrase or recovery key beside. Of Clevis policies and systemd \
              tokens it shows what they need. Clevis keeps those of LUKS1 outside of the header, where they are not looked \
              for: their keyslots count as passphrases.",
    severity: Severity::Low,
    remedy: "`cryptsetup luksKillSlot DEVICE NUMBER` for a keyslot that is not needed; `systemd-cryptenroll \
             --recovery-key DEVICE` for a volume that only hardware opens",
    controls: &[NIST_SC_12, PCI_3_5_1_3, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    judge_headers(&CHECK, context, |volume, header| judge(volume, header, context.policy))
}

fn judge(volume: &LuksVolume<'_>, header: &Header, policy: &Policy) -> Finding {
    let node = &volume.node;
    // The slot in which re-encryption keeps its state is not a key.
    let keys = || header.keyslots.iter().filter(|slot| slot.kind != "reencrypt");
    let numbers = |unbound: bool| -> Vec<String> {
        keys().filter(|slot| slot.unbound == unbound).map(|slot| slot.number.to_string()).collect()
    };
    let (bound, unbound) = (numbers(false), numbers(true));
    let is_device_only =
        keys().filter(|slot| !slot.unbound).all(|slot| opener(header, slot) == Opener::Device);

    let mut problems = Vec::new();
    let mut severity = CHECK.severity;
    let mut remedy = CHECK.remedy.replace("DEVICE", node);
    if bound.is_empty() {
        problems.push("no keyslot opens the data: after it is closed nobody can".to_owned());
        severity = Severity::High;
        remedy = format!(
            "while {node} is still open, restore a header backup (`cryptsetup luksHeaderRestore`) or add a key from \
             the volume key, or move the data off"
        );
    } else if is_device_only && policy.require_recovery_keyslot {
        problems.push(format!(
            "only a TPM, security key or server opens it, with no recovery key{}",
            needs(header)
        ));
        severity = Severity::Medium;
    }
    if !unbound.is_empty() {
        problems.push(format!("keyslot {} is bound to no data", unbound.join(", ")));
    }
    if bound.len() > policy.max_keyslots {
        problems.push(format!(
            "{} keyslots, where the policy allows {}",
            bound.len(),
            policy.max_keyslots
        ));
    }
    let judged = if problems.is_empty() {
        let summary = format!("{node}: {} keyslots, all accounted for", bound.len());
        finding(&CHECK, &volume.asset, Outcome::Pass, summary)
    } else {
        let summary = format!("{node}: {}", problems.join("; "));
        Finding { severity, remedy, ..finding(&CHECK, &volume.asset, Outcome::Fail, summary) }
    };
    let tokens = header.tokens.iter().map(|token| {
        let named = format!("{} {}", token.kind, list(&token.keyslots));
        if token.pins.is_empty() { named } else { format!("{named} ({})", token.pins.join("; ")) }
    });
    let evidence = [
        ("keyslots", bound.join(" ")),
        ("unbound", unbound.join(" ")),
        ("tokens", tokens.collect::<Vec<_>>().join("; ")),
    ];
    let evidence = evidence.into_iter().filter(|(_, value)| !value.is_empty());
    Finding { evidence: evidence.map(|(name, value)| (name.to_owned(), value)).collect(), ..judged }
}

/// What the tokens of such a volume need, as far as they say.
fn needs(header: &Header) -> String {
    let mut pins: Vec<&str> =
        header.tokens.iter().flat_map(|token| &token.pins).map(String::as_str).collect();
    pins.sort_unstable();
    pins.dedup();
    if pins.is_empty() { String::new() } else { format!(": {}", pins.join(" or ")) }
}

fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::luks_fixture::{self, header, slot, snapshot, token};
    use super::*;
    use crate::luks::{Keyslot, Token};
    use crate::snapshot::{Observed, Trouble};

    fn found(keyslots: Vec<Keyslot>, tokens: Vec<Token>) -> Finding {
        let snapshot = snapshot(Observed::Known(header(keyslots, tokens)));
        luks_fixture::evaluate(&CHECK, &snapshot).pop().unwrap()
    }

    fn fails(finding: &Finding, part: &str, severity: Severity) {
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, severity), "{finding:?}");
        assert!(finding.summary.contains(part), "{}", finding.summary);
    }

    #[test]
    fn a_passphrase_in_any_slot_passes() {
        assert_eq!(found(vec![slot(0)], Vec::new()).outcome, Outcome::Pass);
        assert_eq!(found(vec![slot(5)], Vec::new()).outcome, Outcome::Pass);
    }

    #[test]
    fn hardware_passes_with_a_way_back_and_fails_without() {
        let tpm = token("systemd-tpm2", &[1]);
        assert_eq!(found(vec![slot(0), slot(1)], vec![tpm.clone()]).outcome, Outcome::Pass);
        let recovery = token("systemd-recovery", &[0]);
        assert_eq!(
            found(vec![slot(0), slot(1)], vec![tpm.clone(), recovery]).outcome,
            Outcome::Pass
        );
        fails(&found(vec![slot(1)], vec![tpm]), "no recovery key", Severity::Medium);
        fails(
            &found(vec![slot(1)], vec![token("clevis", &[1])]),
            "no recovery key",
            Severity::Medium,
        );
    }

    #[test]
    fn a_slot_bound_to_no_data_fails() {
        let unbound = Keyslot { unbound: true, ..slot(3) };
        fails(
            &found(vec![slot(0), unbound], Vec::new()),
            "keyslot 3 is bound to no data",
            Severity::Low,
        );
    }

    #[test]
    fn no_slot_at_all_fails_hard() {
        fails(&found(Vec::new(), Vec::new()), "no keyslot opens", Severity::High);
        let unbound = Keyslot { unbound: true, ..slot(0) };
        fails(&found(vec![unbound], Vec::new()), "no keyslot opens", Severity::High);
    }

    #[test]
    fn what_the_only_tokens_need_is_told() {
        let needs =
            |kind: &str, pin: &str| Token { pins: vec![pin.to_owned()], ..token(kind, &[0]) };
        let tree = "sss(t=1: tang http://tang1, tpm2)";
        let tokens = vec![needs("clevis", tree), needs("systemd-tpm2", "tpm2 with PIN")];
        let finding = found(vec![slot(0)], tokens);
        fails(&finding, &format!("recovery key: {tree} or tpm2 with PIN"), Severity::Medium);
        assert_eq!(
            finding.evidence["tokens"],
            format!("clevis 0 ({tree}); systemd-tpm2 0 (tpm2 with PIN)")
        );
    }

    #[test]
    fn all_32_slots_are_too_many() {
        fails(&found((0..32).map(slot).collect(), Vec::new()), "32 keyslots", Severity::Low);
    }

    #[test]
    fn the_state_of_a_re_encryption_is_not_a_key() {
        let state = Keyslot { kind: "reencrypt".to_owned(), kdf: None, ..slot(2) };
        assert_eq!(found(vec![slot(0), state], Vec::new()).outcome, Outcome::Pass);
    }

    #[test]
    fn a_header_that_cannot_be_read_is_unknown() {
        let hidden = snapshot(Observed::Unreadable(Trouble::new(Reason::Unreadable, "damaged")));
        assert_eq!(luks_fixture::evaluate(&CHECK, &hidden)[0].outcome, Outcome::Unknown);
    }
}
