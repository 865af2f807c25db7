//! A server in process, an operator, agents that speak the real protocol, and a receiver of webhooks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atrest_proto::model::{
    Finding, Host, Outcome, PathPosture, PlainLeg, Posture, Reason, Severity, Use, Verdict,
};
use atrest_proto::token::EnrollmentToken;
use atrest_proto::v1;
use atrest_proto::v1::agent_service_client::AgentServiceClient;
use atrest_proto::v1::alert_service_client::AlertServiceClient;
use atrest_proto::v1::attach_request::Message as Say;
use atrest_proto::v1::attach_response::Message as Hear;
use atrest_proto::v1::audit_service_client::AuditServiceClient;
use atrest_proto::v1::enrollment_service_client::EnrollmentServiceClient;
use atrest_proto::v1::fleet_service_client::FleetServiceClient;
use atrest_proto::v1::node_service_client::NodeServiceClient;
use atrest_proto::v1::operator_service_client::OperatorServiceClient;
use atrest_proto::v1::token_service_client::TokenServiceClient;
use atrest_server::clock::Clock;
use atrest_server::config::{Config, Http, Kind, Notifier, Webhook};
use atrest_server::serve::{Running, start_with};
use atrest_server::store::Store;
use atrest_server::store::sqlite::Sqlite;
use jiff::Timestamp;
use prost::bytes::Bytes;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status, Streaming};

/// Longer than anything here takes, even on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Waits for something that will happen.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("did not happen in time")
}

/// Asks until the answer is right.
pub(crate) async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// A configuration on free ports with its own state directory.
pub(crate) fn config(state_dir: &Path) -> Config {
    let text = format!(
        r#"
state_dir = "{}"
[agents]
listen = "127.0.0.1:0"
public_address = "localhost"
[operators]
listen = "127.0.0.1:0"
[log]
filter = "debug"
"#,
        state_dir.display()
    );
    Config::parse(&text).expect("a valid configuration")
}

/// A receiver of webhooks, as the configuration has it.
pub(crate) fn webhook(name: &str, url: &str, secret_file: &Path) -> Notifier {
    let webhook = Webhook {
        url: url.parse().unwrap(),
        secret_file: secret_file.to_owned(),
        group: false,
        http: Http::default(),
    };
    let kind = Kind::Webhook(webhook);
    Notifier { name: name.to_owned(), timeout: DEADLINE, max_attempts: 3, kind }
}

pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) store: Arc<Sqlite>,
    pub(crate) clock: Clock,
    pub(crate) ca: String,
    pub(crate) admin: String,
}

impl Server {
    /// A server with a clock that only the test moves.
    pub(crate) async fn start(config: Config) -> Self {
        // In the past, so that there is room to move it: clients check certificates by the machine's clock.
        let start = Timestamp::now() - jiff::SignedDuration::from_hours(48);
        Self::start_at(config, Clock::manual(start)).await
    }

    pub(crate) async fn start_at(config: Config, clock: Clock) -> Self {
        let mut opened = None;
        let running = start_with(config, clock.clone(), |path| {
            let store = Arc::new(Sqlite::open(path)?);
            opened = Some(Arc::clone(&store));
            Ok(store as Arc<dyn Store>)
        })
        .await
        .expect("the server starts");
        let ca = std::fs::read_to_string(running.authority_file()).unwrap();
        let admin = std::fs::read_to_string(running.admin_token_file()).unwrap().trim().to_owned();
        Self { running, store: opened.unwrap(), clock, ca, admin }
    }

    pub(crate) async fn stop(self) {
        let Self { running, store, .. } = self;
        drop(store);
        within(running.shutdown()).await;
    }

    pub(crate) async fn operator(&self) -> Operator {
        self.operator_with(&self.admin).await
    }

    pub(crate) async fn operator_with(&self, token: &str) -> Operator {
        Operator::connect(self.running.operators_addr.port(), &self.ca, token).await
    }

    pub(crate) async fn token(&self, cluster: &str, uses: u32) -> EnrollmentToken {
        self.operator().await.token(cluster, uses).await
    }

    /// An enrolled agent.
    pub(crate) async fn agent(&self, hostname: &str) -> Agent {
        let token = self.token("prod", 1).await;
        let mut agent = Agent::new(hostname);
        agent.enroll(self.agents_port(), &self.ca, &token.secret).await.expect("enrolled");
        agent
    }

    pub(crate) fn agents_port(&self) -> u16 {
        self.running.agents_addr.port()
    }

    /// A stream of an enrolled agent, greeted.
    pub(crate) async fn attach(&self, agent: &Agent) -> Stream {
        agent.attach(self.agents_port(), &self.ca).await.expect("attached")
    }

    pub(crate) async fn refused(&self, agent: &Agent) -> Status {
        match agent.attach(self.agents_port(), &self.ca).await {
            Ok(_) => panic!("the server let in who it should refuse"),
            Err(status) => status,
        }
    }
}

type Authorised = InterceptedService<Channel, Bearer>;

#[derive(Clone)]
pub(crate) struct Bearer(String);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if !self.0.is_empty() {
            let value = format!("Bearer {}", self.0).parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

pub(crate) struct Operator {
    pub(crate) channel: Channel,
    pub(crate) alert: AlertServiceClient<Authorised>,
    pub(crate) audit: AuditServiceClient<Authorised>,
    pub(crate) fleet: FleetServiceClient<Authorised>,
    pub(crate) nodes: NodeServiceClient<Authorised>,
    pub(crate) operators: OperatorServiceClient<Authorised>,
    pub(crate) tokens: TokenServiceClient<Authorised>,
}

impl Operator {
    pub(crate) async fn connect(port: u16, ca: &str, token: &str) -> Self {
        let channel = channel(port, ca, None).await.expect("connected");
        let bearer = Bearer(token.to_owned());
        Self {
            channel: channel.clone(),
            alert: AlertServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            audit: AuditServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            fleet: FleetServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            nodes: NodeServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            operators: OperatorServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            tokens: TokenServiceClient::with_interceptor(channel, bearer),
        }
    }

    pub(crate) async fn token(&mut self, cluster: &str, uses: u32) -> EnrollmentToken {
        let request =
            v1::CreateTokenRequest { cluster: cluster.to_owned(), uses, ..Default::default() };
        self.create_token(request).await.1
    }

    pub(crate) async fn create_token(
        &mut self,
        request: v1::CreateTokenRequest,
    ) -> (v1::Token, EnrollmentToken) {
        let created = self.tokens.create_token(request).await.expect("a token").into_inner();
        (created.token.unwrap(), EnrollmentToken::decode(&created.pasteable).unwrap())
    }

    pub(crate) async fn status(&mut self) -> v1::GetFleetStatusResponse {
        let request = v1::GetFleetStatusRequest::default();
        let status = self.fleet.get_fleet_status(request).await.expect("a status").into_inner();
        let sum = status.encrypted
            + status.partial
            + status.unencrypted
            + status.claimed
            + status.unknown
            + status.stale;
        assert_eq!(sum, status.enrolled, "{status:?}");
        status
    }

    pub(crate) async fn nodes(&mut self) -> Vec<v1::Node> {
        let request = v1::ListNodesRequest::default();
        self.fleet.list_nodes(request).await.expect("nodes").into_inner().nodes
    }

    pub(crate) async fn findings(&mut self) -> Vec<v1::FleetFinding> {
        let request = v1::ListFindingsRequest::default();
        self.fleet.list_findings(request).await.expect("findings").into_inner().findings
    }

    /// The newest first.
    pub(crate) async fn audit(&mut self) -> Vec<v1::AuditEntry> {
        let request = v1::ListAuditRequest::default();
        self.audit.list_audit(request).await.expect("the audit log").into_inner().entries
    }

    pub(crate) async fn alerts(&mut self, state: v1::AlertState) -> Vec<v1::Alert> {
        let request = v1::ListAlertsRequest { state: state.into(), ..Default::default() };
        self.fleet.list_alerts(request).await.expect("alerts").into_inner().alerts
    }
}

pub(crate) async fn channel(
    port: u16,
    ca: &str,
    identity: Option<Identity>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("localhost");
    if let Some(identity) = identity {
        tls = tls.identity(identity);
    }
    Endpoint::from_shared(format!("https://127.0.0.1:{port}"))
        .unwrap()
        .tls_config(tls)?
        .connect()
        .await
}

/// A host that can enrol and report.
pub(crate) struct Agent {
    pub(crate) host: Host,
    pub(crate) key: KeyPair,
    pub(crate) host_id: String,
    /// PEM.
    pub(crate) certificate: Option<String>,
}

impl Agent {
    pub(crate) fn new(hostname: &str) -> Self {
        Self {
            host: Host {
                hostname: hostname.to_owned(),
                machine_fingerprint: format!("machine of {hostname}"),
                os: "Debian GNU/Linux 13 (trixie)".to_owned(),
                kernel: "6.12.0".to_owned(),
                architecture: "x86_64".to_owned(),
                boot_id: "boot".to_owned(),
                agent_version: "0.1.0".to_owned(),
            },
            key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            host_id: String::new(),
            certificate: None,
        }
    }

    pub(crate) fn csr(&self) -> Vec<u8> {
        CertificateParams::default().serialize_request(&self.key).unwrap().der().to_vec()
    }

    pub(crate) async fn enroll(&mut self, port: u16, ca: &str, secret: &str) -> Result<(), Status> {
        let channel = channel(port, ca, None).await.expect("connected");
        let request = v1::EnrollRequest {
            secret: secret.to_owned(),
            csr: self.csr(),
            host: Some(self.host.clone().into()),
        };
        let enrolled = EnrollmentServiceClient::new(channel).enroll(request).await?.into_inner();
        self.host_id = enrolled.host_id;
        self.take(&enrolled.certificate_chain);
        Ok(())
    }

    pub(crate) fn take(&mut self, chain: &[Vec<u8>]) {
        self.certificate = Some(pem(&chain[0]));
    }

    /// Opens a stream and says hello.
    pub(crate) async fn attach(&self, port: u16, ca: &str) -> Result<Stream, Status> {
        self.attach_with(port, ca, Vec::new()).await
    }

    pub(crate) async fn attach_with(
        &self,
        port: u16,
        ca: &str,
        digest: Vec<u8>,
    ) -> Result<Stream, Status> {
        let mut stream = self.open(port, ca).await?;
        let host = Some(self.host.clone().into());
        stream.say(Say::Hello(v1::Hello { host, digest })).await;
        match stream.hear().await? {
            Some(Hear::Welcome(welcome)) => stream.welcome = welcome,
            other => panic!("not a welcome: {other:?}"),
        }
        Ok(stream)
    }

    pub(crate) async fn connect(&self, port: u16, ca: &str) -> Result<Channel, Status> {
        let identity = self
            .certificate
            .as_ref()
            .map(|certificate| Identity::from_pem(certificate, self.key.serialize_pem()));
        channel(port, ca, identity).await.map_err(|error| Status::unavailable(format!("{error:?}")))
    }

    /// Opens a stream and says nothing.
    pub(crate) async fn open(&self, port: u16, ca: &str) -> Result<Stream, Status> {
        let channel = self.connect(port, ca).await?;
        let (say, said) = mpsc::channel(64);
        let hear =
            AgentServiceClient::new(channel).attach(ReceiverStream::new(said)).await?.into_inner();
        Ok(Stream { say, hear, welcome: v1::Welcome::default() })
    }

    /// A posture with one data path per finding.
    pub(crate) fn posture(&self, paths: &[(&str, Verdict)]) -> Posture {
        Posture {
            host: self.host.clone(),
            observed_at: Timestamp::now(),
            services: Vec::new(),
            paths: paths.iter().map(|(path, verdict)| path_posture(path, *verdict)).collect(),
            keystores: Vec::new(),
            repositories: Vec::new(),
            findings: paths.iter().map(|(path, verdict)| finding(path, *verdict)).collect(),
            gaps: Vec::new(),
            catalogue_version: 1,
        }
    }
}

fn path_posture(path: &str, verdict: Verdict) -> PathPosture {
    let plain = match verdict {
        Verdict::Unencrypted | Verdict::Partial => vec![PlainLeg {
            device: "/dev/sdb".to_owned(),
            via: Vec::new(),
            reason: Reason::PlainDevice,
        }],
        Verdict::Unknown | Verdict::Claimed | Verdict::Volatile | Verdict::Encrypted => Vec::new(),
    };
    PathPosture {
        asset: format!("data:{path}"),
        path: path.to_owned(),
        resolved: Some(path.to_owned()),
        usage: Use::Data,
        service: None,
        verdict,
        reasons: Vec::new(),
        plain,
        encrypted_by: Vec::new(),
        claimed_by: Vec::new(),
        undecided: Vec::new(),
        stack: Vec::new(),
        nearest: None,
    }
}

fn finding(path: &str, verdict: Verdict) -> Finding {
    Finding {
        check: "volume_encrypted".to_owned(),
        asset: format!("data:{path}"),
        outcome: match verdict {
            Verdict::Unencrypted | Verdict::Partial => Outcome::Fail,
            Verdict::Unknown | Verdict::Claimed => Outcome::Unknown,
            Verdict::Volatile | Verdict::Encrypted => Outcome::Pass,
        },
        severity: Severity::High,
        summary: format!("{path} is {verdict}"),
        remedy: "put dm-crypt under it".to_owned(),
        reasons: Vec::new(),
        evidence: BTreeMap::new(),
        affects: Vec::new(),
    }
}

/// A report as an agent would send it.
pub(crate) fn report(sequence: u64, posture: Posture) -> v1::Report {
    let posture = v1::Posture::from(posture);
    let digest = atrest_proto::digest::posture(&posture).to_vec();
    v1::Report { sequence, digest, posture: Some(posture) }
}

pub(crate) fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

/// An open stream.
pub(crate) struct Stream {
    say: mpsc::Sender<v1::AttachRequest>,
    hear: Streaming<v1::AttachResponse>,
    pub(crate) welcome: v1::Welcome,
}

impl Stream {
    pub(crate) async fn say(&self, message: Say) {
        // A stream that the server has ended says why when it is listened to.
        drop(self.say.send(v1::AttachRequest { message: Some(message) }).await);
    }

    pub(crate) async fn hear(&mut self) -> Result<Option<Hear>, Status> {
        within(self.hear.message()).await.map(|answer| answer.and_then(|answer| answer.message))
    }

    /// Sends a report and waits for its acknowledgement.
    pub(crate) async fn report(&mut self, report: v1::Report) -> Result<u64, Status> {
        self.say(Say::Report(report)).await;
        match self.hear().await? {
            Some(Hear::Ack(ack)) => Ok(ack.sequence),
            Some(other) => panic!("not an acknowledgement: {other:?}"),
            None => Err(Status::cancelled("the stream ended")),
        }
    }

    /// What the server says when it ends the stream.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            match self.hear().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a word"),
                Err(status) => return status,
            }
        }
    }
}

/// Messages as bare bytes: to call what has no client here, and to send what no client would.
#[derive(Clone, Default)]
pub(crate) struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(
        &mut self,
        bytes: Bytes,
        buffer: &mut tonic::codec::EncodeBuf<'_>,
    ) -> Result<(), Status> {
        use prost::bytes::BufMut as _;
        buffer.put(bytes);
        Ok(())
    }
}

impl tonic::codec::Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(
        &mut self,
        buffer: &mut tonic::codec::DecodeBuf<'_>,
    ) -> Result<Option<Bytes>, Status> {
        use prost::bytes::Buf as _;
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// A directory that is gone afterwards.
pub(crate) fn directory() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    (dir, path)
}
