//! A store on loopback for tests: it answers what a test tells it to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;

use super::Settings;
use super::budget::Budget;
use super::http::Http;

/// What was asked: `GET /path?query`, its headers in lower case, and its body.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, as it was written.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.line.split_once('?')?;
        query.split('&').find_map(|one| one.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    manner: Manner,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Whole,
    /// Ends before as much was sent as was announced.
    Cut,
    /// Never ends.
    Giant,
    /// Nothing is ever sent.
    Silent,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), manner: Manner::Whole }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn cut(self) -> Self {
        Self { manner: Manner::Cut, ..self }
    }

    pub(super) fn giant() -> Self {
        Self { manner: Manner::Giant, ..Self::new(200, " ".repeat(1 << 16)) }
    }

    pub(super) fn silent() -> Self {
        Self { manner: Manner::Silent, ..Self::new(200, "") }
    }
}

/// Listens for as long as the process runs.
pub(super) struct StandIn {
    pub(super) url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    pub(super) fn new(answers: impl Fn(&Asked) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().flatten() {
                let Some(one) = read(&stream) else { continue };
                note.lock().unwrap().push(one.clone());
                let reply = answers(&one);
                if reply.manner == Manner::Silent {
                    // Open, until the test ends.
                    silent.push(stream);
                } else {
                    // Who was answered may be gone.
                    drop(write(stream, &reply));
                }
            }
        });
        Self { url, asked }
    }

    /// A port on which nobody listens.
    pub(super) fn nobody() -> Self {
        Self { url: "http://127.0.0.1:1/".parse().unwrap(), asked: Arc::default() }
    }

    /// All that was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// What a look needs: clients, a budget, and a runtime.
pub(super) fn look<T>(timeout: Duration, run: impl AsyncFnOnce(&Http, &Budget) -> T) -> T {
    let http = Http::new(&Settings::default()).unwrap();
    let runtime = crate::daemon::runtime().unwrap();
    // Made where there is a clock of the runtime.
    runtime.block_on(async { run(&http, &Budget::new(100, timeout)).await })
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim_end().strip_suffix(" HTTP/1.1")?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let is_length = |(name, _): &&(String, String)| name == "content-length";
    let length = headers.iter().find(is_length).and_then(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { line, headers, body: String::from_utf8(body).ok()? })
}

fn write(mut stream: TcpStream, reply: &Reply) -> std::io::Result<()> {
    let announced = reply.body.len() + usize::from(reply.manner == Manner::Cut);
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", reply.status);
    if reply.manner != Manner::Giant {
        head.push_str(&format!("content-length: {announced}\r\n"));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&reply.body)?;
    if reply.manner == Manner::Giant {
        // Until nobody reads any more.
        while stream.write_all(&reply.body).is_ok() {}
    }
    Ok(())
}
