//! What agents share out among them by way of the server: the one place that both the scan and the stream know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atrest_proto::model::Outcome;
use jiff::Timestamp;

/// Names one thing that several agents could look at: SHA-256, made alike by all of them.
pub type Key = [u8; 32];

/// For so long after the server was last heard of, another agent is trusted to look.
const ALONE_AFTER: Duration = Duration::from_hours(1);

/// What this agent could look at, and which of it another does.
#[derive(Debug, Clone, Default)]
pub struct Duties(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By what kind of thing it is.
    shared: BTreeMap<&'static str, BTreeSet<Key>>,
    /// By key: the host whose agent looks.
    delegated: BTreeMap<Key, String>,
    heard_at: Option<Timestamp>,
    /// Assets that failed when this agent looked, and have not passed since.
    held: BTreeSet<String>,
}

impl Duties {
    /// What the latest scan found to look at, of one kind.
    pub fn share(&self, kind: &'static str, keys: BTreeSet<Key>) {
        self.state().shared.insert(kind, keys);
    }

    pub fn shared(&self) -> BTreeSet<Key> {
        self.state().shared.values().flatten().copied().collect()
    }

    /// The server was heard of: what it said last still holds.
    pub fn heard(&self, now: Timestamp) {
        self.state().heard_at = Some(now);
    }

    /// Takes over what the server says. Answers whether there is more to look at here than before.
    pub fn assign(&self, delegated: BTreeMap<Key, String>, now: Timestamp) -> bool {
        let mut state = self.state();
        let is_more =
            state.delegated.keys().any(|key| state.shares(key) && !delegated.contains_key(key));
        state.delegated = delegated;
        state.heard_at = Some(now);
        is_more
    }

    /// Notes how what this agent looked at came out. What failed it goes on looking at, whoever's turn it is: that another
    /// one looks is no sign that it was mended.
    pub fn judged<'a>(&self, findings: impl Iterator<Item = (&'a str, Outcome)>) {
        let mut failed = BTreeSet::new();
        let mut settled = BTreeSet::new();
        for (asset, outcome) in findings {
            match outcome {
                Outcome::Fail => drop(failed.insert(asset.to_owned())),
                Outcome::Pass => drop(settled.insert(asset.to_owned())),
                Outcome::Unknown | Outcome::NotApplicable => {}
            }
        }
        let mut state = self.state();
        state.held.retain(|asset| !settled.contains(asset));
        state.held.extend(failed);
    }

    /// Assets that failed when this agent looked, and have not passed since: what a restart must not forget.
    pub fn held(&self) -> BTreeSet<String> {
        self.state().held.clone()
    }

    /// Goes on with what an earlier process held.
    pub fn hold(&self, held: BTreeSet<String>) {
        self.state().held.extend(held);
    }

    /// Whose agent looks at this; `None` when it is for this one to do.
    pub fn elsewhere(&self, key: &Key, asset: &str, now: Timestamp) -> Option<String> {
        let state = self.state();
        if state.held.contains(asset) {
            return None;
        }
        let until = state.heard_at?.checked_add(ALONE_AFTER).ok()?;
        if now < until { state.delegated.get(key).cloned() } else { None }
    }

    /// A panic while it was held is a bug that is told elsewhere; what it guards is still whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn shares(&self, key: &Key) -> bool {
        self.shared.values().any(|keys| keys.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn to(host: &str, keys: &[u8]) -> BTreeMap<Key, String> {
        keys.iter().map(|key| ([*key; 32], host.to_owned())).collect()
    }

    #[test]
    fn alone_an_agent_looks_at_everything_itself() {
        let duties = Duties::default();
        assert_eq!(duties.elsewhere(&[1; 32], "r", at(0)), None, "nothing was said yet");
        duties.assign(to("es-1", &[1]), at(0));
        assert_eq!(duties.elsewhere(&[1; 32], "r", at(3_599)).as_deref(), Some("es-1"));
        assert_eq!(duties.elsewhere(&[2; 32], "r", at(0)), None);
        assert_eq!(duties.elsewhere(&[1; 32], "r", at(3_600)), None, "the server is away");
        duties.heard(at(3_600));
        assert_eq!(duties.elsewhere(&[1; 32], "r", at(3_601)).as_deref(), Some("es-1"));
    }

    #[test]
    fn what_failed_is_held_until_it_is_seen_to_pass() {
        let duties = Duties::default();
        duties.assign(to("es-1", &[1]), at(0));
        let holds = |asset: &str| duties.elsewhere(&[1; 32], asset, at(1)).is_none();
        let told = |outcomes: &[(&str, Outcome)]| duties.judged(outcomes.iter().copied());
        told(&[("r", Outcome::Pass), ("r", Outcome::Fail), ("s", Outcome::Unknown)]);
        assert!(holds("r"), "one check that passes does not outweigh one that fails");
        assert!(!holds("s"), "nothing of it was seen to fail");
        told(&[("r", Outcome::Unknown)]);
        assert!(holds("r"));
        let restarted = Duties::default();
        restarted.hold(duties.held());
        restarted.assign(to("es-1", &[1]), at(0));
        assert_eq!(restarted.elsewhere(&[1; 32], "r", at(1)), None, "it is not forgotten");
        told(&[("r", Outcome::Pass), ("r", Outcome::NotApplicable)]);
        assert!(!holds("r"));
    }

    #[test]
    fn what_comes_back_to_this_agent_is_more_to_do() {
        let duties = Duties::default();
        duties.share("a", BTreeSet::from([[1; 32]]));
        duties.share("b", BTreeSet::from([[2; 32]]));
        assert_eq!(duties.shared().len(), 2);
        assert!(!duties.assign(to("es-1", &[1, 2, 3]), at(0)));
        assert!(!duties.assign(to("es-2", &[1, 2]), at(0)), "3 is none of its own");
        assert!(duties.assign(to("es-2", &[1]), at(0)));
    }
}
