use super::*;
use crate::fleet::{Applied, HostState, NodeState};

const PATIENCE: Patience =
    Patience { node: Duration::from_mins(15), keystores: Duration::from_hours(1) };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key() -> ClusterKey {
    ClusterKey { cluster: "prod".to_owned(), uuid: "U".to_owned() }
}

fn own(id: &str, name: &str) -> OwnNode {
    let uuid = if id.is_empty() { "" } else { "U" };
    OwnNode {
        cluster_uuid: uuid.to_owned(),
        cluster_name: "logs".to_owned(),
        node_id: id.to_owned(),
        node_name: name.to_owned(),
    }
}

fn list(ids: &[&str], complete: bool) -> List {
    let listed = |id: &&str| {
        let node = Listed {
            name: format!("node-{id}"),
            address: "10.0.0.1:9300".to_owned(),
            roles: vec!["data_hot".to_owned()],
        };
        ((*id).to_owned(), node)
    };
    let total = u64::try_from(ids.len()).unwrap();
    List { nodes: ids.iter().map(listed).collect(), total, complete }
}

fn said(nodes: &[OwnNode], lists: &[List]) -> Said {
    let lists = lists.iter().map(|list| ("U".to_owned(), list.clone())).collect();
    Said { nodes: nodes.iter().cloned().collect(), lists, partial: false }
}

fn state() -> HostState {
    HostState {
        host_id: HostId::random(),
        hostname: "logs".to_owned(),
        cluster: "prod".to_owned(),
        revision: 0,
        sequence: 0,
        digest: None,
        outline: None,
        verdict: NodeState::Unknown,
        revoked_at: None,
        findings: BTreeMap::new(),
    }
}

/// A cluster with what the store would hold of it.
struct Scene {
    clusters: Clusters,
    state: HostState,
}

impl Scene {
    fn new() -> Self {
        Self { clusters: Clusters::new(PATIENCE, [], [], at(0)), state: state() }
    }

    fn says(&mut self, host: &HostId, cluster: &str, said: Said, now: i64) {
        self.clusters.belong(host, 1, ("es-1", cluster), said, at(now));
    }

    fn look(&mut self, now: i64) -> Option<Applied> {
        self.look_when(true, now)
    }

    /// The findings that changed.
    fn look_when(&mut self, settled: bool, now: i64) -> Option<Applied> {
        let verdicts = self.clusters.look(&key(), None, settled, at(now));
        let applied = tell(self.state.clone(), &verdicts, at(now))?;
        self.clusters.told(&key(), &verdicts);
        self.state = applied.state.clone();
        Some(applied)
    }

    fn open(&self) -> Vec<&str> {
        let open = self.state.findings.iter().filter(|(_, finding)| finding.is_open());
        open.map(|(key, _)| key.asset.as_str()).collect()
    }
}

#[test]
fn a_node_without_an_agent_is_found_after_a_while_and_ends_when_it_has_one() {
    let mut scene = Scene::new();
    let (one, two) = (HostId::random(), HostId::random());
    scene.says(&one, "prod", said(&[own("A", "a")], &[list(&["A", "B"], true)]), 0);
    assert_eq!(scene.look(0), None);
    assert!(scene.clusters.waiting().contains(&key()));
    assert_eq!(scene.look(899), None);
    assert_eq!(scene.look_when(false, 900), None, "others may not have come back yet");
    let found = scene.look(900).unwrap();
    assert_eq!(scene.open(), ["node:B"]);
    let body = found.touched.values().next().unwrap().clone().unwrap();
    let summary = "the cluster logs has the node node-B (10.0.0.1:9300), and no agent looks after it: nobody knows how \
                   its data rest";
    assert_eq!(body.finding.summary, summary);
    assert_eq!(body.finding.evidence["roles"], "data_hot");
    assert_eq!(scene.look(2_000), None, "told once");
    scene.says(&two, "prod", said(&[own("B", "b")], &[]), 2_001);
    let over = scene.look(2_001).unwrap();
    assert_eq!(over.transitions[0].kind.as_str(), "resolved");
    assert!(scene.open().is_empty());
    // The agent's silence is told of as that: the node stays its.
    scene.clusters.leave(&two, 1);
    scene.says(&one, "prod", said(&[own("A", "a")], &[list(&["A", "B"], true)]), 3_000);
    assert_eq!((scene.look(3_000), scene.look(9_000)), (None, None));
    scene.clusters.end(&two, at(9_000));
    assert!(scene.clusters.waiting().contains(&key()));
    assert_eq!(scene.look(9_001), None);
    scene.look(9_901).unwrap();
    assert_eq!(scene.open(), ["node:B"], "its host was revoked: it is nobody's");
}

#[test]
fn a_node_that_left_its_cluster_is_retired_and_not_passed() {
    let mut scene = Scene::new();
    let one = HostId::random();
    scene.says(&one, "prod", said(&[own("A", "a")], &[list(&["A", "B"], true)]), 0);
    scene.look(0);
    scene.look(900).unwrap();
    for list in [list(&["A"], false), list(&["A", "B"], true)] {
        scene.says(&one, "prod", said(&[own("A", "a")], &[list]), 1_000);
        assert_eq!((scene.look(1_000), scene.look(9_000)), (None, None));
    }
    // Nobody could fetch it.
    scene.says(&one, "prod", said(&[own("A", "a")], &[]), 9_001);
    assert_eq!((scene.look(9_001), scene.look(20_000)), (None, None));
    scene.says(&one, "prod", said(&[own("A", "a")], &[list(&["A"], true)]), 20_001);
    assert_eq!(scene.look(20_001), None, "it may be starting anew");
    let over = scene.look(20_901).unwrap();
    assert_eq!(over.transitions[0].kind.as_str(), "asset_retired");
    assert!(scene.open().is_empty());
    // It comes back: that is another episode.
    scene.says(&one, "prod", said(&[own("A", "a")], &[list(&["A", "B"], true)]), 30_000);
    scene.look(30_000);
    let again = scene.look(31_000).unwrap();
    assert_eq!(again.transitions[0].kind.as_str(), "reopened");
}

#[test]
fn a_node_that_could_not_be_asked_is_known_by_its_name() {
    let mut scene = Scene::new();
    let (one, two) = (HostId::random(), HostId::random());
    scene.says(&one, "prod", said(&[own("A", "a")], &[list(&["A", "B"], true)]), 0);
    scene.says(&two, "prod", said(&[own("", "node-B")], &[]), 0);
    assert_eq!((scene.look(0), scene.look(9_000)), (None, None));
    assert_eq!(scene.clusters.summaries(|_| None)[0].without_agent, 0);
    // A scan in which the node did not answer takes nothing away.
    let partial = Said { partial: true, ..said(&[own("", "a")], &[]) };
    scene.says(&one, "prod", partial, 9_001);
    assert!(scene.clusters.members[&one].member.nodes.contains(&own("A", "a")));
}

#[test]
fn an_agent_speaks_for_its_own_clusters_only() {
    let mut scene = Scene::new();
    let (one, liar, stranger) = (HostId::random(), HostId::random(), HostId::random());
    scene.says(&one, "prod", said(&[own("A", "a")], &[list(&["A", "B"], true)]), 0);
    // A list in which it is not is no list of its cluster.
    scene.says(&liar, "prod", said(&[own("Z", "z")], &[list(&["A", "X"], true)]), 0);
    // Another cluster of hosts: its word on the nodes of this one counts for nothing.
    scene.says(&stranger, "other", said(&[own("B", "b")], &[list(&["B"], true)]), 0);
    scene.look(0);
    let found = scene.look(900).unwrap();
    assert_eq!(scene.open(), ["node:B"]);
    let body = found.touched.values().next().unwrap().clone().unwrap();
    assert_eq!(body.finding.evidence["claimed_by"], "es-1");
    let summaries = scene.clusters.summaries(|_| None);
    assert_eq!(summaries.len(), 2);
    assert_eq!((summaries[1].nodes, summaries[1].without_agent), (2, 1));
    // Of several lists, that of who was drawn counts.
    let drawn = HostId::random();
    scene.says(&drawn, "prod", said(&[own("C", "c")], &[list(&["A", "B", "C", "D"], true)]), 901);
    assert_eq!(scene.clusters.list(&key(), Some(&drawn)).unwrap().nodes.len(), 4);
    assert_eq!(
        scene.clusters.list(&key(), Some(&stranger)).map(|list| list.total),
        Some(2).filter(|_| one < drawn).or(Some(4))
    );
}

#[test]
fn made_up_clusters_take_bounded_memory() {
    let mut scene = Scene::new();
    let host = HostId::random();
    for round in 0..100 {
        let nodes = (0..MAX_OWN).map(|number| OwnNode {
            cluster_uuid: format!("U{round}-{number}"),
            node_id: "A".to_owned(),
            ..OwnNode::default()
        });
        let said = Said { nodes: nodes.collect(), ..Said::default() };
        scene.says(&host, "prod", said, round);
    }
    assert_eq!(scene.clusters.known.len(), MAX_CLUSTERS);
}

#[test]
fn what_is_over_is_remembered_up_to_a_bound() {
    let mut scene = Scene::new();
    let host = HostId::random();
    let mut now = 0;
    for round in 0..4 {
        let ids: Vec<String> =
            (0..900).map(|number| format!("r{round}n{number}")).chain(["A".to_owned()]).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        scene.says(&host, "prod", said(&[own("A", "a")], &[list(&ids, true)]), now);
        scene.look(now);
        now += 1_000;
        scene.look(now);
    }
    let over = scene.state.findings.values().filter(|finding| !finding.is_open()).count();
    assert_eq!((over, scene.open().len()), (2_000, 900));
}

fn keystore(fingerprint: &str, mode: &str) -> BTreeSet<KeystoreFacts> {
    BTreeSet::from([KeystoreFacts {
        kind: Kind::Elasticsearch,
        cluster_uuid: "U".to_owned(),
        cluster_name: "logs".to_owned(),
        fingerprint: fingerprint.to_owned(),
        facts: BTreeMap::from([
            ("mode".to_owned(), mode.to_owned()),
            ("owner".to_owned(), "root".to_owned()),
        ]),
    }])
}

#[test]
fn keystores_that_differ_are_told_of_when_no_change_goes_on() {
    let mut scene = Scene::new();
    let hosts: Vec<_> = (0..3).map(|_| HostId::random()).collect();
    let keep = |scene: &mut Scene, host: usize, print: &str, mode: &str, now: i64| {
        let name = format!("es-{host}");
        let facts = keystore(print, mode);
        assert!(!scene.clusters.has(&hosts[host], &facts));
        scene.clusters.keep(&hosts[host], (&name, "prod"), facts, at(now));
    };
    for host in 0..3 {
        keep(&mut scene, host, "old", "0660", 0);
    }
    assert_eq!(scene.look(0), None);
    // A change goes from node to node, each within the time.
    keep(&mut scene, 0, "new", "0660", 1_000);
    assert_eq!(scene.look(4_599), None);
    keep(&mut scene, 1, "new", "0660", 4_599);
    assert_eq!(scene.look(8_000), None);
    keep(&mut scene, 2, "new", "0660", 8_001);
    assert_eq!((scene.look(8_001), scene.look(90_000)), (None, None), "nobody was told");
    keep(&mut scene, 2, "odd", "0644", 90_000);
    assert_eq!(scene.look(93_599), None);
    let found = scene.look(93_600).unwrap();
    let body = found.touched.values().next().unwrap().clone().unwrap();
    assert_eq!(
        body.finding.summary,
        "1 of 3 keystores in the cluster logs differ from the others, by mode: on es-2"
    );
    assert_eq!(body.finding.evidence["kind_01_hosts"], "es-0, es-1");
    assert_eq!(body.finding.evidence["kind_02"], "mode=0644 owner=root");
    assert_eq!(scene.look(200_000), None, "told once");
    assert!(!scene.clusters.waiting().contains(&key()));
    keep(&mut scene, 2, "new", "0660", 200_000);
    let over = scene.look(200_000).unwrap();
    assert_eq!(over.transitions[0].kind.as_str(), "resolved");
}

#[test]
fn one_that_is_always_changed_does_not_put_it_off_for_ever() {
    let mut scene = Scene::new();
    let (one, two) = (HostId::random(), HostId::random());
    scene.clusters.keep(&one, ("es-1", "prod"), keystore("a", "0660"), at(0));
    for minute in 0..2_000_i64 {
        let now = minute * 60;
        let print = format!("b{minute}");
        scene.clusters.keep(&two, ("es-2", "prod"), keystore(&print, "0660"), at(now));
        if let Some(found) = scene.look(now) {
            assert_eq!(now, 24 * 3_600);
            let body = found.touched.values().next().unwrap().clone().unwrap();
            assert!(body.finding.summary.contains("their size"), "{}", body.finding.summary);
            return;
        }
    }
    panic!("nobody was told");
}

#[test]
fn what_was_open_before_a_restart_ends_after_it() {
    let (one, two) = (HostId::random(), HostId::random());
    let member = |id: &str| Member {
        hostname: "es".to_owned(),
        cluster: "prod".to_owned(),
        nodes: BTreeSet::from([own(id, "n")]),
        keystores: keystore("a", "0660"),
    };
    let open = [
        (key(), NODE_MISSING.to_owned(), "node:B".to_owned()),
        (key(), KEYSTORE_DIFFERS.to_owned(), "keystores:elasticsearch".to_owned()),
        (key(), KEYSTORE_DIFFERS.to_owned(), "keystores:opensearch".to_owned()),
    ];
    let mut clusters =
        Clusters::new(PATIENCE, [(one, member("A")), (two, member("B"))], open, at(0));
    assert!(clusters.waiting().contains(&key()), "the keystores are alike now");
    let verdicts = clusters.look(&key(), None, false, at(0));
    let mut previous = state();
    for (check, asset) in [
        (NODE_MISSING, "node:B"),
        (KEYSTORE_DIFFERS, "keystores:elasticsearch"),
        (KEYSTORE_DIFFERS, "keystores:opensearch"),
    ] {
        let seen = crate::fleet::FindingState {
            outcome: atrest_proto::model::Outcome::Fail,
            severity: atrest_proto::model::Severity::High,
            content: Some([0; 16]),
            first_seen_at: at(0),
            changed_at: at(0),
            opened_at: Some(at(0)),
            episode: 1,
            alerting: None,
            absent_since: None,
            retired_at: None,
        };
        previous.findings.insert(crate::fleet::FindingKey::new(check, asset), seen);
    }
    let applied = tell(previous, &verdicts, at(1)).unwrap();
    let kinds: Vec<_> = applied
        .transitions
        .iter()
        .map(|transition| (transition.key.asset.as_str(), transition.kind.as_str()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("node:B", "resolved"),
            ("keystores:elasticsearch", "resolved"),
            ("keystores:opensearch", "asset_retired")
        ]
    );
}

#[test]
fn only_keystores_of_search_nodes_that_could_be_read_are_compared() {
    use atrest_proto::model::{Host, Keystore, Password, Posture, Service, Verdict};
    let keystore = |format: &str, service: &str, fingerprint: Option<&str>| Keystore {
        asset: format!("keystore:{format}"),
        path: "/etc".to_owned(),
        product: format.to_owned(),
        service: Some(service.to_owned()),
        format: format.to_owned(),
        format_version: Some(7),
        password: Password::Unprotected,
        kdf: String::new(),
        cipher: String::new(),
        opens_without_password: None,
        mode: "0660".to_owned(),
        owner: "root".to_owned(),
        group: "elasticsearch".to_owned(),
        at_rest: Verdict::Encrypted,
        fingerprint: fingerprint.map(str::to_owned),
        problem: None,
    };
    let service = |name: &str, cluster: Option<&str>| Service {
        name: name.to_owned(),
        cluster_name: cluster.map(str::to_owned),
        ..Service::default()
    };
    let posture = Posture {
        host: Host::default(),
        observed_at: at(0),
        services: vec![service("es", Some("logs")), service("lost", None)],
        paths: Vec::new(),
        keystores: vec![
            keystore("elasticsearch", "es", Some("f")),
            keystore("kibana", "es", Some("f")),
            keystore("elasticsearch", "lost", Some("f")),
            keystore("elasticsearch", "es", None),
        ],
        repositories: Vec::new(),
        findings: Vec::new(),
        gaps: Vec::new(),
        catalogue_version: 1,
    };
    let facts = KeystoreFacts::of(&posture);
    assert_eq!(facts.len(), 1);
    let facts = facts.first().unwrap();
    assert_eq!(facts.cluster_id(), "name:logs", "its UUID is not known");
    assert_eq!(facts.facts["format_version"], "7");
}
