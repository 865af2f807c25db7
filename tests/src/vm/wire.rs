//! A socket to QEMU that is read by lines and by lengths, never beyond a deadline.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// One end of a socket pair whose other end QEMU holds.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl Wire {
    /// Takes the socket over.
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Sends all of it.
    pub(super) fn write(&mut self, bytes: &[u8], until: Instant) -> Result<()> {
        self.stream.set_write_timeout(Some(left(until)?))?;
        self.stream.write_all(bytes).context("cannot send to the machine")
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self, until: Instant) -> Result<String> {
        let line = self.until_byte(b'\n', until)?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Exactly `size` bytes.
    pub(super) fn exactly(&mut self, size: usize, until: Instant) -> Result<Vec<u8>> {
        while self.unread.len() < size {
            self.fill(until)?;
        }
        Ok(self.unread.drain(..size).collect())
    }

    /// Hands over everything up to the next zero byte, as it comes.
    pub(super) fn up_to_zero(&mut self, until: Instant, mut each: impl FnMut(&[u8])) -> Result<()> {
        loop {
            let zero = self.unread.iter().position(|byte| *byte == 0);
            let now: Vec<u8> = self.unread.drain(..zero.unwrap_or(self.unread.len())).collect();
            each(&now);
            if zero.is_some() {
                self.unread.drain(..1);
                return Ok(());
            }
            self.fill(until)?;
        }
    }

    fn until_byte(&mut self, end: u8, until: Instant) -> Result<Vec<u8>> {
        let mut seen = 0;
        loop {
            let new = self.unread.iter().skip(seen).position(|byte| *byte == end);
            if let Some(at) = new {
                let line = self.unread.drain(..seen + at).collect();
                self.unread.drain(..1);
                return Ok(line);
            }
            seen = self.unread.len();
            self.fill(until)?;
        }
    }

    fn fill(&mut self, until: Instant) -> Result<()> {
        self.stream.set_read_timeout(Some(left(until)?))?;
        let mut buffer = [0; 16384];
        match self.stream.read(&mut buffer) {
            Ok(0) => bail!("the machine ended"),
            Ok(count) => {
                self.unread.extend(buffer.iter().take(count));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => bail!("no answer in time"),
            Err(error) => Err(error).context("cannot read from the machine"),
        }
    }
}

fn left(until: Instant) -> Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    ensure!(!left.is_zero(), "no answer in time");
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn lines_lengths_and_streams_share_one_socket() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let mut wire = Wire::new(near);
        far.write_all(b"one\ntwo\nabcXYZ\0rest\n").unwrap();
        assert_eq!(wire.line(soon()).unwrap(), "one");
        assert_eq!(wire.line(soon()).unwrap(), "two");
        assert_eq!(wire.exactly(3, soon()).unwrap(), b"abc");
        let mut streamed = Vec::new();
        wire.up_to_zero(soon(), |bytes| streamed.extend_from_slice(bytes)).unwrap();
        assert_eq!(streamed, b"XYZ");
        assert_eq!(wire.line(soon()).unwrap(), "rest");
    }

    #[test]
    fn silence_and_the_end_are_errors_and_differ() {
        let (far, near) = UnixStream::pair().unwrap();
        let mut wire = Wire::new(near);
        let silent = wire.line(Instant::now() + Duration::from_millis(20)).unwrap_err();
        assert!(silent.to_string().contains("in time"), "{silent}");
        drop(far);
        let ended = wire.line(soon()).unwrap_err();
        assert!(ended.to_string().contains("ended"), "{ended}");
    }
}
