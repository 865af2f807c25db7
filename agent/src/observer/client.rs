//! The half that judges and talks, at the socket of the half that looks.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::wire::{self, ReadError, Request, Response};
use super::{Lost, Observer, Seen};
use crate::node_api::{Contact, Listener, Talk};
use crate::snapshot::Trouble;

/// A host with dead disks takes its deadlines one after the other. Who needs longer than this does not come to an end.
const PATIENCE: Duration = Duration::from_mins(10);
/// The half that looks says at least so often that it is there, with time to spare for a busy host.
const SILENCE: Duration = Duration::from_mins(3);

/// Where the half that looks listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(PathBuf);

impl Address {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn lost(&self, source: io::Error) -> Lost {
        Lost::Connection { path: self.0.display().to_string(), source }
    }

    /// Connects, and says who speaks.
    fn connect(&self) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.0)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let hello = Request::Hello { version: wire::VERSION.to_owned() };
        wire::write(&mut stream, &hello, wire::LARGEST_REQUEST)?;
        Ok(stream)
    }

    /// Asks to be told of changes. Waits for nothing: who is not there or refuses is noticed by the first word.
    pub fn subscribe(&self) -> io::Result<Subscription> {
        let mut stream = self.connect()?;
        wire::write(&mut stream, &Request::Watch, wire::LARGEST_REQUEST)?;
        stream.flush()?;
        stream.set_nonblocking(true)?;
        Ok(Subscription { stream: tokio::net::UnixStream::from_std(stream)? })
    }
}

/// What the half that looks says of changes.
#[derive(Debug)]
pub struct Subscription {
    stream: tokio::net::UnixStream,
}

impl Subscription {
    /// Something changed; `None` when nothing more will be told. May be dropped and called again.
    pub async fn next(&mut self) -> Option<()> {
        loop {
            let mut word = [0_u8; 1];
            // One byte is read whole or not at all.
            let read = tokio::time::timeout(SILENCE, self.stream.read(&mut word)).await;
            match (read, word) {
                (Ok(Ok(1)), [wire::CHANGED]) => return Some(()),
                (Ok(Ok(1)), [wire::ALIVE]) => {}
                _ => return None,
            }
        }
    }
}

/// Asks the process that looks. Connects when it is needed, and anew after anything went wrong.
#[derive(Debug)]
pub struct Remote {
    address: Address,
    stream: Option<UnixStream>,
}

impl Remote {
    pub const fn new(address: Address) -> Self {
        Self { address, stream: None }
    }

    fn ask(&mut self, request: &Request) -> Result<Response, Lost> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.address.connect().map_err(|error| self.address.lost(error))?,
        };
        let written = wire::write(&mut stream, request, wire::LARGEST_REQUEST);
        // Who refuses says why, and reads no more.
        match wire::read(&mut stream, wire::LARGEST_RESPONSE) {
            Ok(Response::Refused(why)) => Err(Lost::Refused(why)),
            Ok(response) => {
                written.map_err(|error| self.address.lost(error))?;
                self.stream = Some(stream);
                Ok(response)
            }
            Err(ReadError::Stream(error)) => Err(self.address.lost(written.err().unwrap_or(error))),
            Err(error @ (ReadError::TooLarge { .. } | ReadError::Senseless(_))) => {
                Err(Lost::Senseless(error.to_string()))
            }
        }
    }

    fn odd(&mut self) -> Lost {
        self.stream = None;
        Lost::Senseless("it answers something else than was asked".to_owned())
    }
}

impl Observer for Remote {
    fn begin(&mut self) -> Result<Vec<Contact>, Lost> {
        let answer = match self.ask(&Request::Begin) {
            // It was started anew since: what it knew before was good for nothing any more.
            Err(Lost::Connection { .. }) => self.ask(&Request::Begin)?,
            answer => answer?,
        };
        match answer {
            Response::Contacts(contacts) => Ok(contacts),
            Response::Holds(_) | Response::Seen(_) | Response::Refused(_) => Err(self.odd()),
        }
    }

    fn holds(&mut self, pid: i32, listener: Listener) -> Result<(), Trouble> {
        match self.ask(&Request::Holds { pid, listener }) {
            Ok(Response::Holds(answer)) => answer,
            Ok(Response::Contacts(_) | Response::Seen(_) | Response::Refused(_)) => {
                Err(trouble(&self.odd()))
            }
            Err(lost) => Err(trouble(&lost)),
        }
    }

    fn look(&mut self, talk: Talk) -> Result<Seen, Lost> {
        match self.ask(&Request::Look { talk })? {
            Response::Seen(seen) => Ok(*seen),
            Response::Contacts(_) | Response::Holds(_) | Response::Refused(_) => Err(self.odd()),
        }
    }
}

fn trouble(lost: &Lost) -> Trouble {
    let gap = lost.gap();
    Trouble::new(gap.reason, format!("{}: {}", gap.subject, gap.detail))
}
