//! From what is registered, by all sources, to a list in which each repository stands once with where it lies. Pure.

use std::collections::BTreeMap;

use atrest_proto::model::Use;

use super::kind::{self, Surroundings};
use super::{Backend, Observation, Registered, Source, remote_store};
use crate::discovery::{Discovery, Place};
use crate::path::HostPath;
use crate::snapshot::Namespace;

/// Fills in [`Discovery::repositories`], and the directories among them as places to be proven. May be called again when more
/// is known.
pub fn assemble(found: &mut Discovery) {
    let mut registered = found.registered.clone();
    registered.extend(of_attributes(found));
    let (declared, mut others): (Vec<_>, Vec<_>) =
        registered.into_iter().partition(|one| one.source == Source::Declared);
    for one in declared {
        let mut is_its = others.iter_mut().filter(|other| is_same(&one, other)).peekable();
        if is_its.peek().is_none() {
            drop(is_its);
            others.push(one);
            continue;
        }
        // What the configuration says fills in what the registration cannot: accounts, addresses, credentials.
        is_its.for_each(|other| other.settings.extend(one.settings.clone()));
    }
    let mut by_asset: BTreeMap<String, Vec<Observation>> = BTreeMap::new();
    for registered in others {
        let none = BTreeMap::new();
        let stores = registered.service.as_ref().and_then(|service| found.stores.get(service));
        let stores = stores.unwrap_or(&none);
        let roots: Vec<HostPath> =
            stores.get("path.repo").map(|root| HostPath::from(root.as_str())).into_iter().collect();
        let surroundings = Surroundings { roots: &roots, clients: Some(stores) };
        let backend = kind::backend(&registered, &surroundings);
        if let Backend::Directory(path) = &backend {
            found.places.push(Place {
                path: path.clone(),
                usage: Use::Repository,
                service: registered.service.clone(),
                namespace: registered.namespace.clone(),
            });
        }
        let asset = registered.asset();
        let told = by_asset.entry(asset.clone()).or_default();
        // Nodes of one cluster on one host have the same repositories: the first answers for all.
        if !told.iter().any(|other| is_alike(other, &registered, &backend)) {
            told.push(Observation { asset, registered, backend, looked: None });
        }
    }
    found.repositories = by_asset.into_values().flat_map(told_apart).collect();
    found.places.sort_unstable();
    found.places.dedup();
}

/// What the attributes of each service declare.
fn of_attributes(found: &Discovery) -> Vec<Registered> {
    let mut registered = Vec::new();
    for (name, settings) in &found.stores {
        let service = found.services.iter().find(|service| service.name == *name);
        let place = found.places.iter().find(|place| place.service.as_ref() == Some(name));
        let namespace = place.map_or(Namespace::Host, |place| place.namespace.clone());
        registered.extend(remote_store::declared(settings).into_iter().map(|one| Registered {
            service: Some(name.clone()),
            product: service.map(|service| service.product.clone()),
            cluster: service.and_then(|service| service.cluster_name.clone()),
            namespace: namespace.clone(),
            ..one
        }));
    }
    registered
}

/// Whether two nodes tell the same of a repository. A process that pretends to be a node must not hide what a real one tells.
fn is_alike(other: &Observation, registered: &Registered, backend: &Backend) -> bool {
    other.backend == *backend
        && other.registered.kind == registered.kind
        && other.registered.client_side == registered.client_side
        && other.registered.product == registered.product
}

/// What is told in different ways of one name is judged each for itself, under the name of who tells it.
fn told_apart(mut told: Vec<Observation>) -> Vec<Observation> {
    if told.len() > 1 {
        for one in &mut told {
            let service = one.registered.service.as_deref().unwrap_or("declared");
            one.asset = format!("{}@{service}:{}", one.asset, one.registered.source.as_str());
        }
    }
    told
}

fn is_same(declared: &Registered, other: &Registered) -> bool {
    declared.name == other.name && (declared.cluster.is_none() || declared.cluster == other.cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::kind::fixture;

    fn names(found: &Discovery) -> Vec<String> {
        let shown = |one: &Observation| format!("{} {}", one.asset, one.backend);
        found.repositories.iter().map(shown).collect()
    }

    #[test]
    fn the_configuration_fills_in_what_is_registered() {
        let registered = fixture::registered("azure", &[("container", "c")]);
        let declared = Registered {
            cluster: None,
            source: Source::Declared,
            ..fixture::registered("azure", &[("azure_account", "acme")])
        };
        let other = Registered { name: "other".to_owned(), ..declared.clone() };
        let mut found =
            Discovery { registered: vec![declared, registered, other], ..Discovery::default() };
        let expected = [
            "repository:other azure://acme/elasticsearch-snapshots",
            "repository:prod/r azure://acme/c",
        ];
        assemble(&mut found);
        assert_eq!(names(&found), expected);
        assemble(&mut found);
        assert_eq!(names(&found), expected, "once more changes nothing");
    }

    #[test]
    fn what_a_pretender_tells_hides_nothing() {
        let real = fixture::registered("s3", &[("bucket", "b")]);
        let told = crate::repository::ClientSide { provider: "x".to_owned(), key: None };
        let pretender =
            Registered { client_side: Some(told), service: Some("bob".to_owned()), ..real.clone() };
        let twin = Registered { service: Some("es2".to_owned()), ..real.clone() };
        let mut found =
            Discovery { registered: vec![pretender, real, twin], ..Discovery::default() };
        assemble(&mut found);
        assert_eq!(
            names(&found),
            ["repository:prod/r@bob:api s3://b", "repository:prod/r@es:api s3://b"]
        );
    }

    #[test]
    fn directories_are_places_of_the_service() {
        let one = fixture::registered("fs", &[("location", "n")]);
        let stores = BTreeMap::from([("path.repo".to_owned(), "/mnt/b".to_owned())]);
        let mut found = Discovery {
            registered: vec![one.clone(), Registered { service: Some("es2".to_owned()), ..one }],
            stores: BTreeMap::from([("es".to_owned(), stores.clone()), ("es2".to_owned(), stores)]),
            ..Discovery::default()
        };
        assemble(&mut found);
        assert_eq!(names(&found), ["repository:prod/r /mnt/b/n"]);
        let places: Vec<_> =
            found.places.iter().map(|place| (place.usage, place.path.to_string())).collect();
        assert_eq!(places, vec![(Use::Repository, "/mnt/b/n".to_owned()); 2]);
    }
}
