//! The container, against a stand-in.

use std::time::Duration;

use zeroize::Zeroizing;

use super::*;
use crate::object_store::stand_in::{self, Asked, Reply, StandIn};
use crate::repository::facts::SealKey;

const TRUE: &str = "<ServerEncrypted>true</ServerEncrypted>";
const SCOPED: &str =
    "<ServerEncrypted>true</ServerEncrypted><EncryptionScope>mine</EncryptionScope>";

fn blob(name: &str, properties: &str) -> String {
    format!(
        "<Blob><Name>p/{name}</Name><Properties><Last-Modified>Wed, 09 Sep 2009 09:20:02 GMT</Last-Modified>\
         {properties}</Properties></Blob>"
    )
}

fn listing(blobs: &str, next: &str) -> Reply {
    let text = format!(
        "<?xml version=\"1.0\"?><EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>"
    );
    Reply::new(200, text)
}

fn properties() -> Reply {
    Reply::new(200, "").with("x-ms-default-encryption-scope", "mine")
}

/// Two pages at the root, and one below `indices/`, of which a blob is not encrypted.
fn good(asked: &Asked) -> Reply {
    let path = asked.line.split(['?', ' ']).nth(1).unwrap();
    assert_eq!(path, "/es-snap");
    assert_eq!(asked.parameter("restype"), Some("container"));
    assert_eq!(asked.header("x-ms-version"), Some("2021-12-02"));
    if asked.parameter("comp").is_none() {
        return properties();
    }
    match (asked.parameter("prefix"), asked.parameter("marker")) {
        (Some("p%2F"), None) => {
            assert_eq!(asked.parameter("delimiter"), Some("%2F"));
            let directory = "<BlobPrefix><Name>p/indices/</Name></BlobPrefix>";
            listing(&format!("{}{directory}", blob("index-0", SCOPED)), "2!a=")
        }
        (Some("p%2F"), Some("2%21a%3D")) => listing(&blob("snap-a.dat", TRUE), ""),
        (Some("p%2Findices%2F"), None) => {
            let plain = "<ServerEncrypted>false</ServerEncrypted>";
            let blobs = [blob("indices/u/0/__1", SCOPED), blob("indices/u/0/__2", plain)];
            listing(&blobs.concat(), "")
        }
        other => panic!("{other:?}"),
    }
}

fn asked_in(
    store: &StandIn,
    is_azures: bool,
    shown: Shown,
    timeout: Duration,
) -> Result<Facts, Failure> {
    stand_in::look(timeout, async |http, budget| {
        let container = Container {
            name: "es-snap",
            base: store.url.clone(),
            is_azures,
            account: "acme",
            shown,
            budget,
            rest: Rest::new(http.client().unwrap(), budget, code),
        };
        container.facts("p", &mut |_| 0).await
    })
}

fn signature() -> Shown {
    Shown::Signature(Zeroizing::new("sp=rl&sig=hunter2".to_owned()))
}

fn asked(
    answers: impl Fn(&Asked) -> Reply + Send + 'static,
    shown: Shown,
) -> (Result<Facts, Failure>, Vec<Asked>) {
    let store = StandIn::new(answers);
    (asked_in(&store, true, shown, Duration::from_mins(1)), store.asked())
}

/// The same for the container's properties and for listings.
fn told(default: Reply, listing: Reply, shown: Shown) -> Result<Facts, Failure> {
    let answers = move |asked: &Asked| {
        if asked.parameter("comp").is_some() { listing.clone() } else { default.clone() }
    };
    asked(answers, shown).0
}

#[test]
fn a_container_is_covered_whole() {
    let (found, asked) = asked(good, signature());
    let found = found.unwrap();
    assert_eq!(found.provider, Provider::Azure);
    let named = |name: &str| Some(SealKey::Named(name.to_owned()));
    let key = |seal: &Observed<Seal>| seal.known().map(|seal| seal.key.clone());
    assert_eq!(key(&found.default), named("encryption scope mine"));
    assert!(found.sample.is_complete && found.sample.listed == 4, "{:?}", found.sample);
    let of = |name: &str| {
        let is_it = |object: &&crate::repository::facts::Object| object.name == name;
        found.sample.objects.iter().find(is_it).unwrap().seal.clone()
    };
    assert_eq!(key(&of("snap-a.dat")), named("key of account acme"));
    assert_eq!(of("indices/u/0/__2"), Observed::Absent);
    assert_eq!((found.requests, asked.len()), (4, 4));
    assert!(asked.iter().all(|one| one.line.ends_with("&sp=rl&sig=hunter2")));
    assert!(asked.iter().all(|one| one.line.starts_with("GET ")), "nothing is ever written");
}

#[test]
fn a_token_is_a_header_and_nothing_is_nothing() {
    let (_, asked_of) = asked(good, Shown::Token(HeaderValue::from_static("Bearer t")));
    assert!(asked_of.iter().all(|one| one.header("authorization") == Some("Bearer t")));
    let store = StandIn::new(good);
    let found = asked_in(&store, false, Shown::Nothing, Duration::from_mins(1)).unwrap();
    assert_eq!(found.provider, Provider::AzureLike);
    assert!(store.asked().iter().all(|one| one.header("authorization").is_none()));
}

#[test]
fn an_emulator_is_asked_where_the_configuration_names_it_and_shown_nothing() {
    let store = StandIn::new(|asked: &Asked| {
        assert_eq!(asked.parameter("sig"), None);
        if asked.parameter("comp").is_some() { listing("", "") } else { properties() }
    });
    let repository = Azure {
        account: None,
        container: "es-snap".to_owned(),
        base_path: "p".to_owned(),
        endpoint: Some(store.url.to_string()),
        node_endpoint: None,
        suffix: None,
        // Not even looked for.
        sas_file: Some("/nonexistent".to_owned()),
        resource_id: None,
    };
    let run = |repository: Azure| {
        stand_in::look(Duration::from_mins(1), async |http, budget| {
            look(&repository, http, budget, &mut |_| 0).await
        })
    };
    let found = run(repository.clone()).unwrap();
    assert_eq!(found.provider, Provider::AzureLike);
    assert!(found.sample.is_complete && found.keys.is_empty());
    let by_node =
        Azure { endpoint: None, node_endpoint: repository.endpoint.clone(), ..repository };
    let failure = run(by_node).unwrap_err();
    assert!(failure.remedy().contains("azure_endpoint"), "{failure}");
}

#[test]
fn a_refusal_names_what_is_needed() {
    let no =
        |status| Reply::new(status, "<Error/>").with("x-ms-error-code", "AuthorizationFailure");
    for status in [401, 403] {
        let found = told(no(status), listing("", ""), signature()).unwrap();
        let trouble = found.default.trouble().unwrap();
        assert!(trouble.detail.contains("AuthorizationFailure"), "{trouble}");
        assert!(!format!("{found:?}").contains("hunter2"));
        let found = told(properties(), no(status), signature()).unwrap();
        assert!(found.sample.trouble.is_some() && found.sample.remedy.contains("sp=rl"));
    }
    let found = told(no(404), no(404), signature());
    assert_eq!(found, Err(Failure::Gone("there is no container es-snap".to_owned())));
    // Whoever shows nothing is not told whether it is there.
    for status in [401, 403, 404, 409] {
        let found = told(no(status), no(status), Shown::Nothing).unwrap();
        assert!(found.sample.remedy.contains("azure_sas_file"), "{status}: {found:?}");
    }
}

#[test]
fn what_is_no_answer_is_no_empty_container() {
    for reply in [
        Reply::new(200, "hunter2"),
        Reply::new(200, "<html/>"),
        Reply::new(200, "<EnumerationResults><Blobs>").cut(),
        Reply::new(200, "<EnumerationResults><Blobs>"),
        Reply::new(307, "").with("location", "/elsewhere"),
        Reply::new(503, "").with("retry-after", "60"),
        Reply::giant(),
    ] {
        let found = told(properties(), reply.clone(), signature()).unwrap();
        let trouble = found.sample.trouble.unwrap_or_else(|| panic!("{reply:?}"));
        assert!(!trouble.detail.contains("hunter2"), "{trouble}");
        assert!(!found.sample.is_complete && found.sample.objects.is_empty());
    }
    let store = StandIn::new(|_| Reply::silent());
    let found = asked_in(&store, true, signature(), Duration::from_millis(200));
    assert!(matches!(found, Err(Failure::Unreachable(_))), "{found:?}");
    // The address, which has the signature in it, is never said.
    let found = asked_in(&StandIn::nobody(), true, signature(), Duration::from_mins(1));
    let Err(Failure::Unreachable(detail)) = found else { panic!("{found:?}") };
    assert!(!detail.contains("hunter2"), "{detail}");
}

#[test]
fn keys_without_a_resource_are_in_doubt() {
    let named = BTreeSet::from([answer::account_key("acme")]);
    let cloud = endpoint::of(&Azure {
        account: Some("acme".to_owned()),
        container: String::new(),
        base_path: String::new(),
        endpoint: None,
        node_endpoint: None,
        suffix: None,
        sas_file: None,
        resource_id: None,
    })
    .unwrap()
    .cloud
    .unwrap();
    let found = stand_in::look(Duration::from_mins(1), async |http, budget| {
        let manager = Rest::new(http.client().unwrap(), budget, |_, body| answer::says(body));
        let keys = Keys { cloud, account: "acme", id: None };
        keys.describe(&named, &manager, budget).await
    });
    let trouble = found.values().next().unwrap().trouble().unwrap();
    assert!(trouble.detail.contains("azure_resource_id"), "{trouble}");
}
