//! What the resident agent was told, and for how long that is good: stores are asked once in an interval, not at every scan.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::repository::{Looked, Observation};

/// What gave no answer is asked again sooner than what did.
const AGAIN: Duration = Duration::from_mins(5);

/// The answers so far, by repository and by where that lies.
#[derive(Debug, Default)]
pub struct Memory(BTreeMap<Key, (Timestamp, Looked)>);

type Key = (String, String);

fn key(one: &Observation) -> Key {
    // With all of it: other credentials may be told something else.
    (one.asset.clone(), format!("{:?}", one.backend))
}

impl Memory {
    /// What is known of a repository and still good.
    pub(super) fn recall(&self, one: &Observation, now: Timestamp) -> Option<Looked> {
        let (until, looked) = self.0.get(&key(one))?;
        (now < *until).then(|| looked.clone())
    }

    /// Keeps answers, and forgets what is no longer good.
    pub(super) fn keep(
        &mut self,
        answers: impl IntoIterator<Item = (Observation, Looked)>,
        interval: Duration,
        now: Timestamp,
    ) {
        self.0.retain(|_, (until, _)| now < *until);
        for (one, looked) in answers {
            let good = match &looked {
                Looked::Told(_) => interval,
                Looked::Unreachable { .. } | Looked::NotAsked { .. } => AGAIN.min(interval),
                Looked::Elsewhere { .. } => continue,
            };
            // At the end of time everything is asked anew.
            if let Ok(until) = now.checked_add(good) {
                self.0.insert(key(&one), (until, looked));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::kind::{self, Surroundings, fixture::registered};

    fn observation(bucket: &str) -> Observation {
        let registered = registered("s3", &[("bucket", bucket)]);
        let backend = kind::backend(&registered, &Surroundings::default());
        Observation { asset: "repository:r".to_owned(), registered, backend, looked: None }
    }

    fn away() -> Looked {
        Looked::Unreachable { detail: String::new(), remedy: String::new() }
    }

    #[test]
    fn an_answer_is_good_for_its_time_and_its_place() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut memory = Memory::default();
        let hour = Duration::from_hours(1);
        memory.keep([(observation("b"), away())], hour, at(0));
        assert_eq!(memory.recall(&observation("b"), at(299)), Some(away()));
        assert_eq!(memory.recall(&observation("b"), at(300)), None);
        assert_eq!(memory.recall(&observation("c"), at(0)), None);
        memory.keep([], hour, at(300));
        assert!(memory.0.is_empty());
    }
}
