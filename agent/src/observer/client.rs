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
    fn connect(&self, patience: Duration) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.0)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let hello = Request::Hello { version: wire::VERSION.to_owned() };
        wire::write(&mut stream, &hello, wire::LARGEST_REQUEST)?;
        Ok(stream)
    }

    /// Asks to be told of changes. Waits for nothing: who is not there or refuses is noticed by the first word.
    pub fn subscribe(&self) -> io::Result<Subscription> {
        let mut stream = self.connect(PATIENCE)?;
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
    patience: Duration,
    stream: Option<UnixStream>,
}

impl Remote {
    pub const fn new(address: Address) -> Self {
        Self::patient(address, PATIENCE)
    }

    /// One that waits so long for each answer.
    const fn patient(address: Address, patience: Duration) -> Self {
        Self { address, patience, stream: None }
    }

    fn ask(&mut self, request: &Request) -> Result<Response, Lost> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                self.address.connect(self.patience).map_err(|error| self.address.lost(error))?
            }
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A socket whose other end does this with each connection.
    fn end(attend: impl Fn(UnixStream) + Send + 'static) -> (tempfile::TempDir, Address) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || listener.incoming().flatten().for_each(attend));
        (directory, Address::new(path))
    }

    fn hello(mut stream: &UnixStream) {
        let said: Request = wire::read(&mut stream, wire::LARGEST_REQUEST).unwrap();
        assert_eq!(said, Request::Hello { version: wire::VERSION.to_owned() });
    }

    #[test]
    fn one_that_hangs_is_lost_and_is_connected_to_anew() {
        let held = std::sync::Mutex::new(Vec::new());
        let (_directory, address) = end(move |stream| held.lock().unwrap().push(stream));
        let mut remote = Remote::patient(address, Duration::from_millis(20));
        let lost = remote.begin().unwrap_err();
        assert!(matches!(lost, Lost::Connection { .. }), "{lost}");
        assert!(remote.stream.is_none());
        assert!(lost.gap().remedy.contains("atrest-observer"));
    }

    /// An end that closes before it was asked would be one that is gone.
    fn until_hung_up(mut stream: UnixStream) {
        io::copy(&mut stream, &mut io::sink()).ok();
    }

    #[test]
    fn one_that_is_not_there_or_makes_no_sense_is_lost() {
        let nowhere = Address::new("/nowhere/socket");
        assert!(matches!(Remote::new(nowhere).begin(), Err(Lost::Connection { .. })));
        let (_directory, address) = end(|mut stream| {
            hello(&stream);
            stream.write_all(b"\0\0\0\x02xx").unwrap();
            until_hung_up(stream);
        });
        assert!(matches!(Remote::new(address).begin(), Err(Lost::Senseless(_))));
        let (_directory, address) = end(|mut stream| {
            hello(&stream);
            let odd = Response::Holds(Ok(()));
            wire::write(&mut stream, &odd, wire::LARGEST_RESPONSE).unwrap();
            until_hung_up(stream);
        });
        let mut remote = Remote::new(address);
        assert!(matches!(remote.begin(), Err(Lost::Senseless(_))));
        assert!(remote.stream.is_none());
    }

    #[test]
    fn one_that_was_started_anew_is_asked_again() {
        let (_directory, address) = end(|mut stream| {
            hello(&stream);
            // Answers once, and is gone.
            if wire::read::<Request>(&mut stream, wire::LARGEST_REQUEST).is_ok() {
                let answer = Response::Contacts(Vec::new());
                wire::write(&mut stream, &answer, wire::LARGEST_RESPONSE).unwrap();
            }
        });
        let mut remote = Remote::new(address);
        for _ in 0..3 {
            assert_eq!(remote.begin().unwrap(), []);
        }
    }

    #[tokio::test]
    async fn words_are_heard_until_one_is_none() {
        let (_directory, address) = end(|mut stream| {
            hello(&stream);
            let said: Request = wire::read(&mut stream, wire::LARGEST_REQUEST).unwrap();
            assert_eq!(said, Request::Watch);
            stream.write_all(&[wire::ALIVE, wire::CHANGED, wire::ALIVE, b'?']).unwrap();
        });
        let mut heard = address.subscribe().unwrap();
        assert_eq!(heard.next().await, Some(()));
        assert_eq!(heard.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_the_end() {
        let held = std::sync::Mutex::new(Vec::new());
        let (_directory, address) = end(move |stream| held.lock().unwrap().push(stream));
        assert_eq!(address.subscribe().unwrap().next().await, None);
    }
}
