//! The directories that crashes write memory to.

use super::{Discovery, Place};
use crate::core_dumps::{CoreDumps, Sink};
use crate::host::Host;
use crate::host::core_dumps::{Running, observe};
use crate::snapshot::Namespace;

/// Looks where dumps go, and adds the directories that are there to the places: when there is something to protect.
pub(super) fn discover(host: &dyn Host, found: &mut Discovery) {
    let running: Vec<Running> = found
        .services
        .iter()
        .filter_map(|service| {
            let pid = service.pid?;
            Some(Running { pid, service: service.name.clone(), namespace: namespace(found, pid) })
        })
        .collect();
    let facts = observe(host, &running, !found.services.is_empty());
    if !found.places.is_empty() {
        found.places.extend(places(&facts));
    }
    found.core_dumps = Some(facts);
}

/// Whose eyes the paths of a process are seen with, as its product found.
fn namespace(found: &Discovery, pid: i32) -> Namespace {
    let own = Namespace::Process(pid);
    if found.places.iter().any(|place| place.namespace == own) { own } else { Namespace::Host }
}

fn places(facts: &CoreDumps) -> Vec<Place> {
    let sinks = facts.processes.iter().chain(&facts.kernel);
    sinks
        .filter_map(|sink| match sink {
            Sink::Place { target, .. }
                if target.resolution.known().is_some_and(|at| at.block_device.is_none()) =>
            {
                Some(Place {
                    path: target.path.clone(),
                    usage: target.usage,
                    service: target.service.clone(),
                    namespace: target.namespace.clone(),
                })
            }
            Sink::Place { .. } | Sink::Nowhere(_) | Sink::Unknown(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::{Service, Use};

    use super::*;
    use crate::host::recorded::RecordedHost;

    fn place(namespace: Namespace) -> Place {
        Place {
            path: "/srv/es".into(),
            usage: Use::Data,
            service: Some("elasticsearch".to_owned()),
            namespace,
        }
    }

    /// The core dump directories that are added when `found` was found and dumps follow `pattern`.
    fn added(pattern: &str, mut found: Discovery) -> Vec<(String, Namespace)> {
        let root = tempfile::tempdir().unwrap();
        for directory in ["proc/sys/kernel", "proc/7", "srv/es", "var/log"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        std::fs::write(root.path().join("proc/sys/kernel/core_pattern"), pattern).unwrap();
        std::os::unix::fs::symlink("/srv/es", root.path().join("proc/7/cwd")).unwrap();
        discover(&RecordedHost::new(root.path()), &mut found);
        assert!(found.core_dumps.is_some());
        let dumps = found.places.into_iter().filter(|place| place.usage == Use::CoreDump);
        dumps.map(|place| (place.path.to_string(), place.namespace)).collect()
    }

    fn with_service(namespace: Namespace) -> Discovery {
        let service =
            Service { name: "elasticsearch".to_owned(), pid: Some(7), ..Service::default() };
        Discovery {
            services: vec![service],
            places: vec![place(namespace)],
            ..Discovery::default()
        }
    }

    #[test]
    fn the_directories_of_a_node_are_places_in_its_own_eyes() {
        let at = |path: &str, namespace| (path.to_owned(), namespace);
        let own = Namespace::Process(7);
        assert_eq!(added("core", with_service(Namespace::Host)), [at("/srv/es", Namespace::Host)]);
        assert_eq!(added("core", with_service(own.clone())), [at("/srv/es", own.clone())]);
        assert_eq!(
            added("/srv/core.%p", with_service(own.clone())),
            [at("/srv", Namespace::Host), at("/srv", own)]
        );
    }

    #[test]
    fn what_is_not_there_is_no_place_and_nothing_is_added_to_nothing() {
        let found = || with_service(Namespace::Host);
        assert_eq!(added("/var/cores/core", found()), []);
        assert_eq!(added("|/bin/false", found()), []);
        assert_eq!(added("/srv/core", Discovery::default()), []);
    }
}
