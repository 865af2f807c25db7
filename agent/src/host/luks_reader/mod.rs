//! Reads the LUKS header of a block device without giving the device to anybody.
//!
//! libcryptsetup repairs damaged headers on disk and is not thread-safe, and headers are hostile input. So
//! this process copies the metadata, and only that, into private memory, and a short-lived child without
//! privileges, network or time lets libcryptsetup parse the copy. The device is opened read-only, never locked.

mod child;
mod copy;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use atrest_proto::model::Reason;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

pub use child::child_main;
use copy::{Found, PrivateCopy};

use crate::luks::{self, Header};
use crate::snapshot::{Observed, Trouble};

/// The hidden subcommand that makes the program the child of this module. See [`child_main`].
pub const SUBCOMMAND: &str = "__luks-header";

/// How long reading one header may take: every try of the child, and the device itself.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A damaged header is copied again, as often as this, while it still changes.
const TRIES: u32 = 2;

/// The program that parses a copy, and how long it may take.
#[derive(Debug, Clone)]
pub struct Helper {
    program: PathBuf,
    limit: Duration,
}

impl Helper {
    /// This very program, even when its file was replaced since it started.
    pub fn own() -> Self {
        Self::at("/proc/self/exe")
    }

    /// The agent's program at another place, for a process that is not the agent, such as a test.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), limit: Duration::from_secs(3) }
    }
}

/// What the child says, as JSON on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Header(Box<Header>),
    /// Why libcryptsetup refused the header.
    Refused(String),
}

/// The LUKS header at the start of what `open` gives, a block device of `size` bytes.
///
/// [`Observed::Absent`] when nothing there claims to be LUKS. `open` must open read-only.
pub fn read(open: impl FnOnce() -> io::Result<File>, size: u64) -> Observed<Header> {
    read_with(&Helper::own(), open, size)
}

/// The same with another program for the child.
pub fn read_with(
    helper: &Helper,
    open: impl FnOnce() -> io::Result<File>,
    size: u64,
) -> Observed<Header> {
    let unreadable =
        |detail: String| Observed::Unreadable(Trouble::new(Reason::Unreadable, detail));
    let device = match open() {
        Ok(device) => device,
        Err(error) => return Observed::Unreadable(super::trouble(&error, &"opening it")),
    };
    let mut previous: Option<PrivateCopy> = None;
    let mut tries = 1;
    loop {
        let copy = match copy::take(&device, size) {
            Ok(Found::Nothing) => return Observed::Absent,
            Ok(Found::Unsupported(version)) => {
                return unreadable(format!(
                    "a LUKS header of version {version}, which is not known"
                ));
            }
            Ok(Found::Header(copy)) => copy,
            Err(error) => {
                return Observed::Unreadable(super::trouble(&error, &"reading the header"));
            }
        };
        let answer = match parse(&copy, helper) {
            Ok(answer) => answer,
            Err(trouble) => return Observed::Unreadable(trouble),
        };
        let is_clean = matches!(&answer, Answer::Header(header) if header.damaged.is_empty());
        // A header that is just being written looks damaged for a moment: believe it when it stays so.
        if !is_clean
            && tries < TRIES
            && !previous.is_some_and(|previous| previous.is_same_as(&copy))
        {
            previous = Some(copy);
            tries += 1;
            continue;
        }
        return match answer {
            Answer::Header(header) => Observed::Known(*header),
            Answer::Refused(why) => unreadable(why),
        };
    }
}

/// Lets a child parse the copy.
fn parse(copy: &PrivateCopy, helper: &Helper) -> Result<Answer, Trouble> {
    let failed = |doing: &str, error: &dyn Display| {
        Trouble::new(Reason::Unreadable, format!("{doing} the reader of LUKS headers: {error}"))
    };
    let input = copy.handle().map_err(|error| failed("copying for", &error))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "libcryptsetup runs in a child of its own, see the module"
    )]
    let mut child = Command::new(&helper.program)
        .arg(SUBCOMMAND)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(input))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed("starting", &error))?;
    let output = collect(&mut child, helper.limit);
    // Standard output is closed only by the end of the child, so that this takes nothing from one that answered.
    drop(child.kill());
    let status = child.wait().map_err(|error| failed("waiting for", &error))?;
    let output = output?;
    if output.is_empty() {
        return Err(failed("no answer from", &status));
    }
    let answer =
        serde_json::from_slice(&output).map_err(|error| failed("senseless answer from", &error))?;
    match answer {
        Answer::Header(header) => {
            let mut header =
                luks::checked(*header).map_err(|error| failed("refused answer of", &error))?;
            // Whatever libcryptsetup repaired in the copy is damaged on the device.
            header.damaged = copy.changed().map_err(|error| failed("comparing after", &error))?;
            Ok(Answer::Header(Box::new(header)))
        }
        Answer::Refused(why) => Ok(Answer::Refused(luks::clean(&why))),
    }
}

/// Everything that the child writes, within bounds of time and size.
fn collect(child: &mut Child, limit: Duration) -> Result<Vec<u8>, Trouble> {
    let trouble = |reason, detail: String| {
        Trouble::new(reason, format!("the reader of LUKS headers {detail}"))
    };
    let failed =
        |error: &dyn Display| trouble(Reason::Unreadable, format!("cannot be heard: {error}"));
    let Some(mut stdout) = child.stdout.take() else { return Err(failed(&"no pipe")) };
    let deadline = Instant::now() + limit;
    let mut output = Vec::new();
    let mut chunk = [0_u8; 8192];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut waiting = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, timeout) {
            Ok(0) => return Err(trouble(Reason::Timeout, format!("took longer than {limit:?}"))),
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(failed(&error)),
        }
        match stdout.read(&mut chunk) {
            Ok(0) => return Ok(output),
            Ok(count) => output.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(&error)),
        }
        if output.len() > luks::MAX_JSON {
            return Err(trouble(Reason::Unreadable, "says more than a header can hold".to_owned()));
        }
    }
}
