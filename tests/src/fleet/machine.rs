//! Simulated agents: a key, a certificate, and one stream each.

use std::path::Path;

use anyhow::{Context as _, ensure};
use atrest_proto::model::Host;
use atrest_proto::v1;
use atrest_proto::v1::attach_request::Message as Say;
use atrest_proto::v1::attach_response::Message as Hear;
use atrest_proto::v1::enrollment_service_client::EnrollmentServiceClient;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use prost::Message as _;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::Bytes;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Streaming};

use super::payload::{Prepared, posture};
use super::raw::Raw;
use super::server::Server;

/// Enrolments that are under way at one time: the server allows that many streams of one connection.
const TOGETHER: usize = 4;
/// Findings of a posture.
const FINDINGS: usize = 5;

/// Where streams are opened.
#[derive(Debug, Clone)]
pub struct Target {
    pub port: u16,
    /// PEM.
    pub authority: String,
    pub rpc: &'static str,
}

/// A host that is enrolled.
#[derive(Debug)]
pub struct Machine {
    pub host: Host,
    pub host_id: String,
    /// PEM: the certificate, and its key.
    certificate: String,
    key: String,
    /// Two reports to take turns with: each differs from the one before.
    reports: [Prepared; 2],
}

/// Enrols `count` hosts.
pub async fn enrol(server: &Server, count: u32) -> anyhow::Result<Vec<Machine>> {
    let secret = server.operator().await?.token("load", count).await?;
    let channel = channel(&server.target()?, None).await?;
    futures_util::stream::iter(0..count)
        .map(|number| {
            let (channel, secret) = (channel.clone(), secret.clone());
            async move { Machine::enrol(channel, secret, number).await }
        })
        .buffered(TOGETHER)
        .try_collect()
        .await
}

async fn channel(target: &Target, identity: Option<Identity>) -> anyhow::Result<Channel> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&target.authority))
        .domain_name("localhost");
    if let Some(identity) = identity {
        tls = tls.identity(identity);
    }
    let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", target.port))?;
    Ok(endpoint.tls_config(tls)?.connect().await?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a simulated agent reads the clock as a real one does"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

impl Machine {
    async fn enrol(channel: Channel, secret: String, number: u32) -> anyhow::Result<Self> {
        let host = host(number);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let csr = CertificateParams::default().serialize_request(&key)?.der().to_vec();
        let request = v1::EnrollRequest { secret, csr, host: Some(host.clone().into()) };
        let enrolled = EnrollmentServiceClient::new(channel).enroll(request).await?.into_inner();
        let der = enrolled.certificate_chain.first().context("a certificate")?;
        let reports = reports(&host);
        Ok(Self {
            host,
            host_id: enrolled.host_id,
            certificate: pem(der),
            key: key.serialize_pem(),
            reports,
        })
    }

    /// Keeps it in a directory, for a process that is to be it.
    pub fn save(&self, directory: &Path) -> anyhow::Result<()> {
        std::fs::write(directory.join("certificate.pem"), &self.certificate)?;
        std::fs::write(directory.join("key.pem"), &self.key)?;
        Ok(())
    }

    /// What [`Self::save`] kept of the first one that was enrolled.
    #[expect(clippy::disallowed_methods, reason = "files of our own")]
    pub fn load(directory: &Path) -> anyhow::Result<Self> {
        let host = host(0);
        Ok(Self {
            reports: reports(&host),
            host,
            host_id: String::new(),
            certificate: std::fs::read_to_string(directory.join("certificate.pem"))?,
            key: std::fs::read_to_string(directory.join("key.pem"))?,
        })
    }

    /// Opens a stream, says hello, and waits to be welcomed.
    pub async fn attach(&self, target: &Target) -> anyhow::Result<Line> {
        let identity = Identity::from_pem(&self.certificate, &self.key);
        let mut grpc = Grpc::new(channel(target, Some(identity)).await?);
        grpc.ready().await?;
        let (say, said) = mpsc::channel(4);
        let hello = v1::Hello { host: Some(self.host.clone().into()), digest: Vec::new() };
        let hello = v1::AttachRequest { message: Some(Say::Hello(hello)) };
        say.send(hello.encode_to_vec().into()).await?;
        let rpc = PathAndQuery::from_static(target.rpc);
        let request = Request::new(ReceiverStream::new(said));
        let hear = grpc.streaming(request, rpc, Raw).await?.into_inner();
        let mut line = Line { say, hear, sequence: 0, reports: self.reports.clone() };
        // A server that keeps nothing acknowledges even a hello.
        if let Hear::Welcome(welcome) = line.hear().await? {
            line.sequence = welcome.last_sequence;
        }
        Ok(line)
    }
}

fn host(number: u32) -> Host {
    let hostname = format!("es-{number}");
    Host {
        machine_fingerprint: format!("machine of {hostname}"),
        hostname,
        os: "Debian GNU/Linux 13 (trixie)".to_owned(),
        kernel: "6.12.0".to_owned(),
        architecture: "x86_64".to_owned(),
        boot_id: format!("boot of {number}"),
        agent_version: "0.1.0".to_owned(),
    }
}

fn reports(host: &Host) -> [Prepared; 2] {
    [0, 1].map(|variant| Prepared::new(posture(host, variant, FINDINGS, Timestamp::UNIX_EPOCH)))
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64.encode(der))
}

/// An open stream.
#[derive(Debug)]
pub struct Line {
    say: mpsc::Sender<Bytes>,
    hear: Streaming<Bytes>,
    /// Of the last report that was acknowledged.
    pub sequence: u64,
    reports: [Prepared; 2],
}

impl Line {
    /// The next report, which differs from the last one; its sequence, once it is acknowledged.
    pub async fn report(&mut self) -> anyhow::Result<u64> {
        let sequence = self.sequence + 1;
        let report = self.prepared(sequence).report(sequence);
        self.say.send(report).await?;
        let answer = self.hear().await?;
        ensure!(matches!(answer, Hear::Ack(_)), "a report was answered by {answer:?}");
        self.sequence = sequence;
        Ok(sequence)
    }

    /// Says that nothing changed, and waits for the answer.
    pub async fn heartbeat(&mut self) -> anyhow::Result<()> {
        let heartbeat = self.prepared(self.sequence).heartbeat(now());
        self.say.send(heartbeat).await?;
        let answer = self.hear().await?;
        ensure!(matches!(answer, Hear::Ack(_)), "a heartbeat was answered by {answer:?}");
        Ok(())
    }

    /// Waits until the server ends the stream.
    pub async fn ended(&mut self) {
        while self.hear().await.is_ok() {}
    }

    fn prepared(&self, sequence: u64) -> &Prepared {
        let [even, odd] = &self.reports;
        if sequence.is_multiple_of(2) { even } else { odd }
    }

    async fn hear(&mut self) -> anyhow::Result<Hear> {
        let bytes = self.hear.message().await?.context("the stream ended")?;
        let answer = v1::AttachResponse::decode(bytes)?;
        answer.message.context("an answer that says nothing")
    }
}
