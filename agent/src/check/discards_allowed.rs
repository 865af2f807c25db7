//! `discards_allowed`: the disk is not told which blocks of an encrypted device are free.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::crypt_device::{CryptDevice, judge_devices};
use super::outcome::finding;
use super::{Check, Context, ISO_8_24, NIST_SC_28_1};
use crate::policy::Policy;

pub(super) const CHECK: Check = Check {
    id: "discards_allowed",
    title: "Discards do not pass through dm-crypt",
    why: "Discarded blocks read as zeros on many disks. Whoever has the disk sees which blocks are in use, and from that \
          how full it is, which file system it holds, and how its files lie. The contents stay encrypted, and SSDs last \
          longer: where that matters more, say so in the policy (accept_discards).",
    decides: "By the option `allow_discards` in the kernel's live table.",
    severity: Severity::Low,
    remedy: "take `discard` out of /etc/crypttab and open the device again; for a flag that LUKS2 keeps in its header, \
             `cryptsetup refresh --persistent NAME` without `--allow-discards`; or accept it in the policy (accept_discards)",
    controls: &[NIST_SC_28_1, ISO_8_24],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    judge_devices(&CHECK, context, |device| judge(device, context.policy))
}

fn judge(device: &CryptDevice<'_>, policy: &Policy) -> Finding {
    let node = &device.node;
    let say = |outcome, summary| finding(&CHECK, &device.asset, outcome, summary);
    let mut is_odd = false;
    let mut allows = false;
    for (_, crypt) in device.targets() {
        match crypt {
            Some(crypt) => allows |= crypt.options.iter().any(|option| option == "allow_discards"),
            None => is_odd = true,
        }
    }
    if allows && policy.accept_discards {
        say(Outcome::Pass, format!("{node} passes discards on, which the policy accepts"))
    } else if allows {
        let judged = say(
            Outcome::Fail,
            format!("{node} passes discards on: the disk shows which blocks are free"),
        );
        Finding { remedy: judged.remedy.replace("NAME", &device.dm.name), ..judged }
    } else if is_odd {
        say(Outcome::Unknown, format!("{node}: a crypt line that makes no sense"))
    } else {
        say(Outcome::Pass, format!("{node} passes no discards on"))
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::crypt_fixture::{KEYRING, crypt, only, only_with, snapshot, unreadable};
    use super::super::luks_fixture;
    use super::*;
    use crate::snapshot::Snapshot;

    fn with(options: &str) -> Snapshot {
        snapshot(&[&format!("0 8 crypt aes-xts-plain64 {KEYRING} 0 8:17 0 {options}")])
    }

    #[test]
    fn without_the_option_it_passes() {
        assert_eq!(only(&CHECK, &crypt("aes-xts-plain64", KEYRING)).outcome, Outcome::Pass);
        assert_eq!(only(&CHECK, &with("1 no_read_workqueue")).outcome, Outcome::Pass);
    }

    #[test]
    fn with_the_option_it_fails_unless_the_policy_accepts_it() {
        for options in ["1 allow_discards", "2 allow_discards no_read_workqueue"] {
            let finding = only(&CHECK, &with(options));
            assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Low));
            assert!(finding.remedy.contains("--persistent es"), "{}", finding.remedy);
        }
        let policy = Policy { accept_discards: true, ..Policy::default() };
        assert_eq!(only_with(&CHECK, &with("1 allow_discards"), &policy).outcome, Outcome::Pass);
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let hidden = unreadable("CRYPT-LUKS2-0-es", Reason::NoPermission);
        assert_eq!(only(&CHECK, &hidden).outcome, Outcome::Unknown);
        assert_eq!(
            only(&CHECK, &snapshot(&["0 8 crypt aes-xts-plain64"])).outcome,
            Outcome::Unknown
        );
    }

    #[test]
    fn without_dm_crypt_it_does_not_apply() {
        assert!(luks_fixture::evaluate(&CHECK, &snapshot(&["0 8 linear 8:17 0"])).is_empty());
    }
}
