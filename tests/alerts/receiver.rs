//! A receiver of HTTP on loopback that keeps what it gets, and answers as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde_json::Value;

use crate::scene::DEADLINE;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// By lower-case names.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status line without its version, header lines, and a body.
    Says(&'static str, Vec<String>, String),
    /// Closes in the middle of an answer.
    Cuts,
    /// Closes without a word.
    HangsUp,
    /// Says nothing, and keeps the connection.
    Waits,
}

impl Reply {
    pub(crate) fn status(line: &'static str) -> Self {
        Self::Says(line, Vec::new(), String::new())
    }
}

type Script = dyn FnMut(&Request) -> Reply + Send;

pub(crate) struct Receiver {
    pub(crate) port: u16,
    requests: mpsc::Receiver<Request>,
}

impl Receiver {
    pub(crate) fn start(
        script: impl FnMut(&Request) -> Reply + Send + 'static,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (send, requests) = mpsc::channel();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
        // Both threads end with the process: a connection that is kept open has nobody to close it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (send, script) = (send.clone(), Arc::clone(&script));
                std::thread::spawn(move || drop(serve(stream, &send, &script)));
            }
        });
        Ok(Self { port, requests })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn next(&self) -> anyhow::Result<Request> {
        self.requests.recv_timeout(DEADLINE).context("nothing was received")
    }

    /// Nothing that was not looked at yet.
    pub(crate) fn is_idle(&self) -> bool {
        self.requests.try_recv().is_err()
    }
}

fn serve(
    stream: TcpStream,
    send: &mpsc::Sender<Request>,
    script: &Mutex<Box<Script>>,
) -> anyhow::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let Some(request) = read(&mut reader)? else { return Ok(()) };
        let reply = {
            let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
            script(&request)
        };
        // A test that has seen enough has gone.
        drop(send.send(request));
        match reply {
            Reply::Says(status, headers, body) => {
                let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
                write!(
                    writer,
                    "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}",
                    body.len()
                )?;
            }
            Reply::Cuts => {
                write!(writer, "HTTP/1.1 20")?;
                return Ok(());
            }
            Reply::HangsUp => return Ok(()),
            // Until the client has had enough.
            Reply::Waits => {}
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).context("a request line")?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(Ok(0), |length| length.parse())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body)?;
    Ok(Some(Request { path, headers, body }))
}
