//! A process that can be left behind.
//!
//! A read from a dead disk may hang in the kernel where nothing can end it, and a process does not end before all its
//! threads do. So the work of a command is done by a child; this process hands its answer on as it comes, and ends as soon
//! as the child says that it has answered, whatever the child's threads still wait for.
#![expect(unsafe_code, reason = "fork has no safe form")]

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdout, fork, getppid, pipe2};

/// What is read at once.
const CHUNK: usize = 64 * 1024;

/// Does `work` in a child, whose standard output and error become this process's own; returns the code that it returns.
///
/// `lost` is returned when the child ends without an answer, as after a panic. No other thread may have been started yet.
pub(crate) fn run(work: impl FnOnce() -> u8, lost: u8) -> u8 {
    match divided(work, lost) {
        Ok(code) => code,
        Err(error) => {
            // Nowhere to say it when stderr is gone.
            drop(writeln!(io::stderr(), "atrest-agent: no process for the work: {error}"));
            lost
        }
    }
}

fn divided(work: impl FnOnce() -> u8, lost: u8) -> nix::Result<u8> {
    let (out, out_end) = pipe2(OFlag::O_CLOEXEC)?;
    let (err, err_end) = pipe2(OFlag::O_CLOEXEC)?;
    let (done, done_end) = pipe2(OFlag::O_CLOEXEC)?;
    let parent = Pid::this();
    // SAFETY: this process has one thread, as the caller promises, so that the child finds every lock free.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop((out, err, done));
            dup2_stdout(&out_end)?;
            dup2_stderr(&err_end)?;
            drop((out_end, err_end));
            set_pdeathsig(Signal::SIGKILL)?;
            if getppid() != parent {
                return Ok(lost);
            }
            let code = work();
            // Without a parent nobody waits for it.
            drop(io::stdout().flush());
            drop(File::from(done_end).write_all(&[code]));
            Ok(code)
        }
        ForkResult::Parent { child } => {
            drop((out_end, err_end, done_end));
            let code = hand_on(out, err, done);
            Ok(code.unwrap_or_else(|| ended(child, lost)))
        }
    }
}

/// Hands on what the child prints until it has answered; `None` when it ended without an answer.
fn hand_on(out: OwnedFd, err: OwnedFd, done: OwnedFd) -> Option<u8> {
    let mut done = File::from(done);
    let mut streams =
        [Stream::new(out, Box::new(io::stdout()))?, Stream::new(err, Box::new(io::stderr()))?];
    loop {
        let mut waited = vec![PollFd::new(done.as_fd(), PollFlags::POLLIN)];
        let open = streams.iter().filter_map(|stream| stream.from.as_ref());
        waited.extend(open.map(|from| PollFd::new(from.as_fd(), PollFlags::POLLIN)));
        // A signal ends the wait early: then there is nothing to read, and it waits again.
        let answered = poll(&mut waited, PollTimeout::NONE).is_ok()
            && waited.first().is_some_and(|done| done.any().unwrap_or(true));
        // What was printed before the answer is in the pipes by now.
        streams.iter_mut().for_each(Stream::drain);
        if answered {
            let mut code = [0_u8; 1];
            done.read_exact(&mut code).ok()?;
            return code.first().copied();
        }
    }
}

/// One of the child's streams, and where it goes.
struct Stream {
    /// `None` when the child has closed it, or nobody reads it any more.
    from: Option<File>,
    to: Box<dyn Write>,
}

impl Stream {
    fn new(from: OwnedFd, to: Box<dyn Write>) -> Option<Self> {
        fcntl(&from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok()?;
        Some(Self { from: Some(File::from(from)), to })
    }

    /// Hands on all that is there now.
    fn drain(&mut self) {
        let mut chunk = vec![0_u8; CHUNK];
        while let Some(from) = &mut self.from {
            match from.read(&mut chunk) {
                Ok(0) => self.from = None,
                Ok(length) => {
                    let bytes = chunk.get(..length).unwrap_or_default();
                    // A reader that went away, as `head` does, is told to the child by closing its stream.
                    if self.to.write_all(bytes).and_then(|()| self.to.flush()).is_err() {
                        self.from = None;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.from = None,
            }
        }
    }
}

/// The code of a child that ended without an answer: its own, unless a signal ended it.
fn ended(child: Pid, lost: u8) -> u8 {
    match waitpid(child, None) {
        Ok(WaitStatus::Exited(_, code)) if code != 0 => u8::try_from(code).unwrap_or(lost),
        _ => lost,
    }
}
