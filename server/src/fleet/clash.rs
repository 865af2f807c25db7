//! Two machines with one identity, as after cloning a disk: who speaks for the host, and the server's own finding
//! `identity_clash`.
//!
//! What tells machines apart is the fingerprint of the machine id, which is fixed by enrolment, and the boot id, which
//! the kernel makes anew at every boot. Another fingerprint is another machine. Another boot alone may be the same
//! machine after a crash, whose old connection is not known to be dead yet: it waits, and only when the old connection
//! goes on speaking are there two. So a restart is never taken for a clash, and the first machine keeps its place.

use std::collections::BTreeMap;
use std::time::Duration;

use atrest_proto::model::{Finding, Outcome, Severity};
use jiff::Timestamp;

use super::observation::{Body, Place};
use super::{Applied, FindingKey, HostState};
use crate::clock;

/// The check of the catalogue.
pub const IDENTITY_CLASH: &str = "identity_clash";
/// The asset is the host itself.
const ASSET: &str = "host";
/// A connection whose machine is gone is closed by the keepalive of HTTP/2 before this is over.
const DEAD: Duration = Duration::from_secs(45);
/// What was received earlier may be read late when the store is slow; what comes so long after another word is fresh.
const APART: Duration = Duration::from_secs(10);
/// Machines that are remembered as seconds of one host.
const MAX_PROVEN: usize = 8;

/// A machine that speaks with a host's identity. What it does not tell is empty, and tells nothing apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    pub hostname: String,
    /// A hash of the machine id.
    pub fingerprint: String,
    pub boot_id: String,
    /// Where it connects from.
    pub address: String,
}

/// Two machines that use one identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// It keeps its place. `None` when it is not connected.
    pub first: Option<Machine>,
    pub second: Machine,
}

/// What the server remembers of the enrolment, beside the certificate.
#[derive(Debug, Clone, Copy)]
pub struct Enrolment<'a> {
    /// Of the machine that enrolled.
    pub fingerprint: &'a str,
    /// Not heard of for longer than allowed.
    pub gone: bool,
}

/// What becomes of a machine that wants to speak for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It speaks for the host from now on.
    Granted,
    /// The place is taken: by another machine, or by a connection of this one that will turn out dead.
    Wait,
    Clash(Box<Clash>),
    /// The machine that enrolled is gone, and this is another one: an operator has to say that it takes its place.
    Moved,
}

/// Who claims to be one host.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// Who spoke last.
    last: Option<Machine>,
    /// Whether its stream is open.
    connected: bool,
    /// Who waits for it to turn out dead.
    waiting: Option<Waiting>,
    /// Who was shown to be a second machine.
    proven: Vec<Machine>,
}

#[derive(Debug, Clone)]
struct Waiting {
    machine: Machine,
    since: Timestamp,
    /// The first word of the other one that it could not have said before it was dead.
    heard_at: Option<Timestamp>,
}

/// Both are known, and not the same.
fn differ(one: &str, other: &str) -> bool {
    !one.is_empty() && !other.is_empty() && one != other
}

impl Claims {
    /// A machine wants to speak for the host.
    pub fn claim(&mut self, enrolment: Enrolment<'_>, second: Machine, now: Timestamp) -> Claim {
        let first = self.last.clone().filter(|_| self.connected);
        if differ(enrolment.fingerprint, &second.fingerprint) {
            return if first.is_none() && enrolment.gone {
                Claim::Moved
            } else {
                Claim::Clash(Box::new(Clash { first, second }))
            };
        }
        if self.proven.iter().any(|known| known.boot_id == second.boot_id) {
            return Claim::Clash(Box::new(Clash { first, second }));
        }
        let other_boot =
            first.as_ref().is_some_and(|first| differ(&first.boot_id, &second.boot_id));
        if other_boot {
            let waits = self
                .waiting
                .as_ref()
                .is_some_and(|waiting| waiting.machine.boot_id == second.boot_id);
            if !waits {
                self.waiting = Some(Waiting { machine: second, since: now, heard_at: None });
            }
            return Claim::Wait;
        }
        self.last = Some(second);
        self.connected = true;
        Claim::Granted
    }

    /// Who speaks for the host was heard. Whoever waits for it to turn out dead is another machine then.
    pub fn speak(&mut self, now: Timestamp) -> Option<Clash> {
        let waiting = self.waiting.as_mut()?;
        if now < clock::after(waiting.since, DEAD) {
            return None;
        }
        let heard_at = *waiting.heard_at.get_or_insert(now);
        if now < clock::after(heard_at, APART) {
            return None;
        }
        let second = self.waiting.take()?.machine;
        if self.proven.len() >= MAX_PROVEN {
            self.proven.remove(0);
        }
        self.proven.push(second.clone());
        Some(Clash { first: self.last.clone(), second })
    }

    /// Whether somebody waits for who speaks to turn out dead.
    pub const fn is_contested(&self) -> bool {
        self.waiting.is_some()
    }

    /// The stream that spoke for the host has ended.
    pub fn release(&mut self) {
        self.connected = false;
        self.waiting = None;
    }
}

fn key() -> FindingKey {
    FindingKey::new(IDENTITY_CLASH, ASSET)
}

/// Two machines use the host's identity; `None` when that is known, of these two.
pub fn clash(previous: HostState, clash: &Clash, now: Timestamp) -> Option<Applied> {
    let mut applied = Applied::new(previous);
    let body = clashing(&applied.state, clash);
    applied.meet(key(), body, now);
    (!applied.touched.is_empty()).then_some(applied)
}

/// The host was enrolled anew: what the others hold is worth nothing. `None` when there was no clash.
pub fn settle(previous: HostState, now: Timestamp) -> Option<Applied> {
    if !previous.findings.get(&key()).is_some_and(super::FindingState::is_open) {
        return None;
    }
    let mut applied = Applied::new(previous);
    let summary = format!("{} was enrolled anew since", applied.state.hostname);
    let body = body(Outcome::Pass, summary, String::new(), BTreeMap::new());
    applied.meet(key(), body, now);
    Some(applied)
}

fn clashing(state: &HostState, clash: &Clash) -> Body {
    let Clash { first, second } = clash;
    let known = |text: &str| if text.is_empty() { "unknown" } else { text }.to_owned();
    let first = first.clone().unwrap_or_else(|| Machine {
        hostname: state.hostname.clone(),
        address: "not connected".to_owned(),
        ..Machine::default()
    });
    let summary = format!(
        "two machines use the identity of {}: {} ({}), which keeps its place, and {} ({}), which is refused",
        state.hostname,
        known(&first.hostname),
        known(&first.address),
        known(&second.hostname),
        known(&second.address),
    );
    let host_id = &state.host_id;
    let remedy = format!(
        "on the machine that should not have it, make a new /etc/machine-id and run `atrest-agent enroll --force \
         TOKEN` with a token of its own; its copy of the key is out of hand, so enrol the other one anew, too: \
         `atrestctl token create --replace {host_id}`, which ends this finding"
    );
    let evidence = [
        ("first_hostname", &first.hostname),
        ("first_address", &first.address),
        ("first_machine", &first.fingerprint),
        ("second_hostname", &second.hostname),
        ("second_address", &second.address),
        ("second_machine", &second.fingerprint),
    ];
    let evidence = evidence.map(|(name, value)| (name.to_owned(), known(value)));
    body(Outcome::Fail, summary, remedy, BTreeMap::from(evidence))
}

fn body(
    outcome: Outcome,
    summary: String,
    remedy: String,
    evidence: BTreeMap<String, String>,
) -> Body {
    let finding = Finding {
        check: IDENTITY_CLASH.to_owned(),
        asset: ASSET.to_owned(),
        outcome,
        severity: Severity::Critical,
        summary,
        remedy,
        reasons: Vec::new(),
        evidence,
        affects: Vec::new(),
    };
    Body::new(finding, Place::default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::{HostId, NodeState};

    const HERE: Enrolment<'static> = Enrolment { fingerprint: "m", gone: false };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn machine(name: &str, fingerprint: &str, boot: &str) -> Machine {
        Machine {
            hostname: name.to_owned(),
            fingerprint: fingerprint.to_owned(),
            boot_id: boot.to_owned(),
            address: format!("address of {name}"),
        }
    }

    #[test]
    fn another_machine_is_refused_whether_or_not_the_first_is_connected() {
        let mut claims = Claims::default();
        let (first, second) = (machine("a", "m", "1"), machine("b", "other", "2"));
        let refused = claims.claim(HERE, second.clone(), at(0));
        assert_eq!(refused, Claim::Clash(Box::new(Clash { first: None, second: second.clone() })));
        assert_eq!(claims.claim(HERE, first.clone(), at(1)), Claim::Granted);
        let refused = claims.claim(HERE, second.clone(), at(2));
        assert_eq!(
            refused,
            Claim::Clash(Box::new(Clash { first: Some(first), second: second.clone() }))
        );
        // A machine that was restored elsewhere, long after: no two are seen, but nobody said that it may.
        claims.release();
        let gone = Enrolment { gone: true, ..HERE };
        assert_eq!(claims.claim(gone, second, at(9_000)), Claim::Moved);
    }

    #[test]
    fn what_a_machine_does_not_tell_tells_nothing_apart() {
        let mut claims = Claims::default();
        for claim in [machine("a", "", ""), machine("a", "m", "1"), machine("a", "", "1")] {
            assert_eq!(claims.claim(HERE, claim, at(0)), Claim::Granted);
        }
        let untold = Enrolment { fingerprint: "", gone: false };
        assert_eq!(claims.claim(untold, machine("a", "x", "1"), at(0)), Claim::Granted);
    }

    #[test]
    fn a_second_machine_that_was_seen_stays_out_when_the_first_restarts() {
        let mut claims = Claims::default();
        let (first, clone) = (machine("a", "m", "1"), machine("b", "m", "2"));
        assert_eq!(claims.claim(HERE, first.clone(), at(0)), Claim::Granted);
        assert_eq!(claims.claim(HERE, clone.clone(), at(1)), Claim::Wait);
        assert_eq!(claims.speak(at(30)), None, "it may have been said before the machine died");
        assert_eq!(claims.speak(at(50)), None, "it may have been read late");
        let clash = Clash { first: Some(first), second: clone.clone() };
        assert_eq!(claims.speak(at(80)), Some(clash));
        assert_eq!(claims.speak(at(110)), None, "told once");
        claims.release();
        assert!(matches!(claims.claim(HERE, clone, at(120)), Claim::Clash(_)));
        assert_eq!(claims.claim(HERE, machine("a", "m", "3"), at(121)), Claim::Granted);
    }

    #[test]
    fn both_are_named_until_the_host_is_enrolled_anew() {
        let host = HostState {
            host_id: HostId::random(),
            hostname: "a".to_owned(),
            cluster: "prod".to_owned(),
            revision: 0,
            sequence: 0,
            digest: None,
            outline: None,
            verdict: NodeState::Encrypted,
            revoked_at: None,
            findings: BTreeMap::new(),
        };
        assert_eq!(settle(host.clone(), at(1)), None);
        let found =
            Clash { first: Some(machine("a", "m", "1")), second: machine("b", "other", "2") };
        let clashing = clash(host, &found, at(1)).unwrap();
        let body = clashing.touched[&key()].clone().unwrap();
        for part in ["address of a", "address of b"] {
            assert!(body.finding.summary.contains(part), "{}", body.finding.summary);
        }
        assert_eq!(body.finding.evidence["second_machine"], "other");
        assert!(body.finding.remedy.contains("--replace"));
        assert_eq!(clash(clashing.state.clone(), &found, at(2)), None, "known");
        let settled = settle(clashing.state, at(3)).unwrap();
        assert_eq!(settled.state.failing(), 0);
    }

    #[derive(Debug, Clone, Copy)]
    enum Event {
        /// The agent connects, again or for the first time.
        Connect,
        Speak,
        /// The stream ends, and the server knows.
        Disconnect,
        /// The machine loses power: a connection that was open looks open, until it turns out dead.
        Crash,
        /// An orderly restart.
        Reboot,
        Pass(i64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Connect),
            Just(Event::Speak),
            Just(Event::Disconnect),
            Just(Event::Crash),
            Just(Event::Reboot),
            (0_i64..90).prop_map(Event::Pass),
        ]
    }

    proptest! {
        /// Whatever happens to one machine: it is never taken for two, and gets in again once its dead
        /// connection is known to be dead.
        #[test]
        fn one_machine_never_clashes(events in prop::collection::vec(event(), 0..60)) {
            let mut claims = Claims::default();
            let (mut now, mut boot) = (0_i64, 0_u32);
            // Whether the machine itself has its stream, and until when a dead one looks open.
            let (mut open, mut dead_until) = (false, None::<i64>);
            for event in events {
                if dead_until.is_some_and(|until| until <= now) {
                    dead_until = None;
                    claims.release();
                }
                match event {
                    Event::Connect => {
                        let claim = claims.claim(HERE, machine("a", "m", &boot.to_string()), at(now));
                        match claim {
                            Claim::Granted => { open = true; dead_until = None; }
                            Claim::Wait => prop_assert!(dead_until.is_some(), "nothing to wait for"),
                            Claim::Clash(_) | Claim::Moved => prop_assert!(false, "{claim:?}"),
                        }
                    }
                    // What a machine said before it died may be read until its connection is known to be dead.
                    Event::Speak => if open || dead_until.is_some() {
                        prop_assert_eq!(claims.speak(at(now)), None);
                    },
                    Event::Disconnect | Event::Reboot => {
                        if open { claims.release(); }
                        open = false;
                        if matches!(event, Event::Reboot) { boot += 1; }
                    }
                    Event::Crash => {
                        if open { dead_until = Some(now + 30); }
                        open = false;
                        boot += 1;
                    }
                    Event::Pass(seconds) => now += seconds,
                }
            }
        }

        /// While the first machine is connected and speaks, no other one ever gets its place, and one that
        /// tries is found out.
        #[test]
        fn the_first_of_two_keeps_its_place(
            same_fingerprint in any::<bool>(),
            waits in prop::collection::vec(0_i64..40, 1..30),
        ) {
            let mut claims = Claims::default();
            let first = machine("a", "m", "1");
            let second = machine("b", if same_fingerprint { "m" } else { "other" }, "2");
            let (mut now, mut tried_at, mut clashed) = (0, None::<i64>, false);
            prop_assert_eq!(claims.claim(HERE, first.clone(), at(now)), Claim::Granted);
            for (turn, wait) in waits.into_iter().enumerate() {
                now += wait;
                if turn % 3 == 0 {
                    let claim = claims.claim(HERE, second.clone(), at(now));
                    prop_assert!(claim != Claim::Granted);
                    clashed |= matches!(claim, Claim::Clash(_));
                    tried_at = tried_at.or(Some(now));
                } else if turn % 7 == 5 {
                    // The first one connects again, as after a broken connection that it noticed first.
                    prop_assert_eq!(claims.claim(HERE, first.clone(), at(now)), Claim::Granted);
                }
                clashed |= claims.speak(at(now)).is_some();
            }
            // Two more heartbeats, and it is out.
            for _ in 0..3 {
                now += 30;
                clashed |= claims.speak(at(now)).is_some();
            }
            prop_assert!(clashed || tried_at.is_none());
        }
    }
}
