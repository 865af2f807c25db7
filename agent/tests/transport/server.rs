//! A server that does what the contract says, or what a test makes it do instead.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use atrest_proto::token::EnrollmentToken;
use atrest_proto::v1;
use atrest_proto::v1::agent_service_server::{AgentService, AgentServiceServer};
use atrest_proto::v1::attach_request::Message as Request;
use atrest_proto::v1::attach_response::Message as Answer;
use atrest_proto::v1::enrollment_service_server::{EnrollmentService, EnrollmentServiceServer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Certificate, Identity, Server as Tonic, ServerTlsConfig};
use tonic::{Response, Status, Streaming};

use crate::authority::{Authority, Span, VALID};

pub(crate) const SECRET: &str = "open sesame";
/// Nothing here takes this long: it turns a hang into a failure.
pub(crate) const HANG: Duration = Duration::from_mins(1);

/// What an agent did.
#[derive(Debug)]
pub(crate) enum Happened {
    Enrolled { key: Vec<u8> },
    Hello,
    Report(Box<v1::Report>),
    Heartbeat(v1::Heartbeat),
    Renewed,
    Gone,
}

/// What survives a restart of the server.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    pub(crate) last: u64,
    pub(crate) digest: Vec<u8>,
    /// Names of the hosts in the postures that were taken, in order.
    pub(crate) names: Vec<String>,
    /// What gaps they told of.
    pub(crate) gaps: Vec<Vec<String>>,
}

/// What the server does, and a test can change at any time.
pub(crate) struct Manners {
    pub(crate) heartbeat: Duration,
    /// Take reports without saying so.
    pub(crate) mute: bool,
    /// Answer an attach with this.
    pub(crate) refuse: Option<Status>,
    /// Answer one enrolment with this, after signing it.
    pub(crate) lose_answer: bool,
    pub(crate) busy: u32,
    /// Refuse reports that come from a host of this name.
    pub(crate) indigestible: Option<String>,
    pub(crate) agent_certificate: Span,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(10),
            mute: false,
            refuse: None,
            lose_answer: false,
            busy: 0,
            indigestible: None,
            agent_certificate: VALID,
        }
    }
}

struct Shared {
    authority: Authority,
    durable: Mutex<Durable>,
    manners: Mutex<Manners>,
    happened: mpsc::UnboundedSender<Happened>,
}

pub(crate) struct Server {
    shared: Arc<Shared>,
    happened: mpsc::UnboundedReceiver<Happened>,
    port: u16,
    /// Dropping it kills the server with all its connections, as a power cut does.
    runtime: Option<tokio::runtime::Runtime>,
    name: String,
    certificate: Span,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with("localhost", VALID)
    }

    pub(crate) fn start_with(name: &str, certificate: Span) -> Self {
        let (sender, happened) = mpsc::unbounded_channel();
        let shared = Shared {
            authority: Authority::new(),
            durable: Mutex::default(),
            manners: Mutex::default(),
            happened: sender,
        };
        let mut server = Self {
            shared: Arc::new(shared),
            happened,
            port: 0,
            runtime: None,
            name: name.to_owned(),
            certificate,
        };
        server.revive();
        server
    }

    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for its threads, so that the port is free; a runtime may not do that on a thread of another.
            let ended = std::thread::spawn(move || runtime.shutdown_timeout(HANG)).join();
            ended.expect("the server ended");
        }
    }

    /// Comes back on the same port with what was durable.
    pub(crate) fn revive(&mut self) {
        let listener =
            std::net::TcpListener::bind(("127.0.0.1", self.port)).expect("the port is free");
        self.port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("a listener");
        let (chain, key) = self.shared.authority.server(&self.name, self.certificate);
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(chain, key))
            .client_ca_root(Certificate::from_pem(&self.shared.authority.pem))
            .client_auth_optional(true);
        let handler = Handler(Arc::clone(&self.shared));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            Tonic::builder()
                .tls_config(tls)
                .expect("TLS")
                .add_service(EnrollmentServiceServer::new(handler.clone()))
                .add_service(AgentServiceServer::new(handler))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .expect("the server ran");
        });
        self.runtime = Some(runtime);
    }

    pub(crate) fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub(crate) fn token(&self) -> EnrollmentToken {
        EnrollmentToken {
            address: self.address(),
            authority_pin: self.shared.authority.pin.clone(),
            secret: SECRET.to_owned(),
        }
    }

    pub(crate) fn manners(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared.manners.lock().expect("manners"));
    }

    pub(crate) fn durable<T>(&self, look: impl FnOnce(&mut Durable) -> T) -> T {
        look(&mut self.shared.durable.lock().expect("durable"))
    }

    /// The next thing that happens.
    pub(crate) async fn next(&mut self) -> Happened {
        let next = tokio::time::timeout(HANG, self.happened.recv()).await;
        next.expect("nothing happened for a minute").expect("the server lives")
    }

    pub(crate) async fn renewal(&mut self) {
        while !matches!(self.next().await, Happened::Renewed) {}
    }

    /// Waits for a report of the host of this name.
    pub(crate) async fn report_of(&mut self, name: &str) -> v1::Report {
        loop {
            if let Happened::Report(report) = self.next().await
                && name_of(&report) == name
            {
                return *report;
            }
        }
    }

    pub(crate) async fn heartbeat(&mut self) -> v1::Heartbeat {
        loop {
            if let Happened::Heartbeat(heartbeat) = self.next().await {
                return heartbeat;
            }
        }
    }

    /// What happened and was not waited for.
    pub(crate) fn unseen(&mut self) -> Vec<Happened> {
        std::iter::from_fn(|| self.happened.try_recv().ok()).collect()
    }
}

pub(crate) fn name_of(report: &v1::Report) -> String {
    let host = report.posture.as_ref().and_then(|posture| posture.host.as_ref());
    host.map(|host| host.hostname.clone()).unwrap_or_default()
}

#[derive(Clone)]
struct Handler(Arc<Shared>);

impl Handler {
    fn tell(&self, what: Happened) {
        // A test that is over does not listen.
        self.0.happened.send(what).ok();
    }
}

#[tonic::async_trait]
impl EnrollmentService for Handler {
    async fn enroll(
        &self,
        request: tonic::Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        let request = request.into_inner();
        let mut manners = self.0.manners.lock().expect("manners");
        if manners.busy > 0 {
            manners.busy -= 1;
            let mut status = Status::resource_exhausted("too many enrolments");
            let now = "1".parse().expect("a number");
            status.metadata_mut().insert("grpc-retry-pushback-ms", now);
            return Err(status);
        }
        let certificate = self.0.authority.sign(&request.csr, manners.agent_certificate);
        self.tell(Happened::Enrolled { key: public_key(&certificate) });
        if request.secret != SECRET {
            return Err(Status::unauthenticated("this token is not known: make another"));
        }
        if std::mem::take(&mut manners.lose_answer) {
            return Err(Status::internal("the answer got lost"));
        }
        Ok(Response::new(v1::EnrollResponse {
            host_id: "host-1".to_owned(),
            certificate_chain: vec![certificate],
            authorities: vec![self.0.authority.der.clone()],
        }))
    }
}

pub(crate) fn public_key(certificate: &[u8]) -> Vec<u8> {
    use x509_parser::prelude::FromDer as _;
    let (_, certificate) =
        x509_parser::certificate::X509Certificate::from_der(certificate).expect("a certificate");
    certificate.public_key().raw.to_vec()
}

#[tonic::async_trait]
impl AgentService for Handler {
    type AttachStream = ReceiverStream<Result<v1::AttachResponse, Status>>;

    async fn attach(
        &self,
        request: tonic::Request<Streaming<v1::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        if request.peer_certs().is_none_or(|certificates| certificates.is_empty()) {
            return Err(Status::unauthenticated("no certificate"));
        }
        if let Some(status) = &self.0.manners.lock().expect("manners").refuse {
            return Err(status.clone());
        }
        let (answers, stream) = mpsc::channel(64);
        let handler = self.clone();
        tokio::spawn(async move {
            let mut requests = request.into_inner();
            'stream: while let Ok(Some(v1::AttachRequest { message: Some(message) })) =
                requests.message().await
            {
                for answer in handler.answer(message) {
                    let ended = answer.is_err();
                    let answer =
                        answer.map(|message| v1::AttachResponse { message: Some(message) });
                    if answers.send(answer).await.is_err() || ended {
                        break 'stream;
                    }
                }
            }
            handler.tell(Happened::Gone);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl Handler {
    fn answer(&self, message: Request) -> Vec<Result<Answer, Status>> {
        let manners = self.0.manners.lock().expect("manners");
        let mut durable = self.0.durable.lock().expect("durable");
        let resync = || Answer::Resync(v1::Resync { why: "not held here".to_owned() });
        match message {
            Request::Hello(hello) => {
                let stale = !hello.digest.is_empty() && hello.digest != durable.digest;
                self.tell(Happened::Hello);
                let welcome = Answer::Welcome(v1::Welcome {
                    server_time: None,
                    heartbeat_interval: manners.heartbeat.try_into().ok(),
                    last_sequence: durable.last,
                });
                std::iter::once(welcome).chain(stale.then(resync)).map(Ok).collect()
            }
            Request::Report(report) => {
                if manners.indigestible.as_ref() == Some(&name_of(&report)) {
                    self.tell(Happened::Report(Box::new(report)));
                    return vec![Err(Status::invalid_argument("field `host` is wrong"))];
                }
                let sequence = report.sequence;
                if sequence > durable.last {
                    let posture = report.posture.clone().expect("a posture");
                    assert_eq!(report.digest, atrest_proto::digest::posture(&posture));
                    durable.last = sequence;
                    durable.digest.clone_from(&report.digest);
                    durable.names.push(name_of(&report));
                    durable.gaps.push(posture.gaps.into_iter().map(|gap| gap.detail).collect());
                }
                self.tell(Happened::Report(Box::new(report)));
                if manners.mute { Vec::new() } else { vec![Ok(Answer::Ack(v1::Ack { sequence }))] }
            }
            Request::Heartbeat(heartbeat) => {
                let held = heartbeat.digest == durable.digest;
                self.tell(Happened::Heartbeat(heartbeat));
                let ack = Answer::Ack(v1::Ack { sequence: durable.last });
                vec![Ok(if held { ack } else { resync() })]
            }
            // An older server says nothing to what it does not know.
            Request::Shares(_)
            | Request::Exports(_)
            | Request::RemoteDirectories(_)
            | Request::Membership(_) => Vec::new(),
            Request::Renew(renew) => {
                let certificate = self.0.authority.sign(&renew.csr, manners.agent_certificate);
                self.tell(Happened::Renewed);
                vec![Ok(Answer::Renewed(v1::Renewed {
                    certificate_chain: vec![certificate],
                    authorities: vec![self.0.authority.der.clone()],
                }))]
            }
        }
    }
}
