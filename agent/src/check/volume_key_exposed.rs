//! `volume_key_exposed`: the volume key of an open device cannot be asked for.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::crypt_device::{CryptDevice, judge_devices};
use super::outcome::finding;
use super::{Check, Context, ISO_8_24, NIST_SC_12, PCI_3_5_1_3, SOC2_CC6_1};
use crate::layer::device_mapper::crypt::{self, Key};

pub(super) const CHECK: Check = Check {
    id: "volume_key_exposed",
    title: "The volume key is in the kernel's keyring, not in the device's table",
    why: "A key in the table is printed by `dmsetup table --showkeys` for every root shell, and a support bundle or a \
          log may carry it off. Whoever has it reads the disk for ever: changing the passphrase does not change it. A \
          key in the keyring is in the kernel's memory all the same, but nobody can ask for it.",
    decides: "By the kernel's live table: passes when the key of every crypt target is a reference to a `logon`, \
              `trusted` or `encrypted` key of the keyring. Fails when the table holds the key itself, or refers to a \
              `user` key, which root can read. A suspended device shows zeros where its key was wiped: that is not told \
              from a key.",
    severity: Severity::Low,
    remedy: "make it a LUKS2 volume, whose keys go to the keyring (`cryptsetup convert --type luks2 DEVICE` for LUKS1), \
             and open it without `--disable-keyring`",
    controls: &[NIST_SC_12, PCI_3_5_1_3, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

/// What to do, by what libcryptsetup puts into the UUID of what it opens.
const REMEDIES: &[(&str, &str)] = &[
    (
        "CRYPT-LUKS2-",
        "close it and open it again without `--disable-keyring`, with cryptsetup 2.0 and a kernel 4.10 or later",
    ),
    (
        "CRYPT-LUKS1-",
        "LUKS1 has no keyring: back up the header, close it, `cryptsetup convert --type luks2` its device, and open it \
         again",
    ),
    (
        "CRYPT-PLAIN-",
        "plain dm-crypt has no keyring: put a LUKS2 volume in its place; for swap with a new random key at each boot the \
         key is worth little, and an exception will do",
    ),
];

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    judge_devices(&CHECK, context, judge)
}

fn judge(device: &CryptDevice<'_>) -> Finding {
    let node = &device.node;
    let say = |outcome, summary| finding(&CHECK, &device.asset, outcome, summary);
    let mut places: Vec<Place> = device
        .targets()
        .map(|(_, crypt)| match crypt {
            None => Place::Unknown("a crypt line that makes no sense".to_owned()),
            Some(crypt) if crypt::is_null(&crypt) => Place::NoKey,
            Some(crypt) => place(crypt.key, device.dm.suspended),
        })
        .collect();
    places.sort_unstable();
    match places.pop().unwrap_or(Place::NoKey) {
        Place::NoKey => say(Outcome::NotApplicable, format!("{node} is encrypted with no key")),
        Place::Kernel => {
            say(Outcome::Pass, format!("the volume key of {node} is in the kernel's keyring"))
        }
        Place::Unknown(why) => say(Outcome::Unknown, format!("{node}: {why}")),
        Place::Open(why) => {
            let uuid = &device.dm.uuid;
            let known = REMEDIES.iter().find(|(prefix, _)| uuid.starts_with(prefix));
            let judged = say(Outcome::Fail, format!("{node}: {why}"));
            let remedy = known.map_or(judged.remedy, |(_, remedy)| (*remedy).to_owned());
            Finding { remedy, ..judged }
        }
    }
}

/// Where a key can be got, the worst last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    NoKey,
    Kernel,
    Unknown(String),
    Open(&'static str),
}

fn place(key: Key, suspended: bool) -> Place {
    match key {
        Key::None => Place::NoKey,
        // `luksSuspend` takes a reference away too, see `crypt::is_null`.
        Key::Table if suspended => {
            Place::Unknown("it is suspended, and its key may have been wiped".to_owned())
        }
        Key::Table => Place::Open("root can read the volume key with `dmsetup table --showkeys`"),
        Key::Keyring(kind) => match kind.as_str() {
            // What these hold is never given to a process in the clear.
            "logon" | "trusted" | "encrypted" => Place::Kernel,
            "user" => {
                Place::Open("its volume key is a `user` key, which root can read with `keyctl`")
            }
            other => Place::Unknown(format!("a kind of key that is not known: {other}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::crypt_fixture::{
        KEYRING, crypt, facts, only, snapshot, table_key, unreadable,
    };
    use super::super::luks_fixture;
    use super::*;

    const CIPHER: &str = "aes-xts-plain64";

    #[test]
    fn a_key_in_the_keyring_passes() {
        for kind in ["logon", "trusted", "encrypted"] {
            let finding = only(&CHECK, &crypt(CIPHER, &KEYRING.replace("logon", kind)));
            assert_eq!(finding.outcome, Outcome::Pass, "{kind}");
        }
    }

    #[test]
    fn a_key_that_root_can_read_fails_with_a_remedy_that_fits() {
        for (uuid, remedy) in [
            ("CRYPT-LUKS2-0-es", "--disable-keyring"),
            ("CRYPT-LUKS1-0-es", "convert"),
            ("CRYPT-PLAIN-es", "plain dm-crypt"),
            ("CRYPT-TCRYPT-es", "make it a LUKS2 volume"),
            ("", "make it a LUKS2 volume"),
        ] {
            let mut open = crypt(CIPHER, &table_key(512));
            uuid.clone_into(&mut facts(&mut open).uuid);
            let finding = only(&CHECK, &open);
            assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Low));
            assert!(finding.remedy.contains(remedy), "{uuid}: {}", finding.remedy);
        }
        assert_eq!(only(&CHECK, &crypt(CIPHER, ":64:user:mine")).outcome, Outcome::Fail);
    }

    #[test]
    fn a_suspended_device_may_have_lost_its_key() {
        let mut suspended = crypt(CIPHER, &table_key(512));
        facts(&mut suspended).suspended = true;
        assert_eq!(only(&CHECK, &suspended).outcome, Outcome::Unknown);
        let mut suspended = crypt(CIPHER, KEYRING);
        facts(&mut suspended).suspended = true;
        assert_eq!(only(&CHECK, &suspended).outcome, Outcome::Pass);
    }

    #[test]
    fn what_is_not_known_is_unknown() {
        assert_eq!(only(&CHECK, &crypt(CIPHER, ":64:newkind:mine")).outcome, Outcome::Unknown);
        assert_eq!(
            only(&CHECK, &snapshot(&["0 8 crypt aes-xts-plain64"])).outcome,
            Outcome::Unknown
        );
        let hidden = unreadable("CRYPT-PLAIN-es", Reason::NoPermission);
        assert_eq!(only(&CHECK, &hidden).outcome, Outcome::Unknown);
    }

    #[test]
    fn the_worst_of_several_targets_decides() {
        let kept = format!("0 8 crypt {CIPHER} {KEYRING} 0 8:17 0");
        let open = format!("8 8 crypt {CIPHER} {} 0 8:17 8", table_key(512));
        assert_eq!(only(&CHECK, &snapshot(&[&kept, &open])).outcome, Outcome::Fail);
    }

    #[test]
    fn without_a_key_it_does_not_apply() {
        assert_eq!(only(&CHECK, &crypt("cipher_null-ecb", "-")).outcome, Outcome::NotApplicable);
        assert!(luks_fixture::evaluate(&CHECK, &snapshot(&["0 8 linear 8:17 0"])).is_empty());
    }
}
