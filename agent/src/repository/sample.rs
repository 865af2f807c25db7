//! Which objects of a repository to ask about: a few that stand for the rest.
//!
//! A default binds new objects only, so that age counts: of every class the oldest, the newest, and some by chance.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::facts::Seal;
use crate::snapshot::Observed;

/// What an object is to the repository: `BlobStoreRepository` of both products has the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// `index-N`, `index.latest` and whatever else lies at the root.
    Root,
    /// `snap-UUID.dat`, `meta-UUID.dat` at the root: one of each for each snapshot.
    Snapshot,
    /// Below `indices/`: the segments themselves, and what describes them.
    Segment,
    /// Anything else, such as the remote store's directories.
    Other,
}

impl Class {
    pub const ALL: [Self; 4] = [Self::Root, Self::Snapshot, Self::Segment, Self::Other];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Snapshot => "snapshot",
            Self::Segment => "segment",
            Self::Other => "other",
        }
    }

    /// Of an object by its name below the base path.
    pub fn of(name: &str) -> Self {
        let is_snapshot = |name: &str| {
            ["snap-", "meta-"].iter().any(|prefix| name.starts_with(prefix))
                && name.strip_suffix(".dat").is_some()
        };
        match name.split_once('/') {
            None if is_snapshot(name) => Self::Snapshot,
            None => Self::Root,
            Some(("indices", _)) => Self::Segment,
            Some(_) => Self::Other,
        }
    }
}

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Below the base path.
    pub name: String,
    pub written_at: Option<Timestamp>,
    /// How it is encrypted, where the listing itself says so.
    pub seal: Option<Observed<Seal>>,
}

/// Picks at most `most` of what was listed. `draw` is given a bound and answers with a number below it.
///
/// The order is that of importance: the oldest and the newest of every class, then chance, each class in its turn.
pub fn pick(listed: &[Listed], most: usize, draw: &mut dyn FnMut(usize) -> usize) -> Vec<Listed> {
    let mut classes: BTreeMap<Class, Vec<&Listed>> = BTreeMap::new();
    for object in listed {
        classes.entry(Class::of(&object.name)).or_default().push(object);
    }
    for objects in classes.values_mut() {
        // What has no time sorts first: nobody knows how old it is.
        objects.sort_unstable_by_key(|object| (object.written_at, &object.name));
        objects.dedup();
    }
    let mut picked = Vec::new();
    for take in [Vec::pop, first] {
        for objects in classes.values_mut() {
            picked.extend(take(objects));
        }
    }
    // The oldest come first: they are what a default set later does not bind.
    picked.reverse();
    while picked.len() < most && classes.values().any(|objects| !objects.is_empty()) {
        for objects in classes.values_mut().filter(|objects| !objects.is_empty()) {
            picked.push(objects.swap_remove(draw(objects.len()).min(objects.len() - 1)));
        }
    }
    picked.truncate(most);
    picked.into_iter().cloned().collect()
}

/// Of objects whose listing says how they are encrypted: those that it says are not, and one of every other kind.
pub fn telling(listed: &[Listed], most: usize) -> Vec<Listed> {
    let plain = listed.iter().filter(|object| object.seal == Some(Observed::Absent));
    let mut kinds = BTreeMap::new();
    for object in listed {
        if let Some(Observed::Known(seal)) = &object.seal {
            kinds.entry(seal).or_insert(object);
        }
    }
    plain.chain(kinds.into_values()).take(most).cloned().collect()
}

fn first<'a>(objects: &mut Vec<&'a Listed>) -> Option<&'a Listed> {
    (!objects.is_empty()).then(|| objects.remove(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(name: &str, second: i64) -> Listed {
        Listed {
            name: name.to_owned(),
            written_at: Some(Timestamp::from_second(second).unwrap()),
            seal: None,
        }
    }

    #[test]
    fn names_have_their_class() {
        for (name, class) in [
            ("index-12", Class::Root),
            ("index.latest", Class::Root),
            ("snap-a1.dat", Class::Snapshot),
            ("meta-a1.dat", Class::Snapshot),
            ("indices/u/0/__x", Class::Segment),
            ("indices/u/meta-b.dat", Class::Segment),
            ("snap-x/y", Class::Other),
        ] {
            assert_eq!(Class::of(name), class, "{name}");
        }
    }

    #[test]
    fn the_oldest_of_every_class_comes_first() {
        let mut all: Vec<Listed> =
            (0..50).map(|n| listed(&format!("indices/u/0/__{n}"), 100 + n)).collect();
        all.extend((0..5).map(|n| listed(&format!("snap-{n}.dat"), 10 + n)));
        all.push(listed("index-4", 900));
        let names = |most| -> Vec<String> {
            pick(&all, most, &mut |_| 0).into_iter().map(|object| object.name).collect()
        };
        let picked = names(5);
        for wanted in ["index-4", "snap-0.dat", "snap-4.dat", "indices/u/0/__0", "indices/u/0/__49"]
        {
            assert!(picked.iter().any(|name| name == wanted), "{wanted}: {picked:?}");
        }
        assert_eq!(names(2), ["indices/u/0/__0", "snap-0.dat"]);
        assert_eq!(names(1000).len(), 56);
    }

    proptest! {
        #[test]
        fn what_is_picked_was_listed_and_stands_there_once(
            names in proptest::collection::btree_map("(indices/|snap-|x/)?[a-c]{1,2}", 0_i64..50, 0..40),
            most in 0_usize..50,
            drawn in any::<u16>(),
        ) {
            let all: Vec<Listed> = names.iter().map(|(name, at)| listed(name, *at)).collect();
            let picked = pick(&all, most, &mut |bound| usize::from(drawn) % bound);
            prop_assert_eq!(picked.len(), most.min(all.len()));
            let unique: std::collections::BTreeSet<_> = picked.iter().collect();
            prop_assert_eq!(unique.len(), picked.len());
            prop_assert!(picked.iter().all(|object| all.contains(object)));
            // Whatever was drawn, the oldest object of all is asked about.
            if most >= 8 {
                let oldest = all.iter().map(|object| object.written_at).min().flatten();
                prop_assert_eq!(picked.iter().map(|object| object.written_at).min().flatten(), oldest);
            }
        }
    }
}
