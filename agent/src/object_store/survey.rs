//! Lists a part of what lies in a repository, and asks about a few objects of it: the oldest, the newest, some by chance.

use super::budget::Budget;
use super::store::{Failure, Page, Store};
use crate::repository::facts::{Object, Sample};
use crate::repository::sample::{self, Class, Listed};
use crate::snapshot::Observed;

/// Pages of the root: it has two blobs for each snapshot.
const ROOT_PAGES: usize = 3;
/// Pages of one directory, where listings tell how objects are encrypted.
const TELLING_PAGES: usize = 30;
/// Directories of indices of which the contents are listed.
const INDICES: usize = 6;
/// Other directories at the root, such as those of a remote store.
const OTHERS: usize = 3;
/// Objects that are asked about one by one.
pub(super) const OBJECTS: usize = 32;
/// Objects whose listing says how they are encrypted are kept up to this number beside those that are asked about.
const TELLING: usize = 16;

/// What was listed.
#[derive(Debug, Default)]
struct Listing {
    objects: Vec<Listed>,
    /// Why it does not cover everything.
    cut: Vec<String>,
}

/// Looks at what lies below `base`, which has no slash at its end. Only a store that cannot be reached at all is an error.
///
/// `draw` is given a bound and answers with a number below it.
pub(super) async fn survey(
    store: &impl Store,
    base: &str,
    budget: &Budget,
    draw: &mut dyn FnMut(usize) -> usize,
) -> Result<Sample, Failure> {
    let prefix = if base.is_empty() { String::new() } else { format!("{base}/") };
    let mut listing = Listing::default();
    let mut sample = Sample::default();
    match list(store, &prefix, budget, draw, &mut listing).await {
        Ok(()) => {}
        Err(failure @ Failure::Unreachable(_)) if listing.objects.is_empty() => {
            return Err(failure);
        }
        Err(failure) if listing.objects.is_empty() => {
            sample.trouble = Some(failure.trouble());
            sample.remedy = failure.remedy();
        }
        Err(failure) => listing.cut.push(format!("the listing ended early: {failure}")),
    }
    for object in &mut listing.objects {
        if let Some(name) = object.name.strip_prefix(&prefix) {
            object.name = name.to_owned();
        }
    }
    sample.listed = u64::try_from(listing.objects.len()).unwrap_or(u64::MAX);
    sample.is_complete = listing.cut.is_empty() && sample.trouble.is_none();
    sample.cut = listing.cut;
    let picked = sample::pick(&listing.objects, OBJECTS, draw);
    if picked.len() < listing.objects.len() {
        sample.cut.push(format!("asked about {OBJECTS} of them at most"));
    }
    ask(store, &prefix, budget, &picked, &mut sample).await;
    let telling = sample::telling(&listing.objects, TELLING);
    sample.objects.extend(
        telling.into_iter().filter_map(|listed| object(&listed, listed.seal.clone()?).into()),
    );
    sample.objects.sort_unstable();
    sample.objects.dedup_by(|a, b| a.name == b.name);
    Ok(sample)
}

fn object(listed: &Listed, seal: Observed<crate::repository::facts::Seal>) -> Object {
    Object {
        name: listed.name.clone(),
        class: Class::of(&listed.name),
        written_at: listed.written_at,
        seal,
    }
}

/// Asks about each, unless its listing told already.
async fn ask(
    store: &impl Store,
    prefix: &str,
    budget: &Budget,
    picked: &[Listed],
    sample: &mut Sample,
) {
    for listed in picked {
        if let Some(seal) = &listed.seal {
            sample.objects.push(object(listed, seal.clone()));
            continue;
        }
        if let Err(used_up) = budget.pay() {
            let left = picked.len().saturating_sub(sample.objects.len());
            sample.cut.push(format!("{used_up}, before {left} of the objects were asked about"));
            return;
        }
        let name = format!("{prefix}{}", listed.name);
        match budget.within(store.seal(&name)).await {
            Ok(seal) => {
                sample.objects.push(object(listed, seal.map_or(Observed::Absent, Observed::Known)));
            }
            // Deleted since it was listed: a snapshot was.
            Err(Failure::Gone(_)) => {}
            // Of this object it says nothing.
            Err(failure @ (Failure::Throttled(_) | Failure::Unreachable(_))) => {
                sample.remedy = failure.remedy();
                sample.cut.push(format!("no more was asked: {failure}"));
                return;
            }
            Err(failure) => {
                sample.objects.push(object(listed, failure.observed()));
                sample.remedy = failure.remedy();
                if matches!(failure, Failure::Refused { .. }) {
                    sample.cut.push(format!("no more was asked: {failure}"));
                    return;
                }
            }
        }
    }
}

async fn list(
    store: &impl Store,
    prefix: &str,
    budget: &Budget,
    draw: &mut dyn FnMut(usize) -> usize,
    listing: &mut Listing,
) -> Result<(), Failure> {
    // The root first: by name, what lies at it stands after the segments, which may be too many.
    let directories = pages(store, prefix, ROOT_PAGES, false, budget, listing).await?;
    let indices = format!("{prefix}indices/");
    let (has_indices, mut others): (Vec<String>, Vec<String>) =
        directories.into_iter().partition(|directory| *directory == indices);
    let most = if store.listings_tell() { TELLING_PAGES } else { 1 };
    if !has_indices.is_empty() && store.listings_tell() {
        pages(store, &indices, most, true, budget, listing).await?;
    } else if !has_indices.is_empty() {
        let mut found = pages(store, &indices, 1, false, budget, listing).await?;
        some(&mut found, INDICES, "indices", draw, listing);
        for directory in found {
            pages(store, &directory, 1, true, budget, listing).await?;
        }
    }
    some(&mut others, OTHERS, "other directories", draw, listing);
    for directory in others {
        pages(store, &directory, most, true, budget, listing).await?;
    }
    Ok(())
}

/// Keeps `most` of the directories, by chance, and says so.
fn some(
    directories: &mut Vec<String>,
    most: usize,
    what: &str,
    draw: &mut dyn FnMut(usize) -> usize,
    listing: &mut Listing,
) {
    let all = directories.len();
    if all <= most {
        return;
    }
    while directories.len() > most {
        let at = draw(directories.len()).min(directories.len() - 1);
        directories.swap_remove(at);
    }
    listing.cut.push(format!("{most} of {all} {what} listed"));
}

/// Lists up to `most` pages; what is cut is said. Answers with the directories.
async fn pages(
    store: &impl Store,
    prefix: &str,
    most: usize,
    is_flat: bool,
    budget: &Budget,
    listing: &mut Listing,
) -> Result<Vec<String>, Failure> {
    let mut directories = Vec::new();
    let mut from = None;
    for _ in 0..most {
        if let Err(used_up) = budget.pay() {
            listing.cut.push(format!("{used_up} by listing"));
            return Ok(directories);
        }
        let asked = store.list(prefix, is_flat, from.as_deref());
        let Page { objects, directories: more, next, cut } = budget.within(asked).await?;
        listing.objects.extend(objects);
        listing.cut.extend(cut);
        directories.extend(more);
        if next.is_none() {
            return Ok(directories);
        }
        from = next;
    }
    let shown = if prefix.is_empty() { "the root" } else { prefix };
    listing.cut.push(format!("the first {most} pages of {shown} listed"));
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::repository::facts::{Seal, SealKey};

    /// A store in memory, with pages of ten.
    #[derive(Default)]
    struct Memory {
        objects: BTreeMap<String, Option<Seal>>,
        asked: RefCell<Vec<String>>,
        /// Fails from this request on.
        fails: Option<(usize, Failure)>,
        is_telling: bool,
    }

    const PAGE: usize = 10;

    impl Memory {
        fn note(&self, what: String) -> Result<(), Failure> {
            self.asked.borrow_mut().push(what);
            match &self.fails {
                Some((from, failure)) if self.asked.borrow().len() > *from => Err(failure.clone()),
                _ => Ok(()),
            }
        }
    }

    impl Store for Memory {
        fn listings_tell(&self) -> bool {
            self.is_telling
        }

        async fn list(
            &self,
            prefix: &str,
            is_flat: bool,
            from: Option<&str>,
        ) -> Result<Page, Failure> {
            self.note(format!("list {prefix}"))?;
            let mut page = Page::default();
            for (at, (name, seal)) in self.objects.iter().enumerate() {
                let Some(rest) = name.strip_prefix(prefix) else { continue };
                if from.is_some_and(|from| name.as_str() <= from) {
                    continue;
                }
                if page.objects.len() + page.directories.len() == PAGE {
                    return Ok(page);
                }
                page.next = Some(name.clone());
                match rest.split_once('/') {
                    Some((directory, _)) if !is_flat => {
                        let directory = format!("{prefix}{directory}/");
                        if !page.directories.contains(&directory) {
                            page.directories.push(directory);
                        }
                    }
                    _ => page.objects.push(Listed {
                        name: name.clone(),
                        written_at: Timestamp::from_second(i64::try_from(at).unwrap()).ok(),
                        seal: self
                            .is_telling
                            .then(|| seal.clone().map_or(Observed::Absent, Observed::Known)),
                    }),
                }
            }
            page.next = None;
            Ok(page)
        }

        async fn seal(&self, name: &str) -> Result<Option<Seal>, Failure> {
            self.note(format!("seal {name}"))?;
            self.objects.get(name).cloned().ok_or_else(|| Failure::Gone(name.to_owned()))
        }
    }

    fn aes() -> Seal {
        Seal { algorithm: "AES256".to_owned(), key: SealKey::Provider }
    }

    fn repository(indices: usize, plain: &str) -> Memory {
        let mut objects = BTreeMap::new();
        for name in ["index-3", "index.latest", "snap-a.dat", "meta-a.dat"] {
            objects.insert(format!("base/{name}"), Some(aes()));
        }
        for index in 0..indices {
            for segment in 0..5 {
                objects.insert(format!("base/indices/u{index}/0/__{segment}"), Some(aes()));
            }
        }
        objects.insert("elsewhere/x".to_owned(), None);
        if !plain.is_empty() {
            objects.insert(format!("base/{plain}"), None);
        }
        Memory { objects, ..Memory::default() }
    }

    fn surveyed(store: &Memory, requests: u32) -> Result<Sample, Failure> {
        let runtime = crate::daemon::runtime().unwrap();
        let budget = Budget::new(requests, Duration::from_mins(1));
        let found = runtime.block_on(survey(store, "base", &budget, &mut |_| 0));
        assert!(store.asked.borrow().len() <= requests as usize);
        found
    }

    #[test]
    fn a_small_repository_is_covered_whole() {
        let found = surveyed(&repository(2, ""), 100).unwrap();
        assert!(found.is_complete, "{found:?}");
        assert_eq!((found.listed, found.objects.len()), (14, 14));
        assert!(found.objects.iter().all(|object| object.seal.known().is_some()));
        assert!(found.objects.iter().any(|object| object.name == "indices/u1/0/__4"));
    }

    #[test]
    fn what_is_left_out_is_said() {
        let found = surveyed(&repository(40, ""), 100).unwrap();
        assert!(!found.is_complete);
        assert_eq!(found.objects.len(), OBJECTS);
        let cut = found.cut.join("; ");
        assert!(cut.contains("pages of base/indices/ listed"), "{cut}");
        assert!(cut.contains("asked about 32"), "{cut}");
    }

    #[test]
    fn the_budget_is_kept_and_said() {
        let found = surveyed(&repository(40, ""), 5).unwrap();
        assert!(found.cut.iter().any(|cut| cut.contains("5 requests")), "{:?}", found.cut);
        assert!(found.objects.is_empty());
        let found = surveyed(&repository(1, ""), 7).unwrap();
        assert_eq!(found.objects.len(), 4);
        assert!(!found.cut.is_empty());
    }

    #[test]
    fn a_plain_object_that_is_the_oldest_is_found_whatever_is_drawn() {
        let store = repository(4, "indices/u0/0/__!");
        let found = surveyed(&store, 100).unwrap();
        let plain: Vec<_> =
            found.objects.iter().filter(|object| object.seal == Observed::Absent).collect();
        assert_eq!(plain.len(), 1);
    }

    #[test]
    fn what_listings_tell_is_not_asked_for_and_every_plain_object_counts() {
        let mut store = repository(40, "indices/u0/0/__zz");
        store.is_telling = true;
        let found = surveyed(&store, 100).unwrap();
        assert!(found.is_complete && found.listed == 205, "{found:?}");
        assert!(found.objects.iter().any(|object| object.name.ends_with("__zz")), "{found:?}");
        assert!(store.asked.borrow().iter().all(|asked| asked.starts_with("list")));
    }

    #[test]
    fn a_store_that_is_not_there_is_an_error_and_one_that_refuses_is_a_fact() {
        let failing = |from, failure| Memory { fails: Some((from, failure)), ..repository(2, "") };
        let away = || Failure::Unreachable("no route".to_owned());
        let refused =
            || Failure::Refused { action: "s3:ListBucket".to_owned(), detail: "no".to_owned() };
        assert_eq!(surveyed(&failing(0, away()), 100), Err(away()));
        let found = surveyed(&failing(0, refused()), 100).unwrap();
        assert!(
            found.trouble.is_some() && !found.is_complete && found.remedy.contains("s3:ListBucket")
        );
        // In the middle of asking: one object tells why, the rest is not tried.
        let found = surveyed(&failing(5, refused()), 100).unwrap();
        assert_eq!(found.objects.len(), 2);
        assert!(found.objects.iter().any(|object| object.seal.trouble().is_some()));
        let found = surveyed(&failing(5, Failure::Throttled(None)), 100).unwrap();
        assert!(found.cut.iter().any(|cut| cut.contains("asked less")));
    }

    #[test]
    fn an_object_that_went_away_is_no_trouble() {
        let store =
            Memory { fails: Some((5, Failure::Gone("gone".to_owned()))), ..repository(2, "") };
        let found = surveyed(&store, 100).unwrap();
        assert!(found.objects.iter().all(|object| object.seal.known().is_some()), "{found:?}");
    }
}
