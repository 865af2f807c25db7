//! The floor: a bare server of streams over mutual TLS, which acknowledges every message and keeps nothing.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::task::Poll;

use anyhow::Context as _;
use atrest_proto::v1;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Bytes, Context, Service, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use super::machine::Target;
use super::process::{Memory, Process};
use super::raw::Raw;

/// The bare server as a process.
#[derive(Debug)]
pub struct Floor {
    process: Process,
    port: u16,
    authority: String,
    launch: Launch,
}

#[derive(Debug, Clone)]
struct Launch {
    program: std::path::PathBuf,
    arguments: Vec<std::ffi::OsString>,
}

impl Floor {
    /// Starts `program ARGUMENT DIRECTORY PORT`, which has to call [`serve`], for clients of that authority (PEM).
    pub fn start(
        program: &Path,
        argument: &str,
        directory: &Path,
        clients: &str,
    ) -> anyhow::Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, &authority_key);
        let key = KeyPair::generate()?;
        let server = CertificateParams::new(vec!["localhost".to_owned()])?;
        let certificate = server.signed_by(&key, &issuer)?.pem();
        std::fs::write(directory.join("server.pem"), certificate)?;
        std::fs::write(directory.join("server.key"), key.serialize_pem())?;
        std::fs::write(directory.join("clients.pem"), clients)?;
        let launch = Launch {
            program: program.to_owned(),
            arguments: vec![argument.into(), directory.as_os_str().to_owned()],
        };
        let (process, port) = launch.start(0)?;
        Ok(Self { process, port, authority: authority_pem, launch })
    }

    /// SIGKILL, and a new process on the same port.
    pub fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        let (process, port) = self.launch.start(self.port)?;
        (self.process, self.port) = (process, port);
        Ok(())
    }

    pub fn memory(&self) -> anyhow::Result<Memory> {
        self.process.memory()
    }

    /// The processor time that the server has had, in seconds.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.process.cpu_seconds()
    }

    pub fn target(&self) -> Target {
        Target { port: self.port, authority: self.authority.clone(), rpc: "/floor.Echo/Attach" }
    }
}

impl Launch {
    #[expect(clippy::disallowed_methods, reason = "the floor is a process of its own")]
    fn start(&self, port: u16) -> anyhow::Result<(Process, u16)> {
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut process = Process(child);
        let stdout = process.0.stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line.trim().parse().with_context(|| format!("the floor said {line:?}"))?;
        Ok((process, port))
    }
}

/// Serves with the files that [`Floor::start`] wrote, prints its port, and ends with its standard input.
#[expect(clippy::disallowed_methods, reason = "files of our own")]
pub fn serve(directory: &Path, port: u16) -> anyhow::Result<()> {
    let read = |name: &str| std::fs::read_to_string(directory.join(name));
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(read("server.pem")?, read("server.key")?))
        .client_ca_root(Certificate::from_pem(read("clients.pem")?));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener =
            tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
        tokio::spawn(
            tonic::transport::Server::builder()
                .tls_config(tls)?
                .add_service(Echo::new())
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        anyhow::Ok(())
    })
}

/// Answers every message of a stream with the same acknowledgement.
#[derive(Debug, Clone)]
struct Echo {
    ack: Bytes,
}

impl Echo {
    fn new() -> Self {
        let ack = v1::attach_response::Message::Ack(v1::Ack { sequence: 1 });
        Self { ack: v1::AttachResponse { message: Some(ack) }.encode_to_vec().into() }
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "floor.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move { Ok(Grpc::new(Raw).streaming(echo, request).await) })
    }
}

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let ack = self.ack.clone();
        let answers = request.into_inner().map(move |message| message.map(|_| ack.clone())).boxed();
        Box::pin(std::future::ready(Ok(Response::new(answers))))
    }
}
