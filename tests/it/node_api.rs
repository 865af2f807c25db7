//! The agent and a process that answers, or misbehaves, as a search node: over loopback, in plain and over TLS.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use atrest_agent::discovery::{self, Declared, Discovery};
use atrest_agent::drift::Source;
use atrest_agent::duties::Duties;
use atrest_agent::host::live::LiveHost;
use atrest_agent::node_api::{self, Access, Seen, Settings};
use atrest_agent::observer::Local;
use atrest_agent::resident;
use atrest_proto::model::{Gap, Reason};
use atrest_tests::search_node::{Asked, Flavour, Manner, Node, Part};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A scan asks every node of this host: one test at a time has one.
static ALONE: Mutex<()> = Mutex::new(());

const KEY: &str = "stand-in:hunter2";
/// The same as the header has it.
const HEADER: &str = "ApiKey c3RhbmQtaW46aHVudGVyMg==";

/// A node that runs, with its directories and its settings file.
pub(crate) struct Scene {
    node: Node,
    root: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    /// `part` is given the directory with everything, and may add files to it.
    fn new(part: impl FnOnce(&Path) -> anyhow::Result<Part>, yml: &str) -> anyhow::Result<Self> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let root = tempfile::tempdir()?;
        for directory in ["config/certs", "data", "logs", "home"] {
            std::fs::create_dir_all(root.path().join(directory))?;
        }
        let part = part(root.path())?;
        let path = root.path().display();
        let (property, class) = match part.flavour {
            Flavour::Elasticsearch => ("es", "org.elasticsearch.bootstrap.Elasticsearch"),
            Flavour::OpenSearch => ("opensearch", "org.opensearch.bootstrap.OpenSearch"),
        };
        let arguments = [
            format!("-D{property}.path.home={path}/home"),
            format!("-D{property}.path.conf={path}/config"),
            class.to_owned(),
        ];
        let node = Node::start(Path::new(env!("CARGO_BIN_EXE_search-node")), &arguments, &part)?;
        let port = node.address.port();
        let text =
            format!("path.data: {path}/data\npath.logs: {path}/logs\nhttp.port: {port}\n{yml}");
        let file = if property == "es" { "elasticsearch.yml" } else { "opensearch.yml" };
        std::fs::write(root.path().join("config").join(file), text)?;
        Ok(Self { node, root, _alone: alone })
    }

    /// One that is not alone in its cluster.
    pub(crate) fn with_others(others: serde_json::Map<String, Value>) -> anyhow::Result<Self> {
        Self::new(|root| Ok(Part { others, ..agreeing(root) }), "")
    }

    /// A node without security whose API says what its files say.
    fn plain(manner: Manner) -> anyhow::Result<Self> {
        Self::new(|root| Ok(Part { manner, ..agreeing(root) }), "")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn put(&self, name: &str, text: &str, mode: u32) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        Ok(path)
    }

    /// Settings with an API key.
    fn with_key(&self, key: &str) -> anyhow::Result<Settings> {
        Ok(Settings { api_key_file: Some(self.put("key", key, 0o600)?), ..Settings::default() })
    }

    /// What is discovered, with this node's endpoint alone.
    fn discover(&self) -> anyhow::Result<Discovery> {
        let mut found = discovery::discover(&LiveHost::new("/"), &Declared::default());
        let pid = i32::try_from(self.node.pid())?;
        found.endpoints.retain(|endpoint| endpoint.pid == pid);
        Ok(found)
    }

    /// What is discovered and asked of this node alone.
    fn look(&self, settings: &Settings) -> anyhow::Result<Discovery> {
        let mut found = self.discover()?;
        let [endpoint] = found.endpoints.as_slice() else {
            anyhow::bail!("{:?}", found.services);
        };
        // Whoever runs the tests is trusted as the package's account would be.
        let mut settings = settings.clone();
        settings.users.extend(endpoint.user.clone());
        let service = endpoint.service.clone();
        node_api::consult(&LiveHost::new("/"), &mut found, &settings);
        found.services.retain(|known| known.name == service);
        found.places.retain(|place| place.service.as_ref() == Some(&service));
        found.claims.retain(|claim| claim.service == service);
        found.gaps.retain(|gap| gap.subject.contains(&service));
        Ok(found)
    }

    /// The one gap that asking leaves.
    fn gap(&self, settings: &Settings) -> anyhow::Result<Gap> {
        let found = self.look(settings)?;
        ensure!(found.claims.iter().all(|claim| claim.source != Source::Api), "{found:?}");
        ensure!(matches!(seen(&found)?, Seen::Failed(_)), "{:?}", found.sights);
        let [gap] = found.gaps.as_slice() else { anyhow::bail!("{:?}", found.gaps) };
        Ok(gap.clone())
    }

    /// `atrest-agent scan` with this configuration, and the part of the answer that is about this node.
    fn scan(&self, config: &str, environment: &[(&str, &str)]) -> anyhow::Result<(Value, Output)> {
        let config = self.put("agent.toml", config, 0o600)?;
        let output = Command::new(agent()?)
            .args(["scan", "--format", "json", "--config"])
            .arg(config)
            .envs(environment.iter().copied())
            .output()?;
        Ok((serde_json::from_slice(&output.stdout)?, output))
    }

    fn drift(&self, answer: &Value) -> anyhow::Result<Value> {
        let asset = format!("service:elasticsearch:{}", self.path("config").display());
        let findings = answer["findings"].as_array().context("findings")?;
        let found = findings.iter().find(|finding| {
            finding["check"] == "service_drift" && finding["asset"] == asset.as_str()
        });
        found.cloned().with_context(|| format!("no finding on {asset}"))
    }
}

/// The agent's binary, which stands beside the directory of this test's own.
fn agent() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let agent = own.ancestors().nth(2).context("a target directory")?.join("atrest-agent");
    ensure!(agent.exists(), "{}: build it first: cargo build -p atrest-agent", agent.display());
    Ok(agent)
}

fn agreeing(root: &Path) -> Part {
    let path = |name: &str| root.join(name).display().to_string();
    let settings = json!({
        "path.home": path("home"), "path.data": path("data"), "path.logs": path("logs"),
        "path.repo": [path("backup")],
    });
    Part {
        data: vec![path("data")],
        locks: vec![root.join("data/node.lock")],
        ..Part::new(settings)
    }
}

fn seen(found: &Discovery) -> anyhow::Result<&Seen> {
    let [sight] = found.sights.as_slice() else { anyhow::bail!("{:?}", found.sights) };
    Ok(&sight.seen)
}

fn not_asked(found: &Discovery) -> anyhow::Result<&str> {
    let Seen::NotAsked(why) = seen(found)? else { anyhow::bail!("{:?}", found.sights) };
    ensure!(found.gaps.is_empty(), "{:?}", found.gaps);
    Ok(why)
}

fn shows_credentials(asked: &[Asked]) -> bool {
    asked.iter().any(|asked| asked.authorization.is_some())
}

/// An authority, and a chain with its key for the names.
struct Authority {
    pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> anyhow::Result<Self> {
        let key = rcgen::KeyPair::generate()?;
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: rcgen::Issuer::new(parameters, key) })
    }

    fn certify(&self, name: &str) -> anyhow::Result<(String, String)> {
        let key = rcgen::KeyPair::generate()?;
        let parameters = rcgen::CertificateParams::new(vec![name.to_owned()])?;
        Ok((parameters.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }
}

const TLS: &str = "xpack.security.enabled: true\nxpack.security.http.ssl.enabled: true\n";

/// A node with security, whose certificate is for `name` and comes from the authority in its configuration directory.
fn secured(name: &str) -> anyhow::Result<Scene> {
    let part = |root: &Path| {
        let authority = Authority::new()?;
        std::fs::write(root.join("config/certs/http_ca.crt"), &authority.pem)?;
        let tls = Some(authority.certify(name)?);
        Ok(Part { tls, authorization: Some(HEADER.to_owned()), ..agreeing(root) })
    };
    Scene::new(part, TLS)
}

#[test]
fn what_only_the_api_knows_is_found() -> anyhow::Result<()> {
    let mut addresses = vec!["127.0.0.1:0", "0.0.0.0:0"];
    if TcpListener::bind("[::1]:0").is_ok() {
        addresses.extend(["[::1]:0", "[::]:0"]);
    }
    for listen in addresses {
        let part = |root: &Path| Ok(Part { listen: listen.to_owned(), ..agreeing(root) });
        let scene = Scene::new(part, "")?;
        let found = scene.look(&Settings::default())?;
        ensure!(*seen(&found)? == Seen::Told { memory_locked: Some(false) }, "{:?}", found.sights);
        let [service] = found.services.as_slice() else { anyhow::bail!("{:?}", found.services) };
        ensure!(service.cluster_uuid.as_deref() == Some("a1B2c3D4e5F6g7H8i9J0kQ"), "{service:?}");
        ensure!(service.node_name.as_deref() == Some("stand-in-1"), "{service:?}");
        let backup = scene.path("backup").display().to_string();
        ensure!(found.places.iter().any(|place| place.path.to_string() == backup), "{found:?}");
        ensure!(found.gaps.is_empty(), "{:?}", found.gaps);
        let asked = scene.node.stop()?;
        ensure!(asked.len() == 4 && !shows_credentials(&asked), "{asked:?}");
    }
    Ok(())
}

#[test]
fn a_scan_tells_where_the_node_and_its_files_differ() -> anyhow::Result<()> {
    let scene = Scene::plain(Manner::Answers)?;
    let (answer, _) = scene.scan("", &[])?;
    let found = scene.drift(&answer)?;
    // The repository stands in no file.
    ensure!(found["outcome"] == "fail", "{found}");
    ensure!(
        found["summary"]
            .as_str()
            .is_some_and(|text| text.starts_with("path.repo: files say nothing"))
    );
    let yml = std::fs::read_to_string(scene.path("config/elasticsearch.yml"))?;
    let backup = scene.path("backup");
    let agreed = format!("{yml}path.repo: {}\n", backup.display());
    std::fs::write(scene.path("config/elasticsearch.yml"), agreed)?;
    let (answer, _) = scene.scan("", &[])?;
    let found = scene.drift(&answer)?;
    ensure!(found["outcome"] == "pass", "{found}");
    ensure!(found["evidence"]["sources"] == "files, process, api", "{found}");
    // What the lock of the node shows counts as much.
    let elsewhere =
        format!("{}path.repo: {}\n", yml.replace("/data\n", "/new\n"), backup.display());
    std::fs::write(scene.path("config/elasticsearch.yml"), elsewhere)?;
    let (answer, _) = scene.scan("[node_api]\nenabled = false\n", &[])?;
    let found = scene.drift(&answer)?;
    ensure!(found["outcome"] == "fail", "{found}");
    ensure!(found["evidence"]["path.data (process)"] == scene.path("data").display().to_string());
    Ok(())
}

#[test]
fn a_node_with_security_is_asked_with_the_key() -> anyhow::Result<()> {
    // Certificates of nodes often lack the loopback addresses.
    for name in ["127.0.0.1", "es-01.example"] {
        let scene = secured(name)?;
        let found = scene.look(&scene.with_key(KEY)?)?;
        ensure!(matches!(seen(&found)?, Seen::Told { .. }), "{:?}", found.sights);
        let asked = scene.node.stop()?;
        let is_shown = |asked: &Asked| asked.authorization.as_deref() == Some(HEADER);
        ensure!(asked.len() == 4 && asked.iter().all(is_shown), "{asked:?}");
    }
    Ok(())
}

#[test]
fn a_node_that_wants_a_certificate_is_shown_the_agents() -> anyhow::Result<()> {
    let clients = Authority::new()?;
    let part = |root: &Path| {
        let authority = Authority::new()?;
        std::fs::write(root.join("config/certs/http_ca.crt"), &authority.pem)?;
        let tls = Some(authority.certify("es-01.example")?);
        Ok(Part { tls, client_authority: Some(clients.pem.clone()), ..agreeing(root) })
    };
    let scene = Scene::new(part, TLS)?;
    let with = |(chain, key): (String, String), name: &str| {
        anyhow::Ok(Settings {
            certificate_file: Some(scene.put(&format!("{name}.pem"), &chain, 0o644)?),
            key_file: Some(scene.put(&format!("{name}.key"), &key, 0o600)?),
            ..Settings::default()
        })
    };
    let found = scene.look(&Settings::default())?;
    ensure!(!matches!(seen(&found)?, Seen::Told { .. }), "without one: {:?}", found.sights);
    let stranger = with(Authority::new()?.certify("agent")?, "stranger")?;
    let found = scene.look(&stranger)?;
    ensure!(!matches!(seen(&found)?, Seen::Told { .. }), "of another: {:?}", found.sights);
    let found = scene.look(&with(clients.certify("agent")?, "agent")?)?;
    ensure!(matches!(seen(&found)?, Seen::Told { .. }), "{:?}", found.sights);
    // The certificate of one and the key of another.
    let (chain, _) = clients.certify("agent")?;
    let (_, key) = clients.certify("other")?;
    let gaps = Access::load(&with((chain, key), "mixed")?).gaps;
    let [gap] = gaps.as_slice() else { anyhow::bail!("{gaps:?}") };
    ensure!(gap.subject.ends_with("mixed.key") && !gap.detail.contains("PRIVATE"), "{gap:?}");
    Ok(())
}

#[test]
fn a_node_tells_which_nodes_its_cluster_has_unless_another_agent_asks() -> anyhow::Result<()> {
    const UUID: &str = "a1B2c3D4e5F6g7H8i9J0kQ";
    let other =
        json!({"name": "es-2", "transport_address": "10.0.0.2:9300", "roles": ["data_hot"]});
    let scene = Scene::with_others([("other-id".to_owned(), other)].into_iter().collect())?;
    let settings = Settings::default();
    let duties = Duties::default();
    let now = jiff::Timestamp::UNIX_EPOCH;
    let look = |duties: &Duties| {
        let mut observer =
            Local::new(Box::new(LiveHost::new("/")), Declared::default, None, || {
                jiff::Timestamp::UNIX_EPOCH
            });
        let (seen, said, _) = resident::see(&mut observer, &settings, Some((duties, now)))?;
        anyhow::Ok((said, seen.snapshot.gaps))
    };
    let (said, gaps) = look(&duties)?;
    let of_lists = |gap: &&Gap| gap.subject.starts_with("nodes of the cluster");
    ensure!(!gaps.iter().any(|gap| of_lists(&gap)) && !said.is_partial, "{gaps:?}");
    let own: Vec<&str> = said.nodes.iter().map(|node| node.node_id.as_str()).collect();
    ensure!(own == ["Xk3n2d0yQ9Sg1fT5vB7pLw"], "{own:?}");
    let list = said.lists.get(UUID).context("a list")?;
    ensure!(list.is_whole && list.nodes.len() == 2, "{list:?}");
    ensure!(list.nodes["other-id"].address == "10.0.0.2:9300", "{list:?}");
    let shared = duties.shared();
    let [key] = shared.iter().collect::<Vec<_>>()[..] else { anyhow::bail!("{shared:?}") };
    duties.assign([(*key, "es-2".to_owned())].into(), now);
    ensure!(look(&duties)?.0.lists.is_empty());
    let asked = scene.node.stop()?;
    let lists = asked.iter().filter(|asked| asked.target.starts_with("/_nodes/transport"));
    ensure!(lists.count() == 1, "{asked:?}");
    Ok(())
}

#[test]
fn without_credentials_a_node_that_wants_them_is_not_asked() -> anyhow::Result<()> {
    let scene = secured("127.0.0.1")?;
    let found = scene.look(&Settings::default())?;
    ensure!(not_asked(&found)?.contains("wants credentials"), "{:?}", found.sights);
    Ok(())
}

#[test]
fn credentials_that_do_not_do_are_a_gap_that_names_the_privilege() -> anyhow::Result<()> {
    let scene = secured("127.0.0.1")?;
    let gap = scene.gap(&scene.with_key("other:key")?)?;
    ensure!(gap.reason == Reason::NoPermission && gap.remedy.contains("`monitor`"), "{gap:?}");
    drop(scene);
    for (flavour, privilege) in
        [(Flavour::Elasticsearch, "`monitor`"), (Flavour::OpenSearch, "cluster:monitor/nodes/info")]
    {
        let part = |root: &Path| Ok(Part { flavour, manner: Manner::Forbids, ..agreeing(root) });
        let scene = Scene::new(part, "")?;
        let gap = scene.gap(&scene.with_key(KEY)?)?;
        ensure!(gap.reason == Reason::NoPermission && gap.remedy.contains(privilege), "{gap:?}");
        ensure!(gap.detail.contains("403"), "{gap:?}");
        // Anonymous requests that may not ask are no gap.
        ensure!(not_asked(&scene.look(&Settings::default())?)?.contains("without credentials"));
    }
    let part = |root: &Path| {
        let (flavour, authorization) = (Flavour::OpenSearch, Some("Basic YTpi".to_owned()));
        Ok(Part { flavour, authorization, ..agreeing(root) })
    };
    let scene = Scene::new(part, "")?;
    let mut settings = Settings {
        username: Some("a".to_owned()),
        password_file: Some(scene.put("password", "wrong\n", 0o600)?),
        ..Settings::default()
    };
    ensure!(scene.gap(&settings)?.remedy.contains("cluster:monitor/main"));
    settings.password_file = Some(scene.put("password", "b\n", 0o600)?);
    ensure!(matches!(seen(&scene.look(&settings)?)?, Seen::Told { .. }));
    Ok(())
}

#[test]
fn a_chain_that_cannot_be_verified_gets_nothing() -> anyhow::Result<()> {
    let part = |root: &Path| {
        std::fs::write(root.join("config/certs/http_ca.crt"), Authority::new()?.pem)?;
        let tls = Some(Authority::new()?.certify("127.0.0.1")?);
        Ok(Part { tls, authorization: Some(HEADER.to_owned()), ..agreeing(root) })
    };
    let scene = Scene::new(part, TLS)?;
    let gap = scene.gap(&scene.with_key(KEY)?)?;
    ensure!(gap.remedy.contains("ca_file") && gap.detail.contains("certificate"), "{gap:?}");
    ensure!(not_asked(&scene.look(&Settings::default())?)?.contains("certificate"));
    let asked = scene.node.stop()?;
    ensure!(asked.is_empty(), "{asked:?}");
    Ok(())
}

#[test]
fn an_authority_of_the_agents_own_will_do() -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let tls = Some(authority.certify("127.0.0.1")?);
    let part =
        |root: &Path| Ok(Part { tls, authorization: Some(HEADER.to_owned()), ..agreeing(root) });
    let scene = Scene::new(part, TLS)?;
    let mut settings = scene.with_key(KEY)?;
    ensure!(scene.gap(&settings)?.detail.contains("no authority is known"));
    settings.ca_file = Some(scene.put("ca.pem", &authority.pem, 0o644)?);
    ensure!(matches!(seen(&scene.look(&settings)?)?, Seen::Told { .. }));
    Ok(())
}

#[test]
fn settings_that_speak_of_tls_are_not_answered_in_plain() -> anyhow::Result<()> {
    let scene = Scene::new(|root| Ok(agreeing(root)), TLS)?;
    scene.put("config/certs/http_ca.crt", &Authority::new()?.pem, 0o644)?;
    let timeout = Duration::from_secs(1);
    scene.gap(&Settings { timeout, ..scene.with_key(KEY)? })?;
    let asked = scene.node.stop()?;
    ensure!(asked.is_empty(), "{asked:?}");
    Ok(())
}

#[test]
fn a_node_that_still_speaks_tls_is_asked_over_it() -> anyhow::Result<()> {
    let part = |root: &Path| {
        let authority = Authority::new()?;
        std::fs::write(root.join("config/certs/http_ca.crt"), &authority.pem)?;
        Ok(Part { tls: Some(authority.certify("127.0.0.1")?), ..agreeing(root) })
    };
    let scene = Scene::new(part, "xpack.security.http.ssl.enabled: false\n")?;
    ensure!(matches!(seen(&scene.look(&Settings::default())?)?, Seen::Told { .. }));
    Ok(())
}

#[test]
fn a_node_that_does_not_end_costs_its_time_and_no_more() -> anyhow::Result<()> {
    let settings = Settings { timeout: Duration::from_secs(1), ..Settings::default() };
    for manner in [Manner::Waits, Manner::Drips] {
        let scene = Scene::plain(manner)?;
        let started = Instant::now();
        let gap = scene.gap(&settings)?;
        ensure!(gap.reason == Reason::Timeout, "{gap:?}");
        ensure!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }
    // What came before counts.
    let part = |root: &Path| {
        let manner_of = "/_nodes/_local/stats/fs".to_owned();
        Ok(Part { manner: Manner::Waits, manner_of, ..agreeing(root) })
    };
    let found = Scene::new(part, "")?.look(&settings)?;
    ensure!(matches!(seen(&found)?, Seen::Told { .. }), "{:?}", found.sights);
    ensure!(
        matches!(found.gaps.as_slice(), [gap] if gap.reason == Reason::Timeout),
        "{:?}",
        found.gaps
    );
    Ok(())
}

#[test]
fn an_answer_that_is_none_is_a_gap() -> anyhow::Result<()> {
    for (manner, part) in [
        (Manner::Cuts, "ended before its end"),
        (Manner::Floods, "larger than"),
        (Manner::Babbles, "not the JSON"),
        (Manner::HangsUp, "no HTTP"),
        (Manner::Fails(404), "404"),
        (Manner::Fails(503), "503"),
        (Manner::Fails(204), "204"),
    ] {
        let scene = Scene::plain(manner.clone())?;
        let gap = scene.gap(&Settings::default())?;
        ensure!(gap.reason == Reason::Unreadable, "{manner:?}: {gap:?}");
        ensure!(gap.detail.contains(part), "{manner:?}: {gap:?}");
        ensure!(!format!("{gap:?}").contains("hunter2"), "{gap:?}");
    }
    Ok(())
}

#[test]
fn part_of_an_answer_is_better_than_none() -> anyhow::Result<()> {
    let part = |root: &Path| {
        Ok(Part { manner: Manner::Forbids, manner_of: "/".to_owned(), ..agreeing(root) })
    };
    let scene = Scene::new(part, "")?;
    let found = scene.look(&scene.with_key(KEY)?)?;
    ensure!(matches!(seen(&found)?, Seen::Told { .. }), "{:?}", found.sights);
    let [gap] = found.gaps.as_slice() else { anyhow::bail!("{:?}", found.gaps) };
    ensure!(gap.subject.ends_with(": /") && gap.remedy.contains("`monitor`"), "{gap:?}");
    Ok(())
}

/// A socket that nobody may connect to.
struct Trap(TcpListener);

impl Trap {
    fn new() -> anyhow::Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    fn url(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.0.local_addr()?))
    }

    fn stays_empty(&self) -> anyhow::Result<()> {
        let came = self.0.accept();
        let nobody = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        ensure!(came.as_ref().is_err_and(nobody), "somebody came: {came:?}");
        Ok(())
    }
}

#[test]
fn no_redirect_is_followed() -> anyhow::Result<()> {
    let trap = Trap::new()?;
    let scene = Scene::plain(Manner::Redirects(trap.url()?))?;
    let gap = scene.gap(&scene.with_key(KEY)?)?;
    ensure!(gap.detail.contains("302"), "{gap:?}");
    trap.stays_empty()
}

#[test]
fn no_proxy_is_used() -> anyhow::Result<()> {
    let trap = Trap::new()?;
    let scene = Scene::plain(Manner::Answers)?;
    let url = trap.url()?;
    let names =
        ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    let (answer, _) = scene.scan("", &names.map(|name| (name, url.as_str())))?;
    ensure!(scene.drift(&answer)?["evidence"]["api"] == "asked");
    trap.stays_empty()
}

#[test]
fn another_process_on_the_port_is_not_asked() -> anyhow::Result<()> {
    // The settings name a port on which this test listens, and not the node.
    let trap = Trap::new()?;
    let scene = Scene::plain(Manner::Answers)?;
    let port = trap.0.local_addr()?.port();
    let yml = std::fs::read_to_string(scene.path("config/elasticsearch.yml"))?;
    let own = format!("http.port: {}", scene.node.address.port());
    let other = yml.replace(&own, &format!("http.port: {port}"));
    std::fs::write(scene.path("config/elasticsearch.yml"), other)?;
    let found = scene.look(&scene.with_key(KEY)?)?;
    ensure!(not_asked(&found)?.contains("does not listen"), "{:?}", found.sights);
    trap.stays_empty()
}

#[test]
fn who_takes_the_port_later_is_told_nothing() -> anyhow::Result<()> {
    let scene = Scene::plain(Manner::Answers)?;
    let mut settings = scene.with_key(KEY)?;
    let mut found = scene.discover()?;
    settings.users.extend(found.endpoints.first().and_then(|endpoint| endpoint.user.clone()));
    let Scene { node, root, _alone } = scene;
    let part = Part { listen: node.address.to_string(), ..agreeing(root.path()) };
    node.stop()?;
    let other = Node::start(Path::new(env!("CARGO_BIN_EXE_search-node")), &[], &part)?;
    node_api::consult(&LiveHost::new("/"), &mut found, &settings);
    ensure!(matches!(seen(&found)?, Seen::Failed(_)), "{:?}", found.sights);
    let asked = other.stop()?;
    ensure!(asked.is_empty(), "{asked:?}");
    Ok(())
}

#[test]
fn the_answer_of_another_process_is_not_used() -> anyhow::Result<()> {
    let part = |root: &Path| Ok(Part { pid: Some(1), ..agreeing(root) });
    let gap = Scene::new(part, "")?.gap(&Settings::default())?;
    ensure!(gap.detail.contains("of process 1"), "{gap:?}");
    Ok(())
}

#[test]
fn another_root_never_touches_the_network() -> anyhow::Result<()> {
    let scene = Scene::plain(Manner::Answers)?;
    let key = scene.put("key", KEY, 0o600)?;
    let config = format!("[node_api]\napi_key_file = \"{}\"\n", key.display());
    let config = scene.put("agent.toml", &config, 0o600)?;
    // A recording of this very node, with its process and settings, and this machine under another name.
    let recording = scene.path("recording");
    let settings = scene.path("config/elasticsearch.yml");
    let copy = |from: &Path| -> anyhow::Result<()> {
        let to = recording.join(from.strip_prefix("/")?);
        std::fs::create_dir_all(to.parent().context("a parent")?)?;
        // The size of files of proc is not told before they are read.
        std::fs::write(to, std::fs::read(from)?)?;
        Ok(())
    };
    copy(&settings)?;
    for file in ["cmdline", "environ", "status", "net/tcp"] {
        copy(Path::new(&format!("/proc/{}/{file}", scene.node.pid())))?;
    }
    for root in [recording.as_path(), Path::new("/proc/self/root")] {
        let output = Command::new(agent()?)
            .args(["scan", "--format", "json", "--root"])
            .arg(root)
            .arg("--config")
            .arg(&config)
            .stderr(Stdio::inherit())
            .output()?;
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        let found = scene.drift(&answer)?;
        ensure!(found["evidence"]["api"].is_null(), "{found}");
    }
    let asked = scene.node.stop()?;
    ensure!(asked.is_empty(), "{asked:?}");
    Ok(())
}

#[test]
fn nothing_that_is_said_has_the_key_in_it() -> anyhow::Result<()> {
    let mut scene = secured("127.0.0.1")?;
    let key = scene.put("key", KEY, 0o644)?;
    let found = scene.discover()?;
    let user = found.endpoints.first().and_then(|endpoint| endpoint.user.clone());
    let state = scene.path("state");
    let config = format!(
        "state_dir = \"{}\"\n[node_api]\napi_key_file = \"{}\"\nusers = [\"{}\"]\n",
        state.display(),
        key.display(),
        user.context("an account")?,
    );
    let (answer, output) = scene.scan(&config, &[])?;
    ensure!(scene.drift(&answer)?["evidence"]["api"] == "asked", "{answer:#}");
    let said = String::from_utf8(output.stderr)?;
    ensure!(said.contains("chmod") && said.contains(&key.display().to_string()), "{said}");
    let marks = ["hunter2", "c3RhbmQ", "aHVudGVyMg"];
    let is_silent = |said: &str| marks.iter().all(|mark| !said.contains(mark));
    ensure!(is_silent(&said) && is_silent(&String::from_utf8(output.stdout)?));
    for _ in 0..3 {
        scene.node.asked()?;
    }
    // Not even where the daemon logs all that it does.
    let log = scene.path("log");
    let mut daemon = Command::new(agent()?)
        .arg("run")
        .arg("--config")
        .arg(scene.path("agent.toml"))
        .env("RUST_LOG", "trace")
        .stderr(std::fs::File::create(&log)?)
        .spawn()?;
    let asked = scene.node.asked();
    let asked = asked.and_then(|_| scene.node.asked());
    daemon.kill()?;
    daemon.wait()?;
    ensure!(asked?.authorization.as_deref() == Some(HEADER));
    let said = std::fs::read_to_string(&log)?;
    ensure!(said.contains("chmod") || !said.is_empty(), "{said}");
    ensure!(is_silent(&said), "{said}");
    Ok(())
}
