//! What the API answers, as far as it is used. Nothing else of an answer is kept.
//!
//! The shapes are those of `NodesInfoResponse`, `NodesStatsResponse` and `MainResponse` of Elasticsearch and OpenSearch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::membership::{self, ClusterList, Listed};
use crate::repository::Registered;
use crate::transport::failure::bounded;

/// An answer that is larger is not read: with the filters that are asked for it has a few KiB.
pub(crate) const MAX_SIZE: usize = 1 << 20;
/// More paths, roles or arguments than this are no node's.
const MOST: usize = 1000;

/// The settings that are kept.
const SETTINGS: [&str; 5] =
    ["path.data", "path.home", "path.logs", "path.repo", "path.shared_data"];
/// The arguments of the Java machine that are kept: each names a place that it writes to.
const ARGUMENTS: [&str; 6] = [
    "-XX:HeapDumpPath=",
    "-XX:ErrorFile=",
    "-XX:ReplayDataFile=",
    "-Djava.io.tmpdir=",
    "-Xloggc:",
    "-Xlog:",
];

/// Why an answer is of no use. Never quotes it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Error {
    #[error("{size} bytes are more than the {MAX_SIZE} that an answer may have")]
    TooLarge { size: usize },
    #[error("not the JSON that a node answers with: line {line}, column {column}")]
    Shape { line: usize, column: usize },
    #[error("it speaks of {count} nodes, not of itself")]
    Nodes { count: usize },
    #[error("it does not say which process it is")]
    Process,
    #[error("more than {MOST} entries in a list")]
    TooMany,
    #[error("it lists no node")]
    Nobody,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// As the node counts, in its own pid namespace.
    pub(super) pid: i64,
    /// Made when it first started on its data; lost with them.
    pub(crate) node_id: Option<String>,
    pub(super) node_name: Option<String>,
    pub(super) cluster_name: Option<String>,
    pub(crate) cluster_uuid: Option<String>,
    pub(super) version: Option<String>,
    pub(super) roles: Vec<String>,
    pub(super) memory_locked: Option<bool>,
    /// By their dotted names; empty when the answer held none at all.
    pub(super) settings: BTreeMap<String, Vec<String>>,
    pub(super) arguments: Vec<String>,
    /// Where it keeps its indices, from the statistics of its file systems.
    pub(super) data: Vec<String>,
    /// The repositories of its cluster; `None` where it did not tell.
    pub(super) repositories: Option<Vec<Registered>>,
}

#[derive(Deserialize)]
struct Nodes<T> {
    cluster_name: Option<String>,
    nodes: BTreeMap<String, T>,
}

#[derive(Deserialize)]
struct Info {
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    settings: Option<Value>,
    process: Option<Process>,
    jvm: Option<Jvm>,
}

#[derive(Deserialize)]
struct Process {
    id: Option<i64>,
    mlockall: Option<bool>,
}

#[derive(Deserialize)]
struct Jvm {
    pid: Option<i64>,
    #[serde(default)]
    input_arguments: Vec<String>,
}

/// Reads the answer to `/_nodes/_local/settings,process,jvm`, with flat settings or nested ones.
pub(crate) fn nodes_info(bytes: &[u8]) -> Result<Told, Error> {
    let Nodes { cluster_name, nodes } = parse::<Nodes<Info>>(bytes)?;
    let (node_id, info) = only(nodes)?;
    let of_process = info.process.as_ref().and_then(|process| process.id);
    let of_machine = info.jvm.as_ref().and_then(|jvm| jvm.pid);
    let pid = match (of_process, of_machine) {
        (Some(one), Some(other)) if one != other => return Err(Error::Process),
        (one, other) => one.or(other).ok_or(Error::Process)?,
    };
    let mut settings = BTreeMap::new();
    if let Some(value) = info.settings {
        flatten("", value, &mut settings);
    }
    let mut arguments = info.jvm.map(|jvm| jvm.input_arguments).unwrap_or_default();
    arguments.retain(|argument| ARGUMENTS.iter().any(|known| argument.starts_with(known)));
    let lists = settings.values().chain([&arguments, &info.roles]);
    if lists.into_iter().any(|list| list.len() > MOST) {
        return Err(Error::TooMany);
    }
    Ok(Told {
        pid,
        node_id: Some(node_id).filter(|id| is_id(id)),
        node_name: info.name,
        cluster_name,
        cluster_uuid: None,
        version: info.version,
        roles: info.roles,
        memory_locked: info.process.and_then(|process| process.mlockall),
        settings,
        arguments,
        data: Vec::new(),
        repositories: None,
    })
}

/// Reads the answer to `/`: the UUID of the cluster, once there is one.
pub(crate) fn root(bytes: &[u8]) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    struct Main {
        cluster_uuid: Option<String>,
    }
    // Before a cluster has formed it is `_na_`: `ClusterName` and `Metadata.UNKNOWN_CLUSTER_UUID`.
    let uuid = parse::<Main>(bytes)?.cluster_uuid;
    Ok(uuid.filter(|uuid| uuid != "_na_" && !uuid.is_empty()))
}

/// Reads the answer to `/_nodes/_local/stats/fs`: the paths of `fs.data`.
pub(crate) fn filesystems(bytes: &[u8]) -> Result<Vec<String>, Error> {
    #[derive(Deserialize)]
    struct Stats {
        fs: Option<Filesystems>,
    }
    #[derive(Deserialize)]
    struct Filesystems {
        #[serde(default)]
        data: Vec<Data>,
    }
    #[derive(Deserialize)]
    struct Data {
        path: Option<String>,
    }
    let data =
        only(parse::<Nodes<Stats>>(bytes)?.nodes)?.1.fs.map(|fs| fs.data).unwrap_or_default();
    if data.len() > MOST {
        return Err(Error::TooMany);
    }
    Ok(data.into_iter().filter_map(|data| data.path).collect())
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len() });
    }
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Shape { line: error.line(), column: error.column() })
}

/// Reads the answer to `/_nodes/transport`: all nodes of the cluster, by their ids.
pub(crate) fn cluster_nodes(bytes: &[u8]) -> Result<ClusterList, Error> {
    #[derive(Deserialize)]
    struct All {
        #[serde(rename = "_nodes")]
        tally: Option<Tally>,
        nodes: BTreeMap<String, One>,
    }
    #[derive(Deserialize)]
    struct Tally {
        total: u64,
        failed: u64,
    }
    #[derive(Deserialize)]
    struct One {
        name: Option<String>,
        transport_address: Option<String>,
        #[serde(default)]
        roles: Vec<String>,
    }
    let All { tally, nodes } = parse::<All>(bytes)?;
    if nodes.is_empty() {
        return Err(Error::Nobody);
    }
    let answered = nodes.len();
    let total = tally
        .as_ref()
        .map_or(answered, |tally| usize::try_from(tally.total).unwrap_or(usize::MAX).max(answered));
    let listed: BTreeMap<String, Listed> = nodes
        .into_iter()
        .filter(|(id, _)| is_id(id))
        .take(membership::MOST_NODES)
        .map(|(id, one)| {
            let mut roles: Vec<String> =
                one.roles.iter().take(membership::MOST_ROLES).map(|role| bounded(role)).collect();
            roles.sort_unstable();
            let name = bounded(&one.name.unwrap_or_default());
            let address = bounded(&one.transport_address.unwrap_or_default());
            (id, Listed { name, address, roles })
        })
        .collect();
    let is_whole = tally.is_some_and(|tally| tally.failed == 0) && listed.len() == total;
    Ok(ClusterList { nodes: listed, total, is_whole })
}

/// Ids are 22 characters of base64 for URLs, from `UUIDs.randomBase64UUID`; later versions may make others.
fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !id.is_empty() && id.len() <= membership::MAX_ID && id.bytes().all(is_plain)
}

/// `_local` is one node.
fn only<T>(nodes: BTreeMap<String, T>) -> Result<(String, T), Error> {
    let count = nodes.len();
    let mut nodes = nodes.into_iter();
    match (nodes.next(), nodes.next()) {
        (Some(node), None) => Ok(node),
        _ => Err(Error::Nodes { count }),
    }
}

/// Every spelling of a setting to its dotted name; one text with commas is a list, as the products read it.
fn flatten(prefix: &str, value: Value, settings: &mut BTreeMap<String, Vec<String>>) {
    let mut add = |texts: Vec<String>| {
        // `path.data.0` is an old spelling of a list.
        let key = prefix
            .rsplit_once('.')
            .filter(|(_, index)| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()))
            .map_or(prefix, |(parent, _)| parent);
        if SETTINGS.contains(&key) {
            let texts = texts.into_iter().filter(|text| !text.is_empty());
            settings.entry(key.to_owned()).or_default().extend(texts);
        }
    };
    match value {
        Value::Null => {}
        Value::Bool(truth) => add(vec![truth.to_string()]),
        Value::Number(number) => add(vec![number.to_string()]),
        Value::String(text) => add(text.split(',').map(|part| part.trim().to_owned()).collect()),
        Value::Array(items) => add(items
            .into_iter()
            .filter_map(|item| item.as_str().map(|text| text.trim().to_owned()))
            .collect()),
        Value::Object(members) => {
            for (name, member) in members {
                let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                flatten(&key, member, settings);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn info(settings: &Value) -> Value {
        json!({
            "_nodes": {"total": 1, "successful": 1, "failed": 0}, "cluster_name": "prod",
            "nodes": {"Xk3n2d0yQ9Sg1fT5vB7pLw": {
                "name": "es-01", "ip": "10.0.0.11", "version": "8.19.4", "build_type": "deb",
                "roles": ["data", "ingest", "master"], "settings": settings,
                "process": {"refresh_interval_in_millis": 1000, "id": 13102, "mlockall": true},
                "jvm": {"pid": 13102, "version": "24.0.2", "input_arguments": [
                    "-Xms4g", "-Djava.io.tmpdir=/tmp/elasticsearch-285470383223225162",
                    "-Djavax.net.ssl.keyStorePassword=hunter2",
                    "-XX:HeapDumpPath=/var/lib/elasticsearch",
                    "-XX:ErrorFile=/var/log/elasticsearch/hs_err_pid%p.log"]},
            }},
        })
    }

    fn told(value: &Value) -> Result<Told, Error> {
        nodes_info(value.to_string().as_bytes())
    }

    #[test]
    fn what_a_node_says_of_itself() {
        let told = told(&info(&json!({"path.home": "/usr/share/elasticsearch"}))).unwrap();
        assert_eq!((told.pid, told.node_name.as_deref()), (13102, Some("es-01")));
        assert_eq!(told.node_id.as_deref(), Some("Xk3n2d0yQ9Sg1fT5vB7pLw"));
        assert_eq!(told.cluster_name.as_deref(), Some("prod"));
        assert_eq!(told.version.as_deref(), Some("8.19.4"));
        assert_eq!(told.roles, ["data", "ingest", "master"]);
        assert_eq!(told.memory_locked, Some(true));
        assert_eq!(told.arguments.len(), 3);
        assert!(!format!("{told:?}").contains("hunter2"));
    }

    #[test]
    fn every_spelling_of_the_settings_is_the_same() {
        for settings in [
            json!({"path.data": ["/a", "/b"], "path.home": "/es", "node.name": "x"}),
            json!({"path.data": "/a, /b", "path.home": "/es"}),
            json!({"path": {"data": ["/a", "/b"], "home": "/es"}, "xpack": {"secret": "hunter2"}}),
            json!({"path": {"data": "/a,/b"}, "path.home": "/es"}),
            json!({"path.data.0": "/a", "path.data.1": "/b", "path": {"home": "/es"}}),
            json!({"path": {"data": {"0": "/a", "1": "/b"}, "home": "/es"}}),
        ] {
            let found = told(&info(&settings)).unwrap().settings;
            let expected: BTreeMap<String, Vec<String>> = [
                ("path.data".to_owned(), vec!["/a".to_owned(), "/b".to_owned()]),
                ("path.home".to_owned(), vec!["/es".to_owned()]),
            ]
            .into();
            assert_eq!(found, expected, "{settings}");
        }
    }

    #[test]
    fn an_answer_that_is_not_of_one_process_is_none() {
        let mut none = info(&json!({}));
        none["nodes"] = json!({});
        assert_eq!(told(&none), Err(Error::Nodes { count: 0 }));
        let mut two = info(&json!({}));
        two["nodes"]["other"] = two["nodes"]["Xk3n2d0yQ9Sg1fT5vB7pLw"].clone();
        assert_eq!(told(&two), Err(Error::Nodes { count: 2 }));
        let mut nobody = info(&json!({}));
        let node = &mut nobody["nodes"]["Xk3n2d0yQ9Sg1fT5vB7pLw"];
        node["process"] = Value::Null;
        assert_eq!(told(&nobody).unwrap().pid, 13102);
        nobody["nodes"]["Xk3n2d0yQ9Sg1fT5vB7pLw"]["jvm"] = Value::Null;
        assert_eq!(told(&nobody), Err(Error::Process));
        let mut both = info(&json!({}));
        both["nodes"]["Xk3n2d0yQ9Sg1fT5vB7pLw"]["jvm"]["pid"] = json!(7);
        assert_eq!(told(&both), Err(Error::Process));
    }

    #[test]
    fn an_error_never_quotes_the_answer() {
        for text in ["hunter2", "{\"nodes\": \"hunter2\"}", "[\"hunter2\"", ""] {
            let error = nodes_info(text.as_bytes()).unwrap_err();
            assert!(matches!(error, Error::Shape { .. }), "{error}");
            assert!(!error.to_string().contains("hunter2"));
        }
        let huge = vec![b' '; MAX_SIZE + 1];
        assert_eq!(nodes_info(&huge), Err(Error::TooLarge { size: MAX_SIZE + 1 }));
        assert!(nodes_info("[".repeat(MAX_SIZE).as_bytes()).is_err());
    }

    #[test]
    fn the_other_two_answers() {
        let main =
            json!({"name": "es-01", "cluster_uuid": "a1B2c3D4e5F6g7H8i9J0kQ", "tagline": "x"});
        assert_eq!(
            root(main.to_string().as_bytes()).unwrap().as_deref(),
            Some("a1B2c3D4e5F6g7H8i9J0kQ")
        );
        assert_eq!(root(br#"{"cluster_uuid":"_na_"}"#), Ok(None));
        let stats = json!({"nodes": {"x": {"fs": {"data": [
            {"path": "/srv/es/d1", "mount": "/srv/es/d1 (/dev/mapper/es1)", "type": "ext4"},
            {"path": "/srv/es/d2"}]}}}});
        assert_eq!(
            filesystems(stats.to_string().as_bytes()).unwrap(),
            ["/srv/es/d1", "/srv/es/d2"]
        );
        assert!(filesystems(br#"{"nodes":{"x":{}}}"#).unwrap().is_empty());
        assert!(filesystems(br#"{"error":"x","status":401}"#).is_err());
    }

    fn list(value: &Value) -> Result<ClusterList, Error> {
        cluster_nodes(value.to_string().as_bytes())
    }

    #[test]
    fn the_list_of_a_cluster_is_whole_only_when_everybody_answered() {
        let one = json!({"name": "es-01", "transport_address": "10.0.0.11:9300", "roles": ["master", "data"]});
        let two = json!({"_nodes": {"total": 2, "failed": 0}, "nodes": {"A": one, "B": {}}});
        let found = list(&two).unwrap();
        assert!(found.is_whole);
        assert_eq!(found.nodes["A"].roles, ["data", "master"]);
        assert_eq!(found.nodes["A"].address, "10.0.0.11:9300");
        assert_eq!(found.nodes["B"], Listed::default());
        let mut failed = two.clone();
        failed["_nodes"] = json!({"total": 3, "failed": 1});
        let found = list(&failed).unwrap();
        assert_eq!((found.is_whole, found.total, found.nodes.len()), (false, 3, 2));
        let mut untold = two.clone();
        untold.as_object_mut().unwrap().remove("_nodes");
        assert!(!list(&untold).unwrap().is_whole, "nothing says that all answered");
        assert_eq!(list(&json!({"nodes": {}})), Err(Error::Nobody));
        let strange = json!({"_nodes": {"total": 1, "failed": 0}, "nodes": {"a\nb": {}}});
        let found = list(&strange).unwrap();
        assert_eq!((found.is_whole, found.nodes.len()), (false, 0), "no id");
    }

    #[test]
    fn a_list_that_is_too_long_is_cut_and_says_so() {
        let nodes: serde_json::Map<String, Value> =
            (0..1_500).map(|number| (format!("n{number:05}"), json!({}))).collect();
        let found =
            list(&json!({"_nodes": {"total": 1_500, "failed": 0}, "nodes": nodes})).unwrap();
        assert_eq!(found.nodes.len(), membership::MOST_NODES);
        assert_eq!((found.total, found.is_whole), (1_500, false));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop((nodes_info(&bytes), root(&bytes), filesystems(&bytes), cluster_nodes(&bytes)));
        }

        #[test]
        fn only_known_settings_are_kept(key in "path\\.[a-z_.]{0,12}", value in "\\PC{0,20}") {
            let found = told(&info(&json!({ key: value }))).unwrap().settings;
            prop_assert!(found.keys().all(|key| SETTINGS.contains(&key.as_str())));
        }
    }
}
