//! What both halves say to each other over the socket: a length of four bytes, the highest first, and so much JSON.
//!
//! Both are the same version of the same program: another one is refused, and there is nothing to be kept compatible.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Seen;
use crate::node_api::{Contact, Listener, Talk};
use crate::snapshot::Trouble;

/// What speaks: the program's version, as both halves are one program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// In bytes. The largest request has the answers of all nodes of a host, each of which is bounded by
/// [`crate::node_api::answer::MAX_SIZE`] and has a few KiB.
pub const LARGEST_REQUEST: u32 = 4 << 20;
/// In bytes. A host with 10,000 mounts and 1,000 devices needs about 10 MiB.
pub const LARGEST_RESPONSE: u32 = 512 << 20;

/// Everything that can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Request {
    /// Always the first.
    Hello { version: String },
    /// Find out what there is.
    Begin,
    /// Is this socket of one of the nodes that were found still its own?
    Holds { pid: i32, listener: Listener },
    /// Look at everything that was found, with what the nodes told.
    Look { talk: Talk },
    /// Tell of changes from now on, and of nothing else: [`CHANGED`] and [`ALIVE`].
    Watch,
}

/// The answers, in their order. To [`Request::Hello`] there is none, unless it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    Contacts(Vec<Contact>),
    Holds(Result<(), Trouble>),
    Seen(Box<Seen>),
    /// The last one: why not.
    Refused(String),
}

/// Something changed, or this is the beginning.
pub const CHANGED: u8 = b'!';
/// Nothing did, and somebody is still there.
pub const ALIVE: u8 = b'.';

/// Why a message could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error(transparent)]
    Stream(#[from] io::Error),
    #[error("a message of {length} bytes, of at most {most}")]
    TooLarge { length: u32, most: u32 },
    #[error("{0}")]
    Senseless(#[from] serde_json::Error),
}

/// Writes a message without holding its text in memory, which may be large: it is made twice, once to be counted.
pub fn write(to: &mut impl Write, message: &impl Serialize, most: u32) -> io::Result<()> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, message)?;
    let length = u32::try_from(counter.0).ok().filter(|length| *length <= most);
    let length = length.ok_or_else(|| {
        io::Error::other(format!("a message of {} bytes, of at most {most}", counter.0))
    })?;
    let mut to = io::BufWriter::with_capacity(64 << 10, to);
    to.write_all(&length.to_be_bytes())?;
    serde_json::to_writer(&mut to, message)?;
    to.flush()
}

/// Reads a message of at most `most` bytes.
pub fn read<T: DeserializeOwned>(from: &mut impl Read, most: u32) -> Result<T, ReadError> {
    let mut length = [0_u8; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > most {
        return Err(ReadError::TooLarge { length, most });
    }
    let mut body = io::BufReader::with_capacity(64 << 10, from.take(u64::from(length)));
    let message = serde_json::from_reader(&mut body)?;
    Ok(message)
}

/// Counts what is written to it.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let listener =
            Listener { address: "127.0.0.1:9200".parse().unwrap(), inode: 7, descriptor: 3 };
        let said = [
            Request::Hello { version: VERSION.to_owned() },
            Request::Begin,
            Request::Holds { pid: 1, listener },
            Request::Look { talk: Talk::Nobody },
            Request::Watch,
        ];
        let mut bytes = Vec::new();
        for request in &said {
            write(&mut bytes, request, LARGEST_REQUEST).unwrap();
        }
        let mut rest = bytes.as_slice();
        for request in said {
            assert_eq!(read::<Request>(&mut rest, LARGEST_REQUEST).unwrap(), request);
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_too_large_is_neither_written_nor_read() {
        let long = Request::Hello { version: "x".repeat(100) };
        assert!(write(&mut Vec::new(), &long, 100).is_err());
        let mut bytes = Vec::new();
        write(&mut bytes, &long, 200).unwrap();
        let read = read::<Request>(&mut bytes.as_slice(), 100);
        assert!(matches!(read, Err(ReadError::TooLarge { .. })), "{read:?}");
    }

    #[test]
    fn what_is_not_in_the_set_is_not_understood() {
        for text in
            [r#"{"Read":{"path":"/etc/shadow"}}"#, r#"{"Look":{"talk":"Nobody","path":"/"}}"#, "1"]
        {
            let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
            bytes.extend(text.as_bytes());
            let read = read::<Request>(&mut bytes.as_slice(), LARGEST_REQUEST);
            assert!(matches!(read, Err(ReadError::Senseless(_))), "{text}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            drop(read::<Request>(&mut bytes.as_slice(), LARGEST_REQUEST));
        }
    }
}
