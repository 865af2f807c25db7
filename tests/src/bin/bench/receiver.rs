//! A webhook receiver: takes everything, and says when it came.

use std::time::Instant;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A message, and when it was there.
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) body: String,
}

pub(crate) struct Receiver {
    pub(crate) port: u16,
    messages: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (tell, messages) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tell = tell.clone();
                // The end of a connection is not an error.
                tokio::spawn(async move { drop(serve(stream, &tell).await) });
            }
        });
        Ok(Self { port, messages })
    }

    pub(crate) async fn next(&mut self) -> anyhow::Result<Received> {
        self.messages.recv().await.context("the receiver ended")
    }
}

/// HTTP/1.1 as a client of one kind of request speaks it.
async fn serve(stream: TcpStream, tell: &mpsc::UnboundedSender<Received>) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0_usize;
        loop {
            let mut line = String::new();
            anyhow::ensure!(stream.read_line(&mut line).await? > 0, "it ended");
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let at = Instant::now();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        tell.send(Received { at, body: String::from_utf8_lossy(&body).into_owned() })?;
    }
}
