//! Collectors of syslog: sockets of UDP, TCP and TLS.

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc;

use anyhow::{Context as _, ensure};
use atrest_proto::model::Outcome;
use atrest_proto::v1::AlertState;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::agent::DEVICE;
use crate::certificates;
use crate::scene::{DEADLINE, Scene};

fn notify(port: u16, transport: &str, more: &str) -> String {
    format!(
        "[[notify.syslog]]\nname = \"siem\"\naddress = \"localhost:{port}\"\ntransport = \"{transport}\"\n{more}"
    )
}

/// A message as the agent's failure makes it: its priority, and the state that it tells.
fn judge(message: &str, priority: u8, state: &str) -> anyhow::Result<()> {
    ensure!(message.starts_with(&format!("<{priority}>1 20")), "{message}");
    let (_, data) = message.split_once(" atrest - volume_encrypted [").context("a header")?;
    for part in [
        format!("state=\"{state}\""),
        "severity=\"high\"".to_owned(),
        "cluster=\"prod\"".to_owned(),
        "host=\"es-1\"".to_owned(),
        format!("devices=\"{DEVICE}\""),
    ] {
        ensure!(data.contains(&part), "no {part} in {message}");
    }
    // A text that is not ASCII begins with a mark, and has no line of its own.
    let (_, text) = data.split_once("] \u{feff}").context("a text")?;
    ensure!(!text.contains(char::is_control), "{text:?}");
    Ok(())
}

/// The one message of a stream, by its length.
fn only(stream: &str) -> anyhow::Result<&str> {
    let (length, message) = stream.split_once(' ').context("a length")?;
    ensure!(length.parse::<usize>()? == message.len(), "{stream}");
    Ok(message)
}

pub(crate) fn udp(scene: &mut Scene) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(DEADLINE))?;
    let mut buffer = vec![0; 65_536];
    let mut next = || -> anyhow::Result<String> {
        let length = socket.recv(&mut buffer)?;
        Ok(String::from_utf8(buffer.get(..length).context("a datagram")?.to_vec())?)
    };
    let address = format!("127.0.0.1:{}", socket.local_addr()?.port());
    let config = notify(0, "udp", "facility = \"local0\"\nmax_message = 1000\n");
    scene.start(&config.replace("localhost:0", &address))?;
    let fired = next()?;
    judge(&fired, 131, "firing")?;
    ensure!(fired.len() <= 1_000, "{}", fired.len());
    scene.told(AlertState::Firing)?;
    scene.says(Outcome::Pass)?;
    judge(&next()?, 133, "resolved")?;
    scene.told(AlertState::Resolved)
}

/// What each connection carried until its end, after `prepare` made a stream of it.
fn listen<S: Read>(
    prepare: impl Fn(std::net::TcpStream) -> anyhow::Result<S> + Send + 'static,
) -> anyhow::Result<(u16, mpsc::Receiver<anyhow::Result<String>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let (send, streams) = mpsc::channel();
    // It ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let read = || -> anyhow::Result<String> {
                let mut said = String::new();
                prepare(stream?)?.read_to_string(&mut said)?;
                Ok(said)
            };
            drop(send.send(read()));
        }
    });
    Ok((port, streams))
}

fn streams(
    scene: &mut Scene,
    config: &str,
    streams: &mpsc::Receiver<anyhow::Result<String>>,
) -> anyhow::Result<()> {
    scene.start(config)?;
    let next = || streams.recv_timeout(DEADLINE).context("no stream came")?;
    judge(only(&next()?)?, 83, "firing")?;
    scene.told(AlertState::Firing)?;
    scene.says(Outcome::Pass)?;
    judge(only(&next()?)?, 85, "resolved")?;
    scene.told(AlertState::Resolved)
}

pub(crate) fn tcp(scene: &mut Scene) -> anyhow::Result<()> {
    let (port, received) = listen(Ok)?;
    streams(scene, &notify(port, "tcp", ""), &received)
}

pub(crate) fn tls(scene: &mut Scene) -> anyhow::Result<()> {
    let certificates = certificates::make(scene, "syslog")?;
    let (certificate, key) = certificates.der;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate)],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)),
        )?;
    let config = Arc::new(config);
    let (port, received) =
        listen(move |tcp| Ok(StreamOwned::new(ServerConnection::new(Arc::clone(&config))?, tcp)))?;
    let more = format!("ca_file = \"{}\"\n", certificates.authority.display());
    streams(scene, &notify(port, "tls", &more), &received)
}

pub(crate) fn not_read(scene: &mut Scene) -> anyhow::Result<()> {
    let refuses = std::sync::atomic::AtomicBool::new(true);
    let (port, received) = listen(move |tcp| {
        if refuses.swap(false, std::sync::atomic::Ordering::Relaxed) {
            // It came, and nobody reads it: the connection is reset.
            tcp.peek(&mut [0])?;
            anyhow::bail!("closed without reading");
        }
        Ok(tcp)
    })?;
    scene.start(&notify(port, "tcp", ""))?;
    let next = || streams_next(&received);
    ensure!(next().is_err());
    judge(only(&next()?)?, 83, "firing")?;
    scene.told(AlertState::Firing)
}

fn streams_next(streams: &mpsc::Receiver<anyhow::Result<String>>) -> anyhow::Result<String> {
    streams.recv_timeout(DEADLINE).context("no stream came")?
}
