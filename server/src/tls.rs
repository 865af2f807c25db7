//! TLS of both ports: who may connect, with what certificate the server answers, and the accept loop.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use crate::authority::Identity;
use crate::clock::Clock;
use crate::drain::Drain;
use crate::fleet::certificate::Validity;
use crate::metrics::Counters;

/// A handshake that takes longer is somebody holding a socket open.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at one time: the rest of a storm waits in the kernel's queue, not in our memory.
const HANDSHAKES: usize = 256;

/// The one provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// For what asks the process for its provider, as HTTP clients do.
pub(crate) fn install_provider() {
    // An error says that there is one already: then whoever embeds us has chosen.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// The server's certificate, which is renewed while connections come and go.
#[derive(Debug)]
pub(crate) struct ServerCertificate(RwLock<Arc<CertifiedKey>>);

impl ServerCertificate {
    pub(crate) fn new(key: Arc<CertifiedKey>) -> Self {
        Self(RwLock::new(key))
    }

    /// How long the present one holds.
    pub(crate) fn validity(&self) -> Option<Validity> {
        let key = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        crate::authority::validity(key.end_entity_cert().ok()?)
    }

    /// Whether it is another one.
    pub(crate) fn renew_if_other(&self, key: Arc<CertifiedKey>) -> bool {
        let mut shown = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = shown.cert != key.cert;
        if is_other {
            *shown = key;
        }
        is_other
    }

    pub(crate) fn renew(&self, key: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The agents' port: a client certificate is optional, but one that is shown must be of an authority of ours.
pub(crate) fn agents_config(
    certificate: Arc<ServerCertificate>,
    authorities: &[CertificateDer<'static>],
    clock: Clock,
) -> Result<ServerConfig, Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let mut config = builder()?
        .with_client_cert_verifier(Arc::new(AgentVerifier { inner, clock }))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The operators' port: who calls is said by a token.
pub(crate) fn operators_config(certificate: Arc<ServerCertificate>) -> Result<ServerConfig, Error> {
    let mut config = builder()?.with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, Error> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
}

/// Takes certificates of our authority, expired ones too: the agent is told so in words, by the RPC that
/// refuses it, where a TLS alert could only say "certificate expired" to a log nobody reads.
#[derive(Debug)]
struct AgentVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    clock: Clock,
}

impl ClientCertVerifier for AgentVerifier {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let at = |second: i64| {
            UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(second).unwrap_or(0)))
        };
        let now = at(self.clock.now().as_second());
        match self.inner.verify_client_cert(end_entity, intermediates, now) {
            Err(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => {
                // Everything but the time must still be right.
                let identity = Identity::of(end_entity)
                    .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
                let then = at(identity.not_before.as_second());
                self.inner.verify_client_cert(end_entity, intermediates, then)
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The certificate that it showed, DER; signed by our authority.
    pub(crate) certificate: Option<Arc<[u8]>>,
}

/// A connection after its handshake. Holds its place among the connections that the port allows.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _place: OwnedSemaphorePermit,
    _seat: Option<Seat>,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Accepts until `drain` turns true. Handshakes run beside each other, so that a slow one holds up nobody.
pub(crate) fn accept(
    listener: TcpListener,
    config: ServerConfig,
    places: Places,
    mut drain: Drain,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(16);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let Places { in_all: places, crowd } = places;
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    tokio::spawn(async move {
        let accepting = async {
            loop {
                // Neither semaphore is ever closed.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
                let Ok(turn) = Arc::clone(&handshakes).acquire_owned().await else { break };
                let (stream, address) = match listener.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors, most likely: let some go before trying again.
                        warn!(error = %error, "could not accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let (acceptor, ready, crowd) = (acceptor.clone(), ready.clone(), crowd.clone());
                tokio::spawn(async move {
                    match shake(&acceptor, stream, address, (place, crowd)).await {
                        // The port has been closed meanwhile: nobody is left to serve it.
                        Ok(connection) => drop(ready.send(Ok(connection)).await),
                        Err(error) => debug!(peer = %address, error = %error, "no TLS connection"),
                    }
                    drop(turn);
                });
            }
        };
        tokio::select! {
            () = accepting => {}
            () = drain.wait() => {}
        }
    });
    ReceiverStream::new(connections)
}

async fn shake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    (place, crowd): (OwnedSemaphorePermit, Option<Arc<Crowd>>),
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let certificate: Option<Arc<[u8]>> = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[CertificateDer<'_>]>::first)
        .map(|certificate| Arc::from(certificate.as_ref()));
    let seat = match (&certificate, crowd) {
        (Some(certificate), Some(crowd)) => Some(crowd.sit(certificate)?),
        (None, _) | (_, None) => None,
    };
    Ok(Connection { stream, peer: Peer { address, certificate }, _place: place, _seat: seat })
}

/// How many connections a port has room for.
#[derive(Debug)]
pub(crate) struct Places {
    in_all: Arc<Semaphore>,
    crowd: Option<Arc<Crowd>>,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self { in_all: Arc::new(Semaphore::new(most)), crowd: None }
    }

    /// So many at most for each certificate: one host must not take the places of all.
    pub(crate) fn per_certificate(self, most: usize, counters: Arc<Counters>) -> Self {
        let crowd = Crowd { most, counters, taken: Mutex::default() };
        Self { crowd: Some(Arc::new(crowd)), ..self }
    }
}

/// Who has how many connections.
#[derive(Debug)]
struct Crowd {
    most: usize,
    counters: Arc<Counters>,
    taken: Mutex<BTreeMap<Arc<[u8]>, usize>>,
}

impl Crowd {
    fn sit(self: &Arc<Self>, certificate: &Arc<[u8]>) -> io::Result<Seat> {
        let mut all = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = all.entry(Arc::clone(certificate)).or_default();
        if *taken >= self.most {
            drop(all);
            self.counters.crowded();
            return Err(io::Error::other("too many connections with one certificate"));
        }
        *taken += 1;
        Ok(Seat { crowd: Arc::clone(self), certificate: Arc::clone(certificate) })
    }
}

/// One of the connections of a certificate, for as long as it is open.
#[derive(Debug)]
struct Seat {
    crowd: Arc<Crowd>,
    certificate: Arc<[u8]>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.crowd.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = all.get_mut(&self.certificate) {
            *taken -= 1;
            if *taken == 0 {
                all.remove(&self.certificate);
            }
        }
    }
}
