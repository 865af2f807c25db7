//! Adds what the API says to what was discovered. Pure.

use atrest_proto::model::{Gap, Reason, Service, Use};

use super::{Answer, Endpoint, Outcome, Seen, Sight, Told, ask};
use crate::assumption::Assumption;
use crate::discovery::arguments::java_places;
use crate::discovery::instance::absolute;
use crate::discovery::{self, Discovery, Place};
use crate::drift::{self, Claim, Source};
use crate::path::HostPath;
use crate::repository::{self, Registered, Unlisted};
use crate::snapshot::{Namespace, Trouble};

/// Adds every answer to the service that it is of. What a node answers for another process is not used.
pub fn merge(found: &mut Discovery, answers: &[Answer]) {
    for answer in answers {
        let endpoint = found.endpoints.iter().find(|endpoint| endpoint.service == answer.service);
        let Some(endpoint) = endpoint.cloned() else { continue };
        found.gaps.extend(answer.gaps.iter().cloned());
        let seen = match &answer.outcome {
            Outcome::NotAsked(why) => {
                found.unlisted.push(Unlisted {
                    service: answer.service.clone(),
                    detail: why.clone(),
                    remedy: ask::privileges(&endpoint.product).to_owned(),
                });
                Seen::NotAsked(why.clone())
            }
            Outcome::Failed { trouble, remedy } => failed(&endpoint, trouble, remedy, found),
            Outcome::Told(told) if told.pid == i64::from(endpoint.own_pid) => {
                add(&endpoint, told, found);
                Seen::Told { memory_locked: told.memory_locked }
            }
            Outcome::Told(told) => {
                let detail = format!(
                    "the answer is of process {}, and the node is {} as it counts itself",
                    told.pid, endpoint.own_pid
                );
                let trouble = Trouble::new(Reason::Unreadable, detail);
                let remedy = "find out what answers in its place: a proxy or another node";
                failed(&endpoint, &trouble, remedy, found)
            }
        };
        found.sights.push(Sight { service: answer.service.clone(), seen });
    }
    found.registered.sort_unstable();
    found.registered.dedup();
    repository::assemble(found);
    // What a node answers may be anything.
    discovery::bound_places(found);
    found.places.sort_unstable();
    found.places.dedup();
    found.claims.sort_unstable();
    found.claims.dedup();
    found.gaps.sort_unstable();
    found.gaps.dedup();
    found.sights.sort_unstable();
}

fn failed(endpoint: &Endpoint, trouble: &Trouble, remedy: &str, found: &mut Discovery) -> Seen {
    found.unlisted.push(Unlisted {
        service: endpoint.service.clone(),
        detail: trouble.detail.clone(),
        remedy: remedy.to_owned(),
    });
    found.gaps.push(Gap {
        subject: subject(&endpoint.service),
        reason: trouble.reason,
        detail: trouble.detail.clone(),
        remedy: remedy.to_owned(),
    });
    Seen::Failed(trouble.clone())
}

/// What a gap in the API of a service is called.
pub(super) fn subject(service: &str) -> String {
    format!("API of {service}")
}

fn add(endpoint: &Endpoint, told: &Told, found: &mut Discovery) {
    if let Some(service) = found.services.iter_mut().find(|known| known.name == endpoint.service) {
        describe(service, told);
    }
    for (usage, path) in places(endpoint, told) {
        let is_own = |place: &&Place| {
            place.service.as_ref() == Some(&endpoint.service)
                && place.namespace == endpoint.namespace
        };
        // Older versions name `nodes/0` below the data path: the proof of a path is that of all below it.
        let is_known = found.places.iter().filter(is_own).any(|place| {
            place.path == path
                || (usage == Use::Data && place.usage == usage && path.is_at_or_below(&place.path))
        });
        if !is_known {
            found.places.push(Place {
                path,
                usage,
                service: Some(endpoint.service.clone()),
                namespace: endpoint.namespace.clone(),
            });
        }
    }
    settle(endpoint, told, found);
    found.claims.extend(claims(endpoint, told));
    if let Some(root) = told.settings.get("path.repo").and_then(|roots| roots.first()) {
        let stores = found.stores.entry(endpoint.service.clone()).or_default();
        stores.insert("path.repo".to_owned(), root.clone());
    }
    found.registered.extend(told.repositories.iter().flatten().map(|registered| Registered {
        service: Some(endpoint.service.clone()),
        product: Some(endpoint.product.clone()),
        cluster: told.cluster_name.clone(),
        namespace: endpoint.namespace.clone(),
        ..registered.clone()
    }));
    if told.repositories.is_none() {
        found.unlisted.push(Unlisted {
            service: endpoint.service.clone(),
            detail: "the node did not tell".to_owned(),
            remedy: ask::privileges(&endpoint.product).to_owned(),
        });
    }
}

/// A default that was assumed is known to count, or not to, once the node has told.
fn settle(endpoint: &Endpoint, told: &Told, found: &mut Discovery) {
    for (setting, usage) in [("path.data", Use::Data), ("path.logs", Use::Logs)] {
        let Some(paths) = paths_of(endpoint, told, setting) else { continue };
        let (settled, open): (Vec<Assumption>, Vec<Assumption>) =
            std::mem::take(&mut found.assumptions).into_iter().partition(|one| {
                one.service == endpoint.service
                    && one.namespace == endpoint.namespace
                    && one.usage == usage
            });
        found.assumptions = open;
        for one in &settled {
            // What it would keep below, too.
            let is_its = |path: &HostPath, namespace: &Namespace, service: &str| {
                path.is_at_or_below(&one.path)
                    && *namespace == one.namespace
                    && service == one.service
            };
            let (mut below, open): (Vec<Assumption>, Vec<Assumption>) =
                std::mem::take(&mut found.assumptions).into_iter().partition(|assumed| {
                    is_its(&assumed.path, &assumed.namespace, &assumed.service)
                });
            found.assumptions = open;
            below.push(one.clone());
            if !paths.contains(&one.path) {
                found.places.retain(|place| {
                    let is_wrong = |assumed: &Assumption| {
                        place.service.as_ref() == Some(&assumed.service)
                            && (place.usage, &place.path, &place.namespace)
                                == (assumed.usage, &assumed.path, &assumed.namespace)
                    };
                    !below.iter().any(is_wrong)
                });
            }
        }
    }
}

/// What runs is what the API says; the settings may have been changed since it was started.
fn describe(service: &mut Service, told: &Told) {
    let newer = |field: &mut Option<String>, found: &Option<String>| {
        if found.is_some() {
            field.clone_from(found);
        }
    };
    newer(&mut service.cluster_name, &told.cluster_name);
    newer(&mut service.cluster_uuid, &told.cluster_uuid);
    newer(&mut service.node_name, &told.node_name);
    newer(&mut service.version, &told.version);
    if !told.roles.is_empty() {
        service.roles.clone_from(&told.roles);
        service.roles.sort_unstable();
        service.roles.dedup();
        let tiers = service.roles.iter().filter_map(|role| role.strip_prefix("data_"));
        let tiers: Vec<String> = tiers.map(str::to_owned).collect();
        if !tiers.is_empty() {
            service.tiers = tiers;
        }
    }
}

/// The paths of a setting. The API leaves out what has its default: `path.data` is then `data` below `path.home`, as in
/// `Environment.java`. `None` when the answer held no settings, so that nothing can be said.
fn paths_of(endpoint: &Endpoint, told: &Told, setting: &str) -> Option<Vec<HostPath>> {
    let whole = |text: &String| absolute(&endpoint.cwd, &HostPath::from(text.as_str()));
    let home = told.settings.get("path.home").and_then(|values| values.first()).map(whole);
    let set = told.settings.get(setting).filter(|values| !values.is_empty());
    match (set, home, setting) {
        (Some(values), ..) => Some(values.iter().map(whole).collect()),
        (None, Some(home), "path.data") => Some(vec![home.join("data")]),
        (None, Some(home), "path.logs") => Some(vec![home.join("logs")]),
        (None, Some(_), _) => Some(Vec::new()),
        (None, None, _) => None,
    }
}

const PATHS: [(&str, Use); 4] = [
    ("path.data", Use::Data),
    ("path.logs", Use::Logs),
    ("path.repo", Use::Repository),
    ("path.shared_data", Use::Data),
];

/// Every place that the answers name.
fn places(endpoint: &Endpoint, told: &Told) -> Vec<(Use, HostPath)> {
    let mut places = Vec::new();
    for (setting, usage) in PATHS {
        let paths = paths_of(endpoint, told, setting).unwrap_or_default();
        places.extend(paths.into_iter().map(|path| (usage, path)));
    }
    let whole = |path: &HostPath| absolute(&endpoint.cwd, path);
    places.extend(told.data.iter().map(|path| (Use::Data, whole(&HostPath::from(path.as_str())))));
    let arguments: Vec<Vec<u8>> =
        told.arguments.iter().map(|argument| argument.clone().into_bytes()).collect();
    places.extend(java_places(&arguments).iter().map(|(usage, path)| (*usage, whole(path))));
    places
}

fn claims(endpoint: &Endpoint, told: &Told) -> Vec<Claim> {
    let claim = |setting: &str, paths: Vec<HostPath>| {
        let mut values: Vec<String> = paths.iter().map(ToString::to_string).collect();
        values.sort_unstable();
        values.dedup();
        let (service, setting) = (endpoint.service.clone(), setting.to_owned());
        Claim { service, setting, source: Source::Api, values }
    };
    let settings = PATHS.iter().filter_map(|(setting, _)| {
        paths_of(endpoint, told, setting).map(|paths| claim(setting, paths))
    });
    let machine = drift::java_settings(&told.arguments).into_iter().map(|(setting, values)| {
        let paths = values.iter().map(|text| HostPath::from(text.as_str()));
        claim(setting, paths.map(|path| absolute(&endpoint.cwd, &path)).collect())
    });
    // The node says what came of it, which is why it may differ from what runs without a change of the settings.
    let locked = told.memory_locked.map(|is_locked| Claim {
        service: endpoint.service.clone(),
        setting: drift::MEMORY_LOCK.to_owned(),
        source: Source::Api,
        values: vec![is_locked.to_string()],
    });
    settings.chain(machine).chain(locked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint {
            service: "elasticsearch".to_owned(),
            product: "elasticsearch".to_owned(),
            pid: 13102,
            own_pid: 7,
            user: None,
            namespace: Namespace::Process(13102),
            cwd: "/usr/share/elasticsearch".into(),
            listeners: Ok(Vec::new()),
            tls: true,
            authorities: Vec::new(),
        }
    }

    fn place(usage: Use, path: &str) -> Place {
        Place {
            path: path.into(),
            usage,
            service: Some("elasticsearch".to_owned()),
            namespace: Namespace::Process(13102),
        }
    }

    fn discovery() -> Discovery {
        Discovery {
            services: vec![Service {
                product: "elasticsearch".to_owned(),
                name: "elasticsearch".to_owned(),
                state: "running".to_owned(),
                node_name: Some("es-new".to_owned()),
                pid: Some(13102),
                ..Service::default()
            }],
            places: vec![place(Use::Data, "/srv/es"), place(Use::Logs, "/var/log/elasticsearch")],
            endpoints: vec![endpoint()],
            ..Discovery::default()
        }
    }

    fn told(settings: &[(&str, &[&str])]) -> Told {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Told {
            pid: 7,
            node_id: Some("Xk3n2d0yQ9Sg1fT5vB7pLw".to_owned()),
            node_name: Some("es-01".to_owned()),
            cluster_name: Some("prod".to_owned()),
            cluster_uuid: Some("a1B2c3".to_owned()),
            version: Some("8.19.4".to_owned()),
            roles: owned(&["master", "data_hot", "master"]),
            memory_locked: Some(false),
            settings: settings
                .iter()
                .map(|(key, values)| ((*key).to_owned(), owned(values)))
                .collect(),
            arguments: owned(&["-XX:HeapDumpPath=data", "-Djava.io.tmpdir=/tmp/elasticsearch-1"]),
            repositories: Some(Vec::new()),
            data: owned(&["/srv/es/nodes/0", "/mnt/other"]),
        }
    }

    fn merged(outcome: Outcome) -> Discovery {
        let mut found = discovery();
        let answer = Answer { service: "elasticsearch".to_owned(), outcome, gaps: Vec::new() };
        merge(&mut found, &[answer]);
        found
    }

    fn shown(found: &Discovery) -> Vec<String> {
        found.places.iter().map(|place| format!("{} {}", place.usage, place.path)).collect()
    }

    fn claimed(found: &Discovery) -> Vec<String> {
        let line = |claim: &Claim| format!("{} {}", claim.setting, claim.values.join(","));
        found.claims.iter().map(line).collect()
    }

    #[test]
    fn what_only_the_api_knows_is_added() {
        let settings: &[(&str, &[&str])] = &[
            ("path.data", &["/srv/es/"]),
            ("path.home", &["/usr/share/elasticsearch"]),
            ("path.logs", &["/var/log/elasticsearch"]),
            ("path.repo", &["/mnt/b", "/mnt/a"]),
        ];
        let found = merged(Outcome::Told(Box::new(told(settings))));
        assert_eq!(
            shown(&found),
            [
                "repository /mnt/a",
                "repository /mnt/b",
                "data /mnt/other",
                "data /srv/es",
                "temp /tmp/elasticsearch-1",
                "heap-dump /usr/share/elasticsearch/data",
                "logs /var/log/elasticsearch",
            ]
        );
        assert!(found.places.iter().all(|place| place.namespace == Namespace::Process(13102)));
        assert_eq!(
            claimed(&found),
            [
                "-XX:HeapDumpPath /usr/share/elasticsearch/data",
                "bootstrap.memory_lock false",
                "java.io.tmpdir /tmp/elasticsearch-1",
                "path.data /srv/es",
                "path.logs /var/log/elasticsearch",
                "path.repo /mnt/a,/mnt/b",
                "path.shared_data ",
            ]
        );
        let [service] = found.services.as_slice() else { panic!("{found:?}") };
        assert_eq!(service.node_name.as_deref(), Some("es-01"));
        assert_eq!(service.cluster_uuid.as_deref(), Some("a1B2c3"));
        assert_eq!(
            (&service.roles[..], &service.tiers[..]),
            (&["data_hot".to_owned(), "master".to_owned()][..], &["hot".to_owned()][..],)
        );
        assert!(found.gaps.is_empty());
        let seen = Seen::Told { memory_locked: Some(false) };
        assert_eq!(found.sights, [Sight { service: "elasticsearch".to_owned(), seen }]);
    }

    #[test]
    fn a_default_that_is_left_out_is_below_the_home() {
        let found = merged(Outcome::Told(Box::new(told(&[("path.home", &["/es"])]))));
        assert!(claimed(&found).contains(&"path.data /es/data".to_owned()));
        assert!(claimed(&found).contains(&"path.logs /es/logs".to_owned()));
        // Without any setting nothing is known, not even that there is none.
        let found = merged(Outcome::Told(Box::new(told(&[]))));
        assert!(claimed(&found).iter().all(|claim| !claim.starts_with("path.")));
    }

    #[test]
    fn what_was_assumed_is_settled_by_what_the_node_tells() {
        let assumption = |usage, path: &str| Assumption {
            service: "elasticsearch".to_owned(),
            usage,
            path: path.into(),
            namespace: Namespace::Process(13102),
            why: Trouble::new(Reason::NoPermission, "denied"),
        };
        let merged = |settings: &[(&str, &[&str])]| {
            let mut found = discovery();
            found.places.push(place(Use::Cache, "/srv/es/shared_snapshot_cache"));
            found.assumptions = vec![
                assumption(Use::Data, "/srv/es"),
                assumption(Use::Cache, "/srv/es/shared_snapshot_cache"),
                assumption(Use::Logs, "/var/log/elasticsearch"),
            ];
            let told = Told { data: Vec::new(), ..told(settings) };
            let outcome = Outcome::Told(Box::new(told));
            merge(
                &mut found,
                &[Answer { service: "elasticsearch".to_owned(), outcome, gaps: Vec::new() }],
            );
            found
        };
        // It was right about one, and wrong about the other.
        let found = merged(&[("path.data", &["/srv/es"]), ("path.logs", &["/l"])]);
        assert_eq!(found.assumptions, []);
        let places = shown(&found);
        for (place, is_there) in [
            ("data /srv/es", true),
            ("cache /srv/es/shared_snapshot_cache", true),
            ("logs /l", true),
            ("logs /var/log/elasticsearch", false),
        ] {
            assert_eq!(places.contains(&place.to_owned()), is_there, "{place}: {places:?}");
        }
        let found = merged(&[("path.data", &["/other"])]);
        assert_eq!(found.assumptions, [assumption(Use::Logs, "/var/log/elasticsearch")]);
        assert!(!shown(&found).iter().any(|place| place.contains("/srv/es")), "{found:?}");
        // Without settings nothing is settled.
        assert_eq!(merged(&[]).assumptions.len(), 3);
    }

    #[test]
    fn the_answer_of_another_process_is_not_used() {
        let other = Told { pid: 8, ..told(&[("path.data", &["/other"])]) };
        let found = merged(Outcome::Told(Box::new(other)));
        assert_eq!((&found.places, &found.services), (&discovery().places, &discovery().services));
        assert!(found.claims.is_empty());
        let [gap] = found.gaps.as_slice() else { panic!("{found:?}") };
        assert!(gap.detail.contains("process 8"), "{gap:?}");
        assert!(matches!(&found.sights[..], [Sight { seen: Seen::Failed(_), .. }]));
    }

    #[test]
    fn not_asked_is_no_gap_and_failed_is_one() {
        let found = merged(Outcome::NotAsked("no credentials".to_owned()));
        assert!(found.gaps.is_empty() && found.claims.is_empty());
        let trouble = Trouble::new(Reason::NoPermission, "403");
        let found = merged(Outcome::Failed { trouble, remedy: "grant `monitor`".to_owned() });
        let [gap] = found.gaps.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (gap.subject.as_str(), gap.remedy.as_str()),
            ("API of elasticsearch", "grant `monitor`")
        );
    }

    #[test]
    fn an_answer_of_nobody_is_left_out() {
        let mut found = discovery();
        let outcome = Outcome::Told(Box::new(told(&[("path.data", &["/x"])])));
        merge(&mut found, &[Answer { service: "other".to_owned(), outcome, gaps: Vec::new() }]);
        assert_eq!(found, discovery());
    }
}
