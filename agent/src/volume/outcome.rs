//! What the legs of a path come to, and the verdict that follows.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{EncryptedBy, PlainLeg, Reason, Undecided, Verdict};

use crate::layer::{Role, WhenPlain};

/// All legs below a point, added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    encrypted: BTreeSet<EncryptedBy>,
    /// What encrypts the swap that memory may go to: it does not make memory encrypted storage.
    encrypted_swap: BTreeSet<EncryptedBy>,
    /// By the device that holds plaintext and the reason: the layers passed on the way, from the top.
    plain: BTreeMap<(String, Reason), Vec<String>>,
    claimed: BTreeSet<(Reason, String)>,
    unknown: BTreeSet<(Reason, String)>,
    memory: bool,
}

impl Outcome {
    /// One leg that could not be decided.
    pub(super) fn unknown(reason: Reason, detail: String) -> Self {
        let mut outcome = Self::default();
        outcome.undecided(reason, detail);
        outcome
    }

    /// What encrypts below, and nothing else of it.
    pub(super) fn only_encrypted(&self) -> Self {
        Self { encrypted: self.encrypted.clone(), ..Self::default() }
    }

    pub(super) fn encrypted(&mut self, by: EncryptedBy) {
        self.encrypted.insert(by);
    }

    pub(super) fn plain(&mut self, device: &str, reason: Reason) {
        self.plain.entry((device.to_owned(), reason)).or_default();
    }

    pub(super) fn claimed(&mut self, reason: Reason, who: String) {
        self.claimed.insert((reason, who));
    }

    pub(super) fn undecided(&mut self, reason: Reason, detail: String) {
        self.unknown.insert((reason, detail));
    }

    pub(super) fn memory(&mut self) {
        self.memory = true;
    }

    /// Adds what was found below, reached in `role` by way of `via`.
    pub(super) fn absorb(&mut self, below: &Self, role: Role, via: &[String]) {
        let encrypted =
            if role == Role::Swap { &mut self.encrypted_swap } else { &mut self.encrypted };
        add(encrypted, &below.encrypted);
        add(&mut self.encrypted_swap, &below.encrypted_swap);
        add(&mut self.claimed, &below.claimed);
        add(&mut self.unknown, &below.unknown);
        self.memory |= below.memory;
        for ((device, reason), further) in &below.plain {
            let reason = match role.when_plain() {
                // All that gets out is names, or memory, whatever the way.
                WhenPlain::Plain(here @ (Reason::PlainNames | Reason::PlainSwap)) => here,
                // The role says why plaintext gets out here; a more telling reason from below stays.
                WhenPlain::Plain(here) if *reason == Reason::PlainDevice => here,
                WhenPlain::Claimed(here) if *reason == Reason::PlainDevice => {
                    self.claimed(here, format!("the drive {device}"));
                    continue;
                }
                WhenPlain::Unknown(here) => {
                    let detail = format!(
                        "{device}: plain, unless the file system encrypts by itself, which could not be asked"
                    );
                    self.undecided(here, detail);
                    continue;
                }
                WhenPlain::Plain(_) | WhenPlain::Claimed(_) => *reason,
            };
            let route: Vec<String> =
                via.iter().filter(|step| *step != device).chain(further).cloned().collect();
            // Of several routes to one device the shortest is shown, and of those the first by name.
            self.plain
                .entry((device.clone(), reason))
                .and_modify(|known| {
                    if (route.len(), &route) < (known.len(), known) {
                        known.clone_from(&route);
                    }
                })
                .or_insert(route);
        }
    }

    /// The verdict. A proven plain leg outweighs one that could not be decided, and that one a claim.
    pub fn verdict(&self) -> Verdict {
        if !self.plain.is_empty() {
            let something_else = !self.encrypted.is_empty()
                || !self.unknown.is_empty()
                || !self.claimed.is_empty()
                || (self.memory
                    && self.plain.keys().all(|(_, reason)| *reason == Reason::PlainSwap));
            return if something_else { Verdict::Partial } else { Verdict::Unencrypted };
        }
        if !self.unknown.is_empty() {
            return Verdict::Unknown;
        }
        if !self.claimed.is_empty() {
            return Verdict::Claimed;
        }
        // Memory is nobody's leg on disk: beside encrypted legs it changes nothing.
        if self.encrypted.is_empty() { Verdict::Volatile } else { Verdict::Encrypted }
    }

    /// Reason codes, sorted. None on an encrypted or volatile path.
    pub fn reasons(&self) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = self
            .plain
            .keys()
            .map(|(_, reason)| *reason)
            .chain(self.unknown.iter().map(|(reason, _)| *reason))
            .chain(self.claimed.iter().map(|(reason, _)| *reason))
            .collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// The legs that end in plaintext, sorted by device.
    pub fn plain_legs(&self) -> Vec<PlainLeg> {
        self.plain
            .iter()
            .map(|((device, reason), via)| PlainLeg {
                device: device.clone(),
                via: via.clone(),
                reason: *reason,
            })
            .collect()
    }

    /// The layers that encrypt, sorted.
    pub fn encrypted_by(&self) -> Vec<EncryptedBy> {
        self.encrypted.union(&self.encrypted_swap).cloned().collect()
    }

    /// The legs that could not be decided, sorted.
    pub fn undecided_legs(&self) -> Vec<Undecided> {
        self.unknown
            .iter()
            .map(|(reason, detail)| Undecided { reason: *reason, detail: detail.clone() })
            .collect()
    }

    /// Who claims to encrypt.
    pub fn claimed_by(&self) -> Vec<String> {
        self.claimed.iter().map(|(_, who)| who.clone()).collect()
    }
}

/// Adds what is not there yet. A path with thousands of mounts on few devices meets the same again and again.
fn add<T: Ord + Clone>(all: &mut BTreeSet<T>, more: &BTreeSet<T>) {
    for one in more {
        if !all.contains(one) {
            all.insert(one.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crypt() -> EncryptedBy {
        EncryptedBy {
            technology: "dm-crypt".to_owned(),
            device: "/dev/mapper/c".to_owned(),
            cipher: "aes-xts-plain64".to_owned(),
            key_bits: Some(512),
        }
    }

    /// Adds up legs named by letters: e(ncrypted), p(lain), u(nknown), c(laimed), m(emory), s: plain swap.
    fn verdict(legs: &str) -> Verdict {
        let mut outcome = Outcome::default();
        for leg in legs.chars() {
            match leg {
                'e' => outcome.encrypted(crypt()),
                'p' => outcome.plain("/dev/sdb", Reason::PlainDevice),
                'u' => outcome.undecided(Reason::Unreadable, String::new()),
                'c' => outcome.claimed(Reason::DriveClaim, "drive".to_owned()),
                'm' => outcome.memory(),
                's' => outcome.plain("/dev/sdc", Reason::PlainSwap),
                _ => unreachable!(),
            }
        }
        outcome.verdict()
    }

    #[test]
    fn the_weakest_proven_leg_decides() {
        for (legs, expected) in [
            ("", Verdict::Volatile),
            ("m", Verdict::Volatile),
            ("e", Verdict::Encrypted),
            ("em", Verdict::Encrypted),
            ("p", Verdict::Unencrypted),
            ("pp", Verdict::Unencrypted),
            ("pm", Verdict::Unencrypted),
            ("ep", Verdict::Partial),
            ("pu", Verdict::Partial),
            ("pc", Verdict::Partial),
            ("eu", Verdict::Unknown),
            ("cu", Verdict::Unknown),
            ("ec", Verdict::Claimed),
            ("ms", Verdict::Partial),
            ("ems", Verdict::Partial),
        ] {
            assert_eq!(verdict(legs), expected, "{legs}");
        }
    }

    #[test]
    fn memory_over_encrypted_swap_is_still_memory() {
        let mut swap = Outcome::default();
        swap.encrypted(crypt());
        let mut memory = Outcome::default();
        memory.memory();
        memory.absorb(&swap, Role::Swap, &[]);
        assert_eq!(memory.verdict(), Verdict::Volatile);
        assert_eq!(memory.encrypted_by(), [crypt()]);
        // And an encrypted path with such memory below it stays encrypted.
        let mut path = Outcome::default();
        path.encrypted(crypt());
        path.absorb(&memory, Role::Submount, &[]);
        assert_eq!(path.verdict(), Verdict::Encrypted);
    }

    #[test]
    fn memory_that_goes_to_swap_with_a_null_cipher_is_partial() {
        let mut swap = Outcome::default();
        swap.plain("/dev/sdb", Reason::NullCipher);
        let mut memory = Outcome::default();
        memory.memory();
        memory.absorb(&swap, Role::Swap, &[]);
        assert_eq!(memory.verdict(), Verdict::Partial);
        assert_eq!(memory.reasons(), [Reason::PlainSwap]);
    }

    #[test]
    fn a_role_names_the_reason_and_the_route_is_kept() {
        let mut disk = Outcome::default();
        disk.plain("/dev/sdb", Reason::PlainDevice);
        let mut outcome = Outcome::default();
        outcome.absorb(&disk, Role::Journal, &["/dev/sdb".to_owned()]);
        outcome.absorb(&disk, Role::Contents, &["/dev/md0".to_owned()]);
        assert_eq!(outcome.reasons(), [Reason::PlainDevice, Reason::PlainJournal]);
        assert_eq!(outcome.plain_legs()[0].via, ["/dev/md0"]);
        assert!(outcome.plain_legs()[1].via.is_empty());
    }
}
