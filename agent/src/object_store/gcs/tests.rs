//! The bucket, against a stand-in.

use std::time::Duration;

use super::*;
use crate::object_store::stand_in::{self, Asked, Reply, StandIn};
use crate::repository::facts::SealKey;

const KEY: &str = "projects/p/locations/eu/keyRings/r/cryptoKeys/k";

fn bucket_answer() -> Reply {
    let text =
        format!(r#"{{"kind":"storage#bucket","encryption":{{"defaultKmsKeyName":"{KEY}"}}}}"#);
    Reply::new(200, text)
}

/// Two pages at the root, and one below `indices/`, of which an object has no key of the customer's.
fn good(asked: &Asked) -> Reply {
    let path = asked.line.split(['?', ' ']).nth(1).unwrap();
    if path == "/storage/v1/b/acme-es" {
        return bucket_answer();
    }
    assert_eq!(path, "/storage/v1/b/acme-es/o");
    let of = |name: &str, key: bool| {
        let key = if key {
            format!(r#","kmsKeyName":"{KEY}/cryptoKeyVersions/1""#)
        } else {
            String::new()
        };
        format!(r#"{{"name":"dr/{name}","timeCreated":"2024-01-01T00:00:00Z"{key}}}"#)
    };
    let body = match (asked.parameter("prefix"), asked.parameter("pageToken")) {
        (Some("dr%2F"), None) => {
            assert_eq!(asked.parameter("delimiter"), Some("%2F"));
            format!(
                r#""nextPageToken":"n=1","prefixes":["dr/indices/"],"items":[{}]"#,
                of("index-0", true)
            )
        }
        (Some("dr%2F"), Some("n%3D1")) => format!(r#""items":[{}]"#, of("snap-a.dat", true)),
        (Some("dr%2Findices%2F"), None) => {
            assert_eq!(asked.parameter("delimiter"), None);
            let items = [of("indices/u/0/__1", true), of("indices/u/0/__2", false)];
            format!(r#""items":[{}]"#, items.join(","))
        }
        other => panic!("{other:?}"),
    };
    Reply::new(200, format!(r#"{{"kind":"storage#objects",{body}}}"#))
}

/// Whether the stand-in is Google's, and shown a token.
#[derive(Clone, Copy)]
struct Manner {
    is_googles: bool,
    is_shown: bool,
}

const OWN: Manner = Manner { is_googles: true, is_shown: true };

fn asked_in(
    store: &StandIn,
    manner: Manner,
    name: &str,
    timeout: Duration,
) -> Result<Facts, Failure> {
    stand_in::look(timeout, async |http, budget| {
        let bucket = Bucket {
            name,
            base: store.url.clone(),
            is_googles: manner.is_googles,
            authorization: manner.is_shown.then(|| HeaderValue::from_static("Bearer t")),
            rest: Rest::new(http.client().unwrap(), budget, |_, body| answer::says(body)),
        };
        bucket.facts("dr", budget, &mut |_| 0).await
    })
}

fn asked(
    answers: impl Fn(&Asked) -> Reply + Send + 'static,
    manner: Manner,
) -> (Result<Facts, Failure>, Vec<Asked>) {
    let store = StandIn::new(answers);
    let found = asked_in(&store, manner, "acme-es", Duration::from_mins(1));
    (found, store.asked())
}

/// The same for the bucket's default and for listings.
fn told(default: Reply, listing: Reply) -> Result<Facts, Failure> {
    let answers = move |asked: &Asked| {
        if asked.line.contains("/o?") { listing.clone() } else { default.clone() }
    };
    asked(answers, OWN).0
}

#[test]
fn a_bucket_is_covered_whole() {
    let (found, asked) = asked(good, OWN);
    let found = found.unwrap();
    assert_eq!(found.provider, Provider::GoogleCloud);
    assert_eq!(
        found.default.known().map(|seal| &seal.key),
        Some(&SealKey::Customer(KEY.to_owned()))
    );
    assert!(found.sample.is_complete, "{:?}", found.sample);
    let weaker: Vec<_> = found
        .sample
        .objects
        .iter()
        .filter(|object| object.seal.known().is_some_and(|seal| seal.key == SealKey::Provider))
        .map(|object| object.name.as_str())
        .collect();
    assert_eq!((found.sample.listed, weaker), (4, vec!["indices/u/0/__2"]));
    assert_eq!((found.requests, asked.len()), (4, 4));
    assert!(asked.iter().all(|one| one.header("authorization") == Some("Bearer t")));
    assert!(asked.iter().all(|one| one.line.starts_with("GET ")), "nothing is ever written");
}

#[test]
fn anothers_store_is_shown_nothing_and_proves_nothing() {
    let (found, asked) = asked(good, Manner { is_googles: false, is_shown: false });
    let found = found.unwrap();
    assert_eq!(found.provider, Provider::GoogleLike);
    let silent = found.sample.objects.iter().filter(|object| object.seal == Observed::Absent);
    assert_eq!(silent.count(), 1);
    assert!(asked.iter().all(|one| one.header("authorization").is_none()));
}

#[test]
fn a_refusal_names_what_is_needed() {
    let no = |status| Reply::new(status, r#"{"error":{"message":"agent@p lacks it"}}"#);
    for status in [401, 403] {
        let found = told(no(status), good_listing()).unwrap();
        let trouble = found.default.trouble().unwrap();
        assert!(
            trouble.detail.contains(GET) && trouble.detail.contains("agent@p lacks it"),
            "{trouble}"
        );
        assert!(found.sample.is_complete);
        let found = told(bucket_answer(), no(status)).unwrap();
        assert!(found.sample.remedy.contains(LIST), "{:?}", found.sample);
        assert!(found.sample.trouble.is_some() && !found.sample.is_complete);
    }
    // Without a token it is that which lacks.
    let (found, _) = asked(move |_| no(401), Manner { is_shown: false, ..OWN });
    let found = found.unwrap();
    assert!(found.sample.remedy.contains("gcs_credentials_file"), "{:?}", found.sample);
}

fn good_listing() -> Reply {
    Reply::new(200, r#"{"kind":"storage#objects","items":[{"name":"dr/index-0"}]}"#)
}

#[test]
fn a_bucket_that_is_not_there_is_gone() {
    let found = told(Reply::new(404, ""), good_listing());
    assert_eq!(found, Err(Failure::Gone("there is no bucket acme-es".to_owned())));
}

#[test]
fn a_busy_store_is_asked_once_more_and_no_sooner_than_it_wants() {
    let busy = |seconds: &str| Reply::new(429, "").with("retry-after", seconds);
    let first = std::sync::atomic::AtomicBool::new(true);
    let (found, asked_of) = asked(
        move |asked| {
            let is_first = first.swap(false, std::sync::atomic::Ordering::SeqCst);
            if is_first { busy("0") } else { good(asked) }
        },
        OWN,
    );
    assert!(found.is_ok_and(|facts| facts.sample.is_complete && facts.requests == 5));
    assert_eq!(asked_of.len(), 5);
    let (found, asked_of) = asked(move |_| busy("3600"), OWN);
    let found = found.unwrap();
    assert_eq!(asked_of.len(), 2, "the bucket, and its listing");
    let trouble = found.sample.trouble.unwrap();
    assert!(trouble.detail.contains("3600 s"), "{trouble}");
}

#[test]
fn what_is_no_answer_is_no_empty_bucket() {
    for listing in [
        Reply::new(200, "<html>hunter2</html>"),
        Reply::new(200, "{}"),
        Reply::new(200, r#"{"kind":"storage#objects","items":["#).cut(),
        Reply::new(302, "").with("location", "/elsewhere"),
        Reply::new(500, "").with("retry-after", "0"),
        Reply::giant(),
    ] {
        let found = told(bucket_answer(), listing.clone()).unwrap();
        let trouble = found.sample.trouble.unwrap_or_else(|| panic!("{listing:?}"));
        assert!(!trouble.detail.contains("hunter2"), "{trouble}");
        assert!(!found.sample.is_complete && found.sample.objects.is_empty());
    }
}

#[test]
fn a_store_that_says_nothing_is_unreachable() {
    let store = StandIn::new(|_| Reply::silent());
    let found = asked_in(&store, OWN, "acme-es", Duration::from_millis(200));
    assert!(matches!(found, Err(Failure::Unreachable(_))), "{found:?}");
    let found = asked_in(&StandIn::nobody(), OWN, "acme-es", Duration::from_mins(1));
    assert!(matches!(found, Err(Failure::Unreachable(_))), "{found:?}");
}

#[test]
fn a_name_that_is_none_is_asked_for_nowhere() {
    let store = StandIn::new(|asked| panic!("{asked:?}"));
    let found = asked_in(&store, OWN, "../x", Duration::from_mins(1)).unwrap();
    assert!(found.default.trouble().is_some() && found.sample.trouble.is_some());
    assert!(store.asked().is_empty());
}
