//! Runs the host's own programs (apt, dpkg, kmod, ldd) with a deadline and keeps what they print.
//! The one place of the VM harness, besides the machine itself, that starts processes.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Where Debian keeps programs that an unprivileged user's `PATH` leaves out; the last is for those that
/// `drbdsetup` would start for the kernel's own version of DRBD.
const SYSTEM_PATH: [&str; 7] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/lib/drbd"];

/// Finds a program in `PATH` and in the system directories that a user's `PATH` may lack.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_PATH.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}

/// One program to run to its end.
#[derive(Debug)]
pub(super) struct Job<'a> {
    program: &'a str,
    args: Vec<&'a OsStr>,
    dir: Option<&'a Path>,
    limit: Duration,
}

impl<'a> Job<'a> {
    /// A job that must end within a minute; see [`Job::limit`].
    pub(super) fn new(program: &'a str) -> Self {
        Self { program, args: Vec::new(), dir: None, limit: Duration::from_mins(1) }
    }

    /// Adds an argument.
    #[must_use]
    pub(super) fn arg(mut self, arg: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        self.args.push(arg.as_ref());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub(super) fn args<const N: usize>(mut self, args: [&'a str; N]) -> Self {
        self.args.extend(args.map(OsStr::new));
        self
    }

    /// Runs in this directory.
    #[must_use]
    pub(super) fn dir(mut self, dir: &'a Path) -> Self {
        self.dir = Some(dir);
        self
    }

    /// Gives it this long.
    #[must_use]
    pub(super) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it; its standard output, or an error with its standard error when it fails.
    pub(super) fn stdout(self) -> Result<Vec<u8>> {
        let path = find(self.program).with_context(|| format!("no program {}", self.program))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the harness prepares a guest with host tools"
        )]
        let mut command = Command::new(path);
        command
            .args(&self.args)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(dir) = self.dir {
            command.current_dir(dir);
        }
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program))?;
        finish(child, self.limit).with_context(|| format!("{} failed", self.program))
    }

    /// Like [`Job::stdout`], as text.
    pub(super) fn text(self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.stdout()?).into_owned())
    }
}

/// Waits until the child has closed its outputs and ended, or kills it at the limit.
fn finish(mut child: Child, limit: Duration) -> Result<Vec<u8>> {
    let until = Instant::now() + limit;
    let (send, receive) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
    ];
    for (which, stream) in streams.into_iter().enumerate() {
        let send = send.clone();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stream.map_or(Ok(0), |mut stream| stream.read_to_end(&mut bytes));
            // Nobody listens any more once the limit has passed.
            send.send((which, read.map(|_| bytes))).ok();
        });
    }
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let left = until.saturating_duration_since(Instant::now());
        let Ok((which, bytes)) = receive.recv_timeout(left) else {
            child.kill().context("cannot kill it after its limit")?;
            child.wait().context("cannot reap it after its limit")?;
            bail!("did not end within {limit:?}");
        };
        let bytes = bytes.context("cannot read its output")?;
        if which == 0 { stdout = bytes } else { stderr = bytes }
    }
    let status = child.wait().context("cannot wait for it")?;
    if !status.success() {
        bail!("{status}: {}", String::from_utf8_lossy(&stderr).trim());
    }
    Ok(stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_failure_and_limit_are_told_apart() {
        let text = Job::new("sh").arg("-c").arg("echo out; echo err >&2").text().unwrap();
        assert_eq!(text, "out\n");

        let failed = Job::new("sh").arg("-c").arg("echo why >&2; exit 3").stdout().unwrap_err();
        assert!(format!("{failed:#}").contains("why"), "{failed:#}");

        let endless =
            Job::new("sh").arg("-c").arg("exec sleep 60").limit(Duration::from_millis(50));
        let slow = endless.stdout().unwrap_err();
        assert!(format!("{slow:#}").contains("did not end within"), "{slow:#}");
    }

    #[test]
    fn programs_outside_the_path_of_a_user_are_found() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program-anywhere"), None);
    }
}
