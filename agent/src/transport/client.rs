//! The connection itself: TCP, TLS, HTTP/2 and one gRPC stream. What the messages mean is [`super::session`]'s.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use atrest_proto::v1::agent_service_client::AgentServiceClient;
use atrest_proto::v1::{AttachRequest, AttachResponse, attach_request, attach_response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::failure::Failure;
use super::session;

/// One address of the server gets this long to answer, so that a dead one does not hide a live one.
const PER_ADDRESS: Duration = Duration::from_secs(5);
/// Connecting as a whole, the handshake included.
const CONNECT: Duration = Duration::from_secs(20);
/// A server that does not answer a ping within this is dead, whatever TCP believes.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(15);
/// The server's messages are small: a chain of certificates is the largest.
const MAX_ANSWER: usize = 1024 * 1024;
/// Room for a whole window of reports and what is said between them.
const OUTGOING: usize = session::WINDOW_REPORTS + 8;

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    text: String,
    host: String,
    port: u16,
    name: ServerName<'static>,
}

impl Address {
    /// Reads `host:port`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || Failure::Address { address: super::failure::bounded(text) };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| wrong())?;
        Ok(Self { text: text.to_owned(), host: bare.to_owned(), port, name })
    }
}

/// A connection on which one call can be made.
#[derive(Debug)]
pub struct Connection {
    pub channel: Channel,
    trouble: Trouble,
}

impl Connection {
    /// What a failed call means: what TLS said tells more than what became of it in the layers above.
    pub fn explain(&self, status: &tonic::Status) -> Failure {
        self.trouble.take().unwrap_or_else(|| Failure::of_status(status))
    }
}

/// Why a connection could not be made.
#[derive(Debug)]
pub enum DialError {
    /// TLS refused; the cause may tell more than the failure does.
    Tls(Failure, rustls::Error),
    Other(Failure),
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Tls(failure, _) | DialError::Other(failure) => failure,
        }
    }
}

/// Connects and shakes hands.
pub async fn connect(address: &str, tls: Arc<ClientConfig>) -> Result<Connection, DialError> {
    let address = Address::parse(address).map_err(DialError::Other)?;
    let unreachable =
        |why: String| DialError::Other(Failure::Unreachable { address: address.text.clone(), why });
    let secured = tokio::time::timeout(CONNECT, async {
        let tcp = dial(&address).await.map_err(|error| unreachable(error.to_string()))?;
        secure(&address, tcp, tls).await
    });
    let stream = secured.await.map_err(|_| unreachable("no answer in time".to_owned()))??;
    let trouble = Trouble { address: address.text.clone(), found: Arc::default() };
    let watched = Watched { stream, trouble: trouble.clone() };
    let channel = channel(&address, watched).await.map_err(DialError::Other)?;
    Ok(Connection { channel, trouble })
}

async fn dial(address: &Address) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in tokio::net::lookup_host((address.host.as_str(), address.port)).await? {
        match tokio::time::timeout(PER_ADDRESS, TcpStream::connect(candidate)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
        }
    }
    Err(last)
}

async fn secure(
    address: &Address,
    tcp: TcpStream,
    tls: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, DialError> {
    TlsConnector::from(tls).connect(address.name.clone(), tcp).await.map_err(
        |error| match tls_error(&error) {
            Some(cause) => DialError::Tls(Failure::of_tls(&address.text, cause), cause.clone()),
            None => DialError::Other(Failure::Unreachable {
                address: address.text.clone(),
                why: format!("the connection broke during the handshake: {error}"),
            }),
        },
    )
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// HTTP/2 on a stream that is there already. It is given out once: a broken connection is never silently redone.
async fn channel(address: &Address, stream: Watched) -> Result<Channel, Failure> {
    let wrong = |_| Failure::Address { address: address.text.clone() };
    // TLS is done: to tonic this is a plain stream, and only the origin says what it is.
    let endpoint = Endpoint::from_shared(format!("http://{}", address.text)).map_err(wrong)?;
    let origin = format!("https://{}", address.text)
        .parse()
        .map_err(|_| Failure::Address { address: address.text.clone() })?;
    let endpoint = endpoint
        .origin(origin)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER)
        .keep_alive_while_idle(true);
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = once.take();
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| Failure::Lost { why: super::failure::chain(&error) })
}

/// An attached stream.
#[derive(Debug)]
pub struct Link {
    outgoing: Option<mpsc::Sender<AttachRequest>>,
    incoming: Streaming<AttachResponse>,
    trouble: Trouble,
}

impl Link {
    /// Connects, and opens the stream with a first message.
    pub async fn attach(
        address: String,
        tls: Arc<ClientConfig>,
        hello: attach_request::Message,
    ) -> Result<Self, Failure> {
        let connection = connect(&address, tls).await?;
        let (outgoing, requests) = mpsc::channel(OUTGOING);
        if outgoing.try_send(AttachRequest { message: Some(hello) }).is_err() {
            return Err(Failure::Closed);
        }
        let mut client = AgentServiceClient::new(connection.channel.clone())
            .max_decoding_message_size(MAX_ANSWER);
        let opened = tokio::time::timeout(CONNECT, client.attach(ReceiverStream::new(requests)));
        let answer = opened.await.map_err(|_| Failure::Silent)?;
        let incoming = answer.map_err(|status| connection.explain(&status))?.into_inner();
        Ok(Self { outgoing: Some(outgoing), incoming, trouble: connection.trouble })
    }

    /// Hands a message over. `false` when the connection does not take more now, or ever.
    pub fn send(&self, message: attach_request::Message) -> bool {
        let request = AttachRequest { message: Some(message) };
        self.outgoing.as_ref().is_some_and(|outgoing| outgoing.try_send(request).is_ok())
    }

    /// The next message. May be dropped and called again without losing one.
    pub async fn receive(&mut self) -> Result<attach_response::Message, Failure> {
        loop {
            return match self.incoming.message().await {
                Ok(Some(AttachResponse { message: Some(message) })) => Ok(message),
                // A newer server says something that this version has no word for.
                Ok(Some(AttachResponse { message: None })) => continue,
                Ok(None) => Err(self.trouble.take().unwrap_or(Failure::Closed)),
                Err(status) => {
                    Err(self.trouble.take().unwrap_or_else(|| Failure::of_status(&status)))
                }
            };
        }
    }

    /// Says that nothing more will come. What the server still says can be received.
    pub fn finish(&mut self) {
        self.outgoing = None;
    }
}

/// What TLS said last, seen below the layers that turn it into "broken pipe".
#[derive(Debug, Clone)]
struct Trouble {
    address: String,
    found: Arc<Mutex<Option<Failure>>>,
}

impl Trouble {
    fn take(&self) -> Option<Failure> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result
            && let Some(cause) = tls_error(error)
        {
            let failure = Failure::of_tls(&self.address, cause);
            self.found.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        }
        result
    }
}

/// A stream that remembers why it broke. With TLS 1.3 a server refuses a client's certificate only after the
/// handshake, so this is where the refusal is seen.
#[derive(Debug)]
struct Watched {
    stream: TlsStream<TcpStream>,
    trouble: Trouble,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.trouble.note(result)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.trouble.note(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.trouble.note(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.trouble.note(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, bufs);
        self.trouble.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["atrest.example:7443", "10.0.0.1:7443", "[::1]:7443"] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in ["atrest.example", "a b:1", ":7443", "host:70000", "https://host:7443", ""] {
            assert_eq!(Address::parse(bad).unwrap_err().kind(), "bad_address", "{bad}");
        }
    }
}
