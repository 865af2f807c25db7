//! A stand-in for a node of Elasticsearch or OpenSearch: a process of its own with a node's arguments, and an API that
//! answers, or misbehaves, as it is told.
//!
//! The bodies have the shapes that the products publish in their REST specifications. The child is told its part over its
//! standard input and ends when that closes; it says on its standard output where it listens and what it is asked.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

/// Whose words it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flavour {
    Elasticsearch,
    OpenSearch,
}

/// What it does with a request that it would answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manner {
    Answers,
    /// As with credentials that lack the privilege.
    Forbids,
    /// With this status and no body that means anything.
    Fails(u16),
    /// Takes the request and says nothing.
    Waits,
    /// Sends a byte now and then, and never ends.
    Drips,
    /// Closes in the middle of a body.
    Cuts,
    /// Sends a body that does not end, as fast as it is taken.
    Floods,
    /// Sends JSON that is no node's.
    Babbles,
    /// Sends the client elsewhere.
    Redirects(String),
    /// Closes without a word.
    HangsUp,
}

/// The part of the stand-in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    pub flavour: Flavour,
    pub manner: Manner,
    /// Only requests for this path are answered in that manner; empty is all.
    pub manner_of: String,
    pub listen: String,
    /// A chain and its key, in PEM; `None` is plain HTTP.
    pub tls: Option<(String, String)>,
    /// The authority, in PEM, of certificates that it wants from clients; `None` wants none.
    pub client_authority: Option<String>,
    /// The `Authorization` that it wants; `None` is a node without security.
    pub authorization: Option<String>,
    pub settings: Value,
    pub arguments: Vec<String>,
    /// Of `fs.data`.
    pub data: Vec<String>,
    /// What its cluster has registered.
    pub repositories: Value,
    /// The other nodes of its cluster, by their ids.
    pub others: serde_json::Map<String, Value>,
    /// What it says its process is, instead of the truth.
    pub pid: Option<u32>,
    /// Files that it holds open.
    pub locks: Vec<PathBuf>,
}

impl Part {
    /// A well-behaved node without security.
    pub fn new(settings: Value) -> Self {
        Self {
            flavour: Flavour::Elasticsearch,
            manner: Manner::Answers,
            manner_of: String::new(),
            listen: "127.0.0.1:0".to_owned(),
            tls: None,
            client_authority: None,
            authorization: None,
            settings,
            arguments: Vec::new(),
            data: Vec::new(),
            repositories: json!({}),
            others: serde_json::Map::new(),
            pid: None,
            locks: Vec::new(),
        }
    }
}

/// A stand-in that runs.
#[derive(Debug)]
pub struct Node {
    child: Child,
    pub address: SocketAddr,
    said: BufReader<std::process::ChildStdout>,
}

/// A request that a stand-in got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub target: String,
    pub authorization: Option<String>,
}

impl Node {
    /// Starts `binary` with the arguments of a node.
    #[expect(clippy::disallowed_methods, reason = "the stand-in is a process of its own")]
    pub fn start(binary: &Path, arguments: &[String], part: &Part) -> anyhow::Result<Self> {
        let mut child = Command::new(binary)
            .arg0("java")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let stdin = child.stdin.as_mut().context("its input")?;
        writeln!(stdin, "{}", serde_json::to_string(part)?)?;
        let mut said = BufReader::new(child.stdout.take().context("its output")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("it says `{}`", line.trim()))?;
        Ok(Self { child, address, said })
    }

    /// As this host counts.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next request that it gets, waiting for it.
    pub fn asked(&mut self) -> anyhow::Result<Asked> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("it says `{}`", line.trim()))
    }

    /// Stops it; returns the rest of what it was asked.
    pub fn stop(mut self) -> anyhow::Result<Vec<Asked>> {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.said.read_to_string(&mut rest)?;
        rest.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It ends by itself when its input closes, and may have done so.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The life of the child.
pub fn serve() -> anyhow::Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let part: Part = serde_json::from_str(&line)?;
    let open = |path: &PathBuf| std::fs::OpenOptions::new().create(true).append(true).open(path);
    let _locks = part.locks.iter().map(open).collect::<io::Result<Vec<_>>>()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.spawn(listen(Arc::new(part)));
    // Whoever started it has gone, or wants it to go.
    let mut nothing = String::new();
    drop(io::stdin().lock().read_line(&mut nothing));
    if served.is_finished() {
        runtime.block_on(served)??;
    }
    runtime.shutdown_background();
    Ok(())
}

fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

async fn listen(part: Arc<Part>) -> anyhow::Result<()> {
    let clients = part.client_authority.as_deref();
    let tls = part.tls.as_ref().map(|tls| acceptor(tls, clients)).transpose()?;
    let listener = tokio::net::TcpListener::bind(&part.listen).await?;
    say(&listener.local_addr()?.to_string())?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (part, tls) = (Arc::clone(&part), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => converse(stream, &part).await,
                Some(tls) => converse(tls.accept(stream).await?, &part).await,
            }
        });
    }
}

fn acceptor((chain, key): &(String, String), clients: Option<&str>) -> anyhow::Result<TlsAcceptor> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            config.with_client_cert_verifier(verifier)
        }
    };
    let config = config.with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// One request, one answer.
async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    part: &Part,
) -> anyhow::Result<()> {
    let asked = request(&mut stream).await?;
    say(&serde_json::to_string(&asked)?)?;
    let is_known = part.authorization.is_none() || part.authorization == asked.authorization;
    let path = asked.target.split('?').next().unwrap_or_default();
    let manner = if part.manner_of.is_empty() || part.manner_of == path {
        &part.manner
    } else {
        &Manner::Answers
    };
    if is_known {
        behave(&mut stream, part, manner, path).await?;
    } else {
        let (kind, body) = part.unauthorized(&asked);
        send(&mut stream, 401, kind, &body).await?;
    }
    stream.shutdown().await?;
    Ok(())
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Asked> {
    const LARGEST: usize = 64 * 1024;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > LARGEST {
            bail!("no end of the request");
        }
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let target = head.split(' ').nth(1).context("a target")?.to_owned();
    let authorization = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| value.trim().to_owned())
    });
    Ok(Asked { target, authorization })
}

async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    status: u16,
    kind: &str,
    body: &str,
) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

async fn behave(
    stream: &mut (impl AsyncWrite + Unpin),
    part: &Part,
    manner: &Manner,
    path: &str,
) -> anyhow::Result<()> {
    const JSON: &str = "application/json";
    const ENDLESS: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    match manner {
        Manner::Answers => match part.body(path) {
            Some(body) => send(stream, 200, JSON, &body.to_string()).await?,
            None => send(stream, 404, JSON, r#"{"error":"no handler found","status":404}"#).await?,
        },
        Manner::Forbids => send(stream, 403, JSON, &part.forbidden().to_string()).await?,
        Manner::Fails(status) => send(stream, *status, "text/plain", "no").await?,
        Manner::Waits => std::future::pending::<()>().await,
        Manner::Drips => {
            stream.write_all(ENDLESS).await?;
            loop {
                stream.write_all(b"1\r\n \r\n").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Manner::Cuts => {
            let body = part.body(path).unwrap_or_default().to_string();
            let half = body.get(..body.len() / 2).unwrap_or_default();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{half}", body.len());
            stream.write_all(head.as_bytes()).await?;
        }
        Manner::Floods => {
            stream.write_all(ENDLESS).await?;
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            loop {
                stream.write_all(chunk.as_bytes()).await?;
            }
        }
        Manner::Babbles => send(stream, 200, JSON, r#"{"nodes":[{"settings":"hunter2"}]}"#).await?,
        Manner::Redirects(to) => {
            let head = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
        }
        Manner::HangsUp => {}
    }
    Ok(())
}

impl Part {
    fn body(&self, path: &str) -> Option<Value> {
        let pid = self.pid.unwrap_or_else(std::process::id);
        let node = |more: Value| {
            let mut node = json!({
                "name": "stand-in-1", "transport_address": "127.0.0.1:9300", "host": "127.0.0.1",
                "ip": "127.0.0.1", "roles": ["data", "ingest", "master"],
            });
            if let (Some(node), Value::Object(more)) = (node.as_object_mut(), more) {
                node.extend(more);
            }
            json!({
                "_nodes": {"total": 1, "successful": 1, "failed": 0}, "cluster_name": "stand-in",
                "nodes": {"Xk3n2d0yQ9Sg1fT5vB7pLw": node},
            })
        };
        match path {
            "/" => Some(self.main()),
            "/_nodes/_local/settings,process,jvm" => Some(node(json!({
                "version": self.version(), "build_type": "deb", "settings": self.settings,
                "process": {"refresh_interval_in_millis": 1000, "id": pid, "mlockall": false},
                "jvm": {"pid": pid, "version": "24.0.2", "input_arguments": self.arguments},
            }))),
            "/_nodes/_local/stats/fs" => {
                let data = self.data.iter().map(|path| {
                    json!({"path": path, "mount": format!("{path} (/dev/vda)"), "type": "ext4"})
                });
                Some(node(json!({"fs": {"data": data.collect::<Vec<_>>()}})))
            }
            "/_nodes/transport" => {
                let mut all = node(json!({}));
                let nodes = all.get_mut("nodes").and_then(Value::as_object_mut)?;
                nodes.extend(self.others.clone());
                let total = nodes.len();
                let tally = json!({"total": total, "successful": total, "failed": 0});
                all.as_object_mut()?.insert("_nodes".to_owned(), tally);
                Some(all)
            }
            "/_snapshot" => Some(self.repositories.clone()),
            _ => None,
        }
    }

    fn version(&self) -> &str {
        match self.flavour {
            Flavour::Elasticsearch => "8.19.4",
            Flavour::OpenSearch => "2.19.3",
        }
    }

    fn main(&self) -> Value {
        let version = match self.flavour {
            Flavour::Elasticsearch => json!({"number": self.version(), "build_flavor": "default"}),
            Flavour::OpenSearch => json!({"distribution": "opensearch", "number": self.version()}),
        };
        json!({
            "name": "stand-in-1", "cluster_name": "stand-in", "cluster_uuid": "a1B2c3D4e5F6g7H8i9J0kQ",
            "version": version,
        })
    }

    /// OpenSearch's security plugin answers with one word.
    fn unauthorized(&self, asked: &Asked) -> (&'static str, String) {
        if self.flavour == Flavour::OpenSearch {
            return ("text/plain", "Unauthorized".to_owned());
        }
        let reason =
            format!("missing authentication credentials for REST request [{}]", asked.target);
        let cause = json!({
            "type": "security_exception", "reason": reason,
            "header": {"WWW-Authenticate": ["Basic realm=\"security\", charset=\"UTF-8\"", "ApiKey"]},
        });
        let body =
            json!({"error": {"root_cause": [cause], "type": "security_exception"}, "status": 401});
        ("application/json", body.to_string())
    }

    fn forbidden(&self) -> Value {
        let reason = match self.flavour {
            Flavour::Elasticsearch => {
                "action [cluster:monitor/nodes/info] is unauthorized for API key id [x] of user [y], this action is \
                 granted by the cluster privileges [monitor,manage,all]"
            }
            Flavour::OpenSearch => {
                "no permissions for [cluster:monitor/nodes/info] and User [name=x, backend_roles=[], requestedTenant=null]"
            }
        };
        let cause = json!({"type": "security_exception", "reason": reason});
        json!({"error": {"root_cause": [cause], "type": "security_exception", "reason": reason}, "status": 403})
    }
}
