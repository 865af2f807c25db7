//! Sends orders to the guest's init and takes its answers; `guest/init.sh` is the other side.

use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::wire::Wire;

/// What a script in the guest printed and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// How many lines an error shows of what a script said.
const LAST_LINES: usize = 12;

impl Output {
    /// The standard output of a script that succeeded, else an error with what it said.
    pub fn success(self) -> Result<String> {
        if self.status != 0 {
            let lines: Vec<_> = self.stderr.lines().collect();
            let last = lines.len().saturating_sub(LAST_LINES);
            let last = lines.get(last..).unwrap_or_default().join("\n");
            bail!("exit status {}: {last}", self.status);
        }
        Ok(self.stdout)
    }
}

/// The line to the guest's init.
#[derive(Debug)]
pub(super) struct Guest {
    wire: Wire,
}

impl Guest {
    /// Takes the host's end of the guest's port.
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { wire: Wire::new(stream) }
    }

    /// Waits until init has started.
    pub(super) fn ready(&mut self, until: Instant) -> Result<()> {
        match self.wire.line(until)?.as_str() {
            "ready" => Ok(()),
            line => bail!("expected init to be ready, got {line:?}"),
        }
    }

    /// Runs a shell script (`sh -eu`) to its end.
    pub(super) fn run(&mut self, script: &str, until: Instant) -> Result<Output> {
        self.order("run", script, until)?;
        let done = self.done(until)?;
        let stdout = self.wire.exactly(done.out, until)?;
        let stderr = self.wire.exactly(done.err, until)?;
        Ok(Output {
            status: done.status,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }

    /// Runs a shell script and hands over what it prints, both streams as one, while it runs.
    /// Returns its exit status. The script must not print a zero byte.
    pub(super) fn stream(
        &mut self,
        script: &str,
        until: Instant,
        each: impl FnMut(&[u8]),
    ) -> Result<i32> {
        self.order("stream", script, until)?;
        self.wire.up_to_zero(until, each)?;
        Ok(self.done(until)?.status)
    }

    fn order(&mut self, verb: &str, script: &str, until: Instant) -> Result<()> {
        let order = format!("{verb} {}\n{script}", script.len());
        self.wire.write(order.as_bytes(), until)
    }

    fn done(&mut self, until: Instant) -> Result<Done> {
        let line = self.wire.line(until)?;
        Done::parse(&line).with_context(|| format!("not an answer of init: {line:?}"))
    }
}

/// The line that ends an order.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    status: i32,
    out: usize,
    err: usize,
}

impl Done {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.strip_prefix("done ")?.split(' ');
        let status = fields.next()?.parse().ok()?;
        let out = fields.next()?.parse().ok()?;
        let err = fields.next()?.parse().ok()?;
        fields.next().is_none().then_some(Self { status, out, err })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_has_a_status_and_both_outputs() {
        let (mut far, near) = UnixStream::pair().unwrap();
        far.write_all(b"ready\ndone 7 4 3\nout\nerr").unwrap();
        let until = Instant::now() + Duration::from_secs(5);
        let mut guest = Guest::new(near);
        guest.ready(until).unwrap();
        let output = guest.run("exit 7", until).unwrap();
        let expected = Output { status: 7, stdout: "out\n".into(), stderr: "err".into() };
        assert_eq!(output, expected);
        assert!(output.success().unwrap_err().to_string().contains("exit status 7: err"));
    }

    #[test]
    fn anything_else_is_no_answer() {
        for line in ["", "done", "done 1 2", "done 1 2 3 4", "done x 0 0", "ready"] {
            assert_eq!(Done::parse(line), None, "{line:?}");
        }
    }
}
