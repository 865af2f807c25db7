//! Asks `zpool` and `zfs` about pools and datasets: ZFS has no other interface that is stable.
//!
//! By absolute path, without a shell or the caller's environment, in the tools' script format, with a bound on time and
//! size. A pool that is suspended makes them hang; that costs the deadline.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use atrest_proto::model::Reason;

use super::{deadline, trouble};
use crate::snapshot::{Observed, Trouble};
use crate::zfs;

/// Where distributions install the tools, and the makers of ZFS by default.
const DIRECTORIES: &[&str] = &["/usr/sbin", "/sbin", "/usr/local/sbin"];
/// Both may have to read the devices of a sleeping pool.
const LIMIT: Duration = Duration::from_secs(10);
/// A host with 100,000 datasets says a few MiB.
const LARGEST: u64 = 64 * 1024 * 1024;

pub(super) const POOLS: &[&str] = &["list", "-vHLP"];
pub(super) const DATASETS: &[&str] =
    &["get", "-Hp", "-t", "filesystem,volume", "-o", "name,property,value", "encryption,keystatus"];

/// What the tools of this machine say.
pub(super) fn facts() -> Observed<zfs::Facts> {
    let asked = answer("zpool", POOLS).and_then(|pools| Ok((pools, answer("zfs", DATASETS)?)));
    match asked {
        Ok((pools, datasets)) => parsed(&pools, &datasets),
        Err(trouble) => Observed::Unreadable(trouble),
    }
}

/// The facts in the answers of both tools.
pub(super) fn parsed(pools: &[u8], datasets: &[u8]) -> Observed<zfs::Facts> {
    zfs::parse(pools, datasets).map_or_else(
        || {
            let detail = "zpool or zfs answered in a form that this version does not know";
            Observed::Unreadable(Trouble::new(Reason::Unreadable, detail))
        },
        Observed::Known,
    )
}

fn answer(tool: &str, arguments: &[&str]) -> Result<Vec<u8>, Trouble> {
    let program = find(tool).ok_or_else(|| {
        let places = DIRECTORIES.join(", ");
        Trouble::new(Reason::Unreadable, format!("{tool}: not in {places}: install zfsutils"))
    })?;
    run(&program, arguments, LIMIT)
}

/// The tool, where nobody but root can have put it.
fn find(tool: &str) -> Option<PathBuf> {
    let places = DIRECTORIES.iter().map(|directory| Path::new(directory).join(tool));
    places.into_iter().find(|place| {
        std::fs::metadata(place)
            .is_ok_and(|found| found.is_file() && found.uid() == 0 && found.mode() & 0o022 == 0)
    })
}

fn run(program: &Path, arguments: &[&str], limit: Duration) -> Result<Vec<u8>, Trouble> {
    let what = program.display().to_string();
    #[expect(clippy::disallowed_methods, reason = "ZFS cannot be asked otherwise")]
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.map_err(|error| trouble(&error, &what))?;
    let stdout = child.stdout.take();
    let read = deadline::run(limit, &what, move || {
        let mut said = Vec::new();
        let read = stdout.map(|stdout| stdout.take(LARGEST + 1).read_to_end(&mut said));
        read.unwrap_or(Ok(0)).map(|_| said)
    });
    let said = match read {
        Ok(Ok(said)) if u64::try_from(said.len()).unwrap_or(u64::MAX) <= LARGEST => Ok(said),
        Ok(Ok(_)) => Err(Trouble::new(Reason::Unreadable, format!("{what}: an endless answer"))),
        Ok(Err(error)) => Err(trouble(&error, &what)),
        Err(trouble) => Err(trouble),
    };
    let status = end(child, said.is_err(), &what)?;
    let said = said?;
    if status { Ok(said) } else { Err(Trouble::new(Reason::Unreadable, format!("{what} failed"))) }
}

/// Waits for the child, killed first when it said too much or nothing; whether it succeeded.
fn end(mut child: Child, kill: bool, what: &str) -> Result<bool, Trouble> {
    if kill {
        // It may have ended by itself in the meantime.
        drop(child.kill());
    }
    let ended = deadline::run(Duration::from_secs(1), what, move || child.wait());
    ended?.map(|status| status.success()).map_err(|error| trouble(&error, &what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<Vec<u8>, Trouble> {
        run(Path::new("/bin/sh"), &["-c", script], limit)
    }

    #[test]
    fn an_answer_is_read_and_a_failure_is_none() {
        assert_eq!(shell("printf 'a\\tb\\n'", LIMIT).unwrap(), b"a\tb\n");
        assert_eq!(shell("echo half; exit 1", LIMIT).unwrap_err().reason, Reason::Unreadable);
    }

    #[test]
    fn a_tool_that_hangs_is_ended() {
        // Under a name of its own: while it hangs, nothing else of that name is asked.
        let shell = Path::new("/bin/../bin/sh");
        let arguments = ["-c", "exec tail -f /dev/null"];
        let trouble = run(shell, &arguments, Duration::from_millis(50)).unwrap_err();
        assert_eq!(trouble.reason, Reason::Timeout);
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        assert!(answer("no-such-tool", &[]).unwrap_err().detail.contains("no-such-tool"));
    }
}
