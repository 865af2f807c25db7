//! One request over loopback. No name is looked up, no proxy used, no redirect followed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::access::Secret;
use super::answer::MAX_SIZE;
use crate::snapshot::Trouble;

/// The headers of an answer have a few hundred bytes.
const HEADERS: usize = 64 * 1024;

/// What is asked, of whom, and how.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) address: SocketAddr,
    /// With the query.
    pub(super) target: &'a str,
    /// `None` is plain HTTP.
    pub(super) tls: Option<&'a Arc<ClientConfig>>,
    pub(super) secret: Option<&'a Secret>,
    /// Shows that the connection, once it is made, goes to the node.
    pub(super) is_nodes: &'a dyn Fn() -> Result<(), Trouble>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error("{0} is not loopback: nothing else is ever asked")]
    NotLoopback(SocketAddr),
    #[error("cannot be connected to: {0}")]
    Connect(io::Error),
    #[error("{0}")]
    NotTheNodes(Trouble),
    /// The chain leads to no authority that is trusted, or is not valid.
    #[error("its certificate cannot be verified: {0}")]
    Unverified(rustls::Error),
    #[error("no TLS: {0}")]
    Tls(io::Error),
    /// Nothing came that is HTTP.
    #[error("no HTTP: {0}")]
    Http(hyper::Error),
    #[error("answered {}", .0.as_u16())]
    Status(StatusCode),
    #[error("the answer ended before its end, or is larger than {MAX_SIZE} bytes")]
    Body,
}

/// Asks, and reads the body of an answer with status 200.
pub(super) async fn get(question: Question<'_>) -> Result<Bytes, Failure> {
    let Question { address, tls, .. } = question;
    if !address.ip().is_loopback() {
        return Err(Failure::NotLoopback(address));
    }
    let tcp = TcpStream::connect(address).await.map_err(Failure::Connect)?;
    // Afterwards: who listened before may be gone, and its port taken.
    (question.is_nodes)().map_err(Failure::NotTheNodes)?;
    let Some(tls) = tls else { return exchange(tcp, question).await };
    let name = ServerName::IpAddress(address.ip().into());
    // What is sent after the handshake is sent to whom the certificate names: before, nothing is.
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await.map_err(refused)?;
    exchange(stream, question).await
}

fn refused(error: io::Error) -> Failure {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match of_tls {
        Some(rustls::Error::InvalidCertificate(_)) => {
            // It was just seen to be one.
            of_tls.cloned().map_or(Failure::Tls(error), Failure::Unverified)
        }
        _ => Failure::Tls(error),
    }
}

async fn exchange<S>(stream: S, question: Question<'_>) -> Result<Bytes, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(Failure::Http)?;
    // It ends with this set at the latest.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::GET;
    if let Ok(target) = question.target.parse() {
        *request.uri_mut() = target;
    }
    let headers = request.headers_mut();
    if let Ok(host) = question.address.to_string().parse() {
        headers.insert(HOST, host);
    }
    let agent = concat!("atrest-agent/", env!("CARGO_PKG_VERSION"));
    for (name, value) in [(ACCEPT, "application/json"), (CONNECTION, "close"), (USER_AGENT, agent)]
    {
        headers.insert(name, hyper::header::HeaderValue::from_static(value));
    }
    if let Some(secret) = question.secret.and_then(Secret::header) {
        headers.insert(AUTHORIZATION, secret);
    }
    let answer = sender.send_request(request).await.map_err(Failure::Http)?;
    if answer.status() != StatusCode::OK {
        return Err(Failure::Status(answer.status()));
    }
    let body = Limited::new(answer.into_body(), MAX_SIZE).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|_| Failure::Body)
}
