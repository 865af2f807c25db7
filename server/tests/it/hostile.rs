//! A host whose agent was taken over does its worst, against the real program: the others' rows stay as they are, they
//! go on being served, and the server's memory stays bounded.

use std::convert::Infallible;
use std::process::Command;
use std::time::Duration;

use atrest_proto::model::Verdict;
use atrest_proto::v1;
use atrest_proto::v1::attach_request::Message as Say;
use atrest_proto::v1::attach_response::Message as Hear;
use futures_util::StreamExt as _;
use prost::Message as _;
use prost::bytes::Bytes;
use tonic::Code;
use tonic::codegen::Service as _;
use tonic::codegen::http::{self, uri::PathAndQuery};

use crate::crash::{Process, configure};
use crate::harness::{Agent, Operator, Raw, Stream, report, until, within};

/// What the server may hold more than before an attack, in KiB: what allocators keep, and a few of the largest messages.
const ROOM: u64 = 96 << 10;

/// A server with a host that does its work and one that attacks.
struct Scene {
    server: Process,
    operator: Operator,
    ca: String,
    admin: String,
    good: Agent,
    stream: Stream,
    sequence: u64,
    bad: Agent,
    memory: u64,
    before: Vec<v1::Node>,
    dir: tempfile::TempDir,
}

impl Scene {
    async fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (state, config) = configure(&dir);
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}{more}")).unwrap();
        let server = Process::start(&config);
        let ca = std::fs::read_to_string(state.join("ca.pem")).unwrap();
        let admin = std::fs::read_to_string(state.join("admin.token")).unwrap().trim().to_owned();
        let mut operator = Operator::connect(server.operators_port, &ca, &admin).await;
        let (mut good, mut bad) = (Agent::new("good"), Agent::new("bad"));
        for (agent, cluster) in [(&mut good, "prod"), (&mut bad, "other")] {
            let token = operator.token(cluster, 1).await;
            agent.enroll(server.agents_port, &ca, &token.secret).await.unwrap();
        }
        let mut stream = good.attach(server.agents_port, &ca).await.unwrap();
        let posture = good.posture(&[("/srv", Verdict::Unencrypted), ("/log", Verdict::Encrypted)]);
        stream.report(report(1, posture)).await.unwrap();
        let memory = server.memory();
        let mut scene = Self {
            server,
            operator,
            ca,
            admin,
            good,
            stream,
            sequence: 1,
            bad,
            memory,
            before: Vec::new(),
            dir,
        };
        scene.before = scene.rows().await;
        scene
    }

    async fn attach(&self) -> Stream {
        self.bad.attach(self.server.agents_port, &self.ca).await.unwrap()
    }

    /// The rows of all hosts but the one that attacks, without what moves by itself.
    async fn rows(&mut self) -> Vec<v1::Node> {
        let nodes = self.operator.nodes().await.into_iter();
        let others = nodes.filter(|node| node.host_id != self.bad.host_id);
        let still = |node| v1::Node { last_seen_at: None, observed_at: None, sequence: 0, ..node };
        others.map(still).collect()
    }

    /// What its report must not change: the rows of others, their findings, the service that they get.
    async fn holds(&mut self) {
        assert_eq!(self.rows().await, self.before);
        let findings = self.operator.findings().await;
        let of_good: Vec<_> = findings
            .iter()
            .filter(|row| row.host_id == self.good.host_id)
            .map(|row| row.finding.as_ref().unwrap().asset.as_str())
            .collect();
        assert_eq!(of_good, ["data:/srv"]);
        self.sequence += 1;
        let posture =
            self.good.posture(&[("/srv", Verdict::Unencrypted), ("/log", Verdict::Encrypted)]);
        assert_eq!(
            self.stream.report(report(self.sequence, posture)).await.unwrap(),
            self.sequence,
            "the others are served"
        );
        let memory = self.server.memory();
        assert!(memory < self.memory + ROOM, "{} KiB before, {memory} KiB after", self.memory);
    }

    async fn metric(&self, name: &str) -> u64 {
        // Another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let authority = reqwest::Certificate::from_pem(self.ca.as_bytes()).unwrap();
        let client =
            reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap();
        let url = format!("https://localhost:{}/metrics", self.server.operators_port);
        let response = within(client.get(url).bearer_auth(&self.admin).send()).await.unwrap();
        let text = within(response.text()).await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// A stream of bytes as they are, below gRPC's framing; what follows never comes.
    async fn raw(&self, bytes: Vec<u8>) -> http::Response<tonic::body::Body> {
        let mut channel = self.bad.connect(self.server.agents_port, &self.ca).await.unwrap();
        let first = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from(bytes))]);
        let body = axum::body::Body::from_stream(first.chain(futures_util::stream::pending()));
        let request = http::Request::post("https://localhost/atrest.v1.AgentService/Attach")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(tonic::body::Body::new(body))
            .unwrap();
        std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        within(channel.call(request)).await.unwrap()
    }
}

fn heartbeat() -> Say {
    Say::Heartbeat(v1::Heartbeat { digest: vec![7; 32], observed_at: None })
}

/// As gRPC frames a message.
fn frame(flag: u8, length: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend(length.to_be_bytes());
    frame.extend(body);
    frame
}

fn hello(agent: &Agent) -> Vec<u8> {
    let host = Some(agent.host.clone().into());
    let hello = Say::Hello(v1::Hello { host, digest: Vec::new() });
    let body = v1::AttachRequest { message: Some(hello) }.encode_to_vec();
    frame(0, u32::try_from(body.len()).unwrap(), &body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_slowed_down_and_sent_away() {
    let mut scene = Scene::new("[limits]\nmessages_per_second = 20\npatience = \"1s\"\n").await;
    let mut stream = scene.attach().await;
    let flood = async {
        loop {
            stream.say(heartbeat()).await;
            match stream.hear().await {
                Ok(_) => {}
                Err(status) => break status,
            }
        }
    };
    let status = within(flood).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("more than the server's limits allow"), "{status}");
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "60000");
    assert!(scene.metric("atrest_agents_slowed_total").await > 0);
    assert_eq!(scene.metric("atrest_agents_cut_off_total").await, 1);
    scene.holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giant_messages_are_refused_by_their_size() {
    let mut scene = Scene::new("").await;
    for _ in 0..8 {
        let mut stream = scene.attach().await;
        let key = vec![0; 9 << 20];
        stream.say(Say::Shares(v1::Shares { keys: vec![key] })).await;
        let status = stream.end().await;
        assert_eq!(status.code(), Code::OutOfRange, "{status}");
    }
    // One that only says that it is large: four GiB, of which a little comes.
    let mut bytes = hello(&scene.bad);
    bytes.extend(frame(0, u32::MAX, &[0; 64]));
    let _claimed = scene.raw(bytes).await;
    // One that would be large when it is unpacked: nothing was agreed on to unpack it with.
    let mut bytes = hello(&scene.bad);
    bytes.extend(frame(1, 64, &[0; 64]));
    let _packed = scene.raw(bytes).await;
    // Many findings in a message that is small enough.
    let mut stream = scene.attach().await;
    let mut posture = v1::Posture::from(scene.bad.posture(&[("/srv", Verdict::Encrypted)]));
    posture.findings = vec![posture.findings[0].clone(); 10_001];
    let digest = atrest_proto::digest::posture(&posture).to_vec();
    let crowded = v1::Report { sequence: 1, digest, posture: Some(posture) };
    stream.say(Say::Report(crowded)).await;
    assert_eq!(stream.end().await.code(), Code::InvalidArgument);
    scene.holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_numbers_harm_nobody_but_who_sends_them() {
    let mut scene = Scene::new("").await;
    let said = |scene: &Scene, sequence: u64| {
        report(sequence, scene.bad.posture(&[("/srv", Verdict::Encrypted)]))
    };
    let mut stream = scene.attach().await;
    for sequence in [5, 4, 1, 5, 1 << 40, 7] {
        assert_eq!(stream.report(said(&scene, sequence)).await.unwrap(), sequence);
    }
    for sequence in [0, u64::MAX, 1 << 63] {
        let mut stream = scene.attach().await;
        stream.say(Say::Report(said(&scene, sequence))).await;
        assert_eq!(stream.end().await.code(), Code::InvalidArgument);
    }
    let stream = scene.attach().await;
    assert_eq!(stream.welcome.last_sequence, 1 << 40, "what was highest counts");
    scene.holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_another_hosts_name_it_is_itself_all_the_same() {
    let mut scene = Scene::new("").await;
    let honest = scene.bad.host.clone();
    scene.bad.host = scene.good.host.clone();
    let claimed = scene.bad.attach(scene.server.agents_port, &scene.ca).await;
    assert_eq!(claimed.err().unwrap().code(), Code::Aborted, "the fingerprint of another machine");
    // Under its own fingerprint, with the other's name, and what the other would never say.
    let hostname = scene.good.host.hostname.clone();
    scene.bad.host = atrest_proto::model::Host { hostname, ..honest };
    let mut stream = scene.attach().await;
    let posture = scene.bad.posture(&[("/srv", Verdict::Encrypted)]);
    stream.report(report(9, posture)).await.unwrap();
    scene.holds().await;
    let request = v1::GetNodeRequest { node: scene.good.host.hostname.clone() };
    let status = scene.operator.fleet.get_node(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "nobody takes one for the other");
    assert!(status.message().contains(&scene.good.host_id), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_speaks_for_no_other_cluster() {
    let mut scene = Scene::new("").await;
    let node = |id: &str| v1::OwnNode {
        cluster_uuid: "U".to_owned(),
        cluster_name: "logs".to_owned(),
        node_id: id.to_owned(),
        node_name: id.to_owned(),
    };
    let list = |ids: &[&str]| v1::ClusterNodes {
        cluster_uuid: "U".to_owned(),
        nodes: ids
            .iter()
            .map(|id| v1::ClusterNode { node_id: (*id).to_owned(), ..Default::default() })
            .collect(),
        total: u32::try_from(ids.len()).unwrap(),
        complete: true,
    };
    let member = |own: &str, ids: &[&str]| {
        Say::Membership(v1::Membership {
            nodes: vec![node(own)],
            clusters: vec![list(ids)],
            partial: false,
        })
    };
    scene.stream.say(member("A", &["A", "B"])).await;
    let stream = scene.attach().await;
    // It says that the missing node is its own, and that the cluster has no such node.
    stream.say(member("B", &["B"])).await;
    let prod = async |operator: &mut Operator| {
        let found = operator.status().await.search_clusters.into_iter();
        let counts = found.map(|one| (one.cluster, one.nodes, one.without_agent));
        let mut counts: Vec<_> = counts.collect();
        counts.sort_unstable();
        counts
    };
    let expected = [("other".to_owned(), 1, 0), ("prod".to_owned(), 2, 1)];
    until(async || (prod(&mut scene.operator).await == expected).then_some(())).await;
    // It vouches for an address that is none of its own: nobody has anything mounted from it, and nobody hears of it.
    let export = v1::Export { path: b"/srv".to_vec(), verdict: v1::Verdict::Encrypted.into() };
    let exports = v1::Exports { exports: vec![export], addresses: vec![vec![10, 0, 0, 1]] };
    stream.say(Say::Exports(exports)).await;
    scene.holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_and_who_never_finishes_hold_up_only_themselves() {
    let mut scene = Scene::new("").await;
    // Never reads: says what it can get rid of, and is then not read from either.
    let deaf = scene.attach().await;
    let mut said = 0_u32;
    while said < 20_000 {
        let say = deaf.say(heartbeat());
        if tokio::time::timeout(Duration::from_secs(2), say).await.is_err() {
            break;
        }
        said += 1;
    }
    scene.holds().await;
    // Never finishes: half of a message, after a hello that was right, and half of a hello.
    let mut halves = Vec::new();
    let mut bytes = hello(&scene.bad);
    bytes.extend(frame(0, 1_000, &[0; 100]));
    halves.push(scene.raw(bytes).await);
    for _ in 0..20 {
        halves.push(scene.raw(hello(&scene.bad)[..7].to_vec()).await);
    }
    scene.holds().await;
    // It may still come to its senses.
    let mut stream = scene.attach().await;
    let posture = scene.bad.posture(&[("/srv", Verdict::Encrypted)]);
    stream.report(report(1, posture)).await.unwrap();
    drop((deaf, halves));
    scene.holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_streams_of_one_certificate_are_one_host() {
    let mut scene = Scene::new("").await;
    let mut open = Vec::new();
    let mut refused = 0;
    // On as many connections as it gets, with as many streams as each allows.
    for _ in 0..40 {
        let Ok(channel) = scene.bad.connect(scene.server.agents_port, &scene.ca).await else {
            refused += 1;
            continue;
        };
        open.push(channel);
    }
    let mut turned_away = 0;
    for number in 0..2_000_usize {
        let channel = open[number % open.len()].clone();
        let (say, said) = tokio::sync::mpsc::channel(4);
        let host = Some(scene.bad.host.clone().into());
        let hello = Say::Hello(v1::Hello { host, digest: Vec::new() });
        say.send(v1::AttachRequest { message: Some(hello) }).await.unwrap();
        let mut client = v1::agent_service_client::AgentServiceClient::new(channel);
        let said = tokio_stream::wrappers::ReceiverStream::new(said);
        let Ok(answer) = within(client.attach(said)).await else { continue };
        if let Err(status) = within(answer.into_inner().message()).await {
            turned_away += u32::from(status.code() == Code::ResourceExhausted);
        }
    }
    assert!(turned_away > 1_000, "{turned_away}");
    assert!(scene.metric("atrest_connections_refused_total").await > 0 || refused > 0);
    assert!(scene.metric("atrest_agents_cut_off_total").await >= u64::from(turned_away));
    scene.holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_message_ends_its_own_stream() {
    let mut scene = Scene::new("").await;
    let path = PathAndQuery::from_static("/atrest.v1.AgentService/Attach");
    // A generator of its own: what is sent is the same each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..100 {
        let garbage: Vec<u8> = (0..=round * 3)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect();
        let channel = scene.bad.connect(scene.server.agents_port, &scene.ca).await.unwrap();
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let messages = futures_util::stream::iter([
            Bytes::from(hello(&scene.bad)[5..].to_vec()),
            Bytes::from(garbage),
        ]);
        let request = tonic::Request::new(messages.chain(futures_util::stream::pending()));
        let answers = within(client.streaming(request, path.clone(), Raw)).await;
        // Either it was refused, or it made a message that this version has no word for.
        let mut answers = answers.unwrap().into_inner();
        drop(within(answers.message()).await);
    }
    scene.holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_commands_to_terminals_break_no_table_and_no_log() {
    const FORGED: &str = "x\x1b[2J\nencrypted  good  prod\r\u{9b}31m";
    let mut scene = Scene::new("").await;
    let honest = scene.bad.host.clone();
    scene.bad.host.hostname = FORGED.to_owned();
    let status = scene.bad.attach(scene.server.agents_port, &scene.ca).await.err().unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    scene.bad.host = honest;
    let mut stream = scene.attach().await;
    let mut posture = scene.bad.posture(&[("/srv", Verdict::Unencrypted)]);
    posture.findings[0].summary = FORGED.to_owned();
    posture.findings[0].asset = format!("data:{FORGED}");
    posture.findings[0].remedy = FORGED.to_owned();
    posture.paths[0].path = FORGED.to_owned();
    posture.paths[0].asset = format!("data:{FORGED}");
    stream.report(report(1, posture)).await.unwrap();
    stream.say(Say::Shares(v1::Shares { keys: vec![vec![1; 32]] })).await;
    assert!(matches!(stream.hear().await, Ok(Some(Hear::Duties(_)))));

    let ca = scene.dir.path().join("state/ca.pem");
    let token = scene.dir.path().join("state/admin.token");
    for args in [
        &["status"][..],
        &["nodes"],
        &["node", "bad"],
        &["findings"],
        &["alerts"],
        &["history"],
        &["history", "--format", "csv"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_atrestctl"))
            .env("ATREST_SERVER", format!("https://localhost:{}", scene.server.operators_port))
            .env("ATREST_CA", &ca)
            .env("ATREST_TOKEN_FILE", &token)
            .args(args)
            .output()
            .unwrap();
        // The lines of CSV end so.
        let text = String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n");
        assert!(output.status.success(), "{args:?}");
        let is_bare = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(is_bare), "{args:?}: {text:?}");
        let is_csv = args.contains(&"--csv");
        let forged = text.lines().any(|line| line.starts_with("encrypted  good"));
        assert!(is_csv || !forged, "{args:?}: {text}");
    }
    scene.holds().await;
}
