//! A collector of syslog (RFC 5424): over UDP (RFC 5426), TCP with octet counting (RFC 6587), or TLS (RFC 5425).
//!
//! No collector says that it took a message. Over TCP and TLS a connection is made for each notice, and is only
//! taken for well when the collector closes it after us: what it did not read would make it a reset.

mod format;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

use super::open::{Unusable, authority};
use super::{NotTaken, Notice, Notifier};
use crate::clock::Clock;
use crate::config::{self, Transport};
use crate::logging::chain;
use crate::serve::hostname;
use format::Header;

/// How many messages one connection carries.
const TOGETHER: usize = 500;

/// A collector.
#[derive(Debug)]
pub struct Syslog {
    name: String,
    max_attempts: u32,
    timeout: Duration,
    host: String,
    port: u16,
    carrier: Carrier,
    header: Header,
    max_message: usize,
}

enum Carrier {
    Udp,
    Tcp,
    Tls(TlsConnector, ServerName<'static>),
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Udp => "Udp",
            Self::Tcp => "Tcp",
            Self::Tls(..) => "Tls",
        })
    }
}

impl Syslog {
    pub(super) fn open(
        notifier: &config::Notifier,
        syslog: &config::Syslog,
    ) -> Result<Self, Unusable> {
        let carrier = match syslog.transport {
            Transport::Udp => Carrier::Udp,
            Transport::Tcp => Carrier::Tcp,
            Transport::Tls => {
                let name = ServerName::try_from(syslog.host.clone())
                    .map_err(|_| rustls::Error::General("not the name of a server".to_owned()))?;
                Carrier::Tls(TlsConnector::from(Arc::new(tls(syslog)?)), name)
            }
        };
        Ok(Self {
            name: notifier.name.clone(),
            max_attempts: notifier.max_attempts,
            timeout: notifier.timeout,
            host: syslog.host.clone(),
            port: syslog.port,
            carrier,
            header: Header::new(syslog.facility, &syslog.sd_id, &hostname()),
            max_message: syslog.max_message,
        })
    }

    async fn send(&self, messages: &[String]) -> std::io::Result<()> {
        let address = (self.host.as_str(), self.port);
        match &self.carrier {
            Carrier::Udp => datagrams(address, messages).await,
            Carrier::Tcp => stream(TcpStream::connect(address).await?, messages).await,
            Carrier::Tls(connector, name) => {
                let tcp = TcpStream::connect(address).await?;
                stream(connector.connect(name.clone(), tcp).await?, messages).await
            }
        }
    }
}

fn tls(syslog: &config::Syslog) -> Result<ClientConfig, Unusable> {
    let builder = ClientConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()?;
    let Some(file) = &syslog.ca_file else {
        let verifier = rustls_platform_verifier::Verifier::new(crate::tls::provider())?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        return Ok(builder.with_no_client_auth());
    };
    let pem = authority(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate =
            certificate.map_err(|_| Unusable::content(file, "it must hold certificates as PEM"))?;
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        return Err(Unusable::content(file, "it must hold certificates as PEM"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// One for each message.
async fn datagrams(address: (&str, u16), messages: &[String]) -> std::io::Result<()> {
    let mut last = None;
    // Where a name has several addresses, the first that a datagram can be sent to.
    for address in tokio::net::lookup_host(address).await? {
        match datagrams_to(address, messages).await {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::Error::other("the name has no address")))
}

async fn datagrams_to(address: std::net::SocketAddr, messages: &[String]) -> std::io::Result<()> {
    let any: std::net::SocketAddr = if address.is_ipv4() {
        (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    for message in messages {
        socket.send(message.as_bytes()).await?;
    }
    Ok(())
}

/// Each message after its length, and then the end of the stream, to be answered by the end of theirs.
async fn stream<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    messages: &[String],
) -> std::io::Result<()> {
    for message in messages {
        stream.write_all(format!("{} {message}", message.len()).as_bytes()).await?;
    }
    stream.flush().await?;
    stream.shutdown().await?;
    let mut ignored = [0_u8; 256];
    loop {
        match stream.read(&mut ignored).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // TLS that is ended without saying so is ended all the same: all that we said was read.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[async_trait]
impl Notifier for Syslog {
    fn name(&self) -> &str {
        &self.name
    }

    fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    fn together(&self) -> usize {
        TOGETHER
    }

    fn is_for_people(&self) -> bool {
        false
    }

    async fn deliver(&self, notice: &Notice<'_>, clock: &Clock) -> Result<(), NotTaken> {
        let now = clock.now();
        let messages: Vec<_> = notice
            .messages
            .iter()
            .map(|message| self.header.message(message, now, self.max_message))
            .collect();
        match tokio::time::timeout(self.timeout, self.send(&messages)).await {
            Ok(sent) => sent.map_err(|error| NotTaken::because(chain(&error))),
            Err(_) => Err(NotTaken::because("did not end the connection in time")),
        }
    }
}
