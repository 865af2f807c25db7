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
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdout, fork, getppid, pipe2};

/// How often it is looked whether the child still lives, in milliseconds.
const LOOK_AFTER: u16 = 1000;
/// What is read at once.
const CHUNK: usize = 64 * 1024;

/// Does `work` in a child, whose standard output and error become this process's own; returns the code that it returns.
///
/// `lost` is returned when the child ends without an answer, as after a panic, and `unsaid` when the answer cannot be written.
/// No other thread may have been started yet.
pub(crate) fn run(work: impl FnOnce() -> u8, lost: u8, unsaid: u8) -> u8 {
    match divided(work, lost, unsaid) {
        Ok(code) => code,
        Err(error) => {
            // Nowhere to say it when stderr is gone.
            let text =
                "atrest-agent: no process for the work: look at the limits of processes and files";
            drop(writeln!(io::stderr(), "{text}: {error}"));
            unsaid
        }
    }
}

fn divided(work: impl FnOnce() -> u8, lost: u8, unsaid: u8) -> nix::Result<u8> {
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
            Ok(match hand_on(child, out, err, done) {
                Handed::Answer(code) => code,
                Handed::Nothing => ended(child, lost),
                Handed::Unsaid(error) => {
                    let text = format!("atrest-agent: the answer could not be written: {error}");
                    drop(writeln!(io::stderr(), "{text}"));
                    unsaid
                }
            })
        }
    }
}

/// What became of the child's answer.
enum Handed {
    Answer(u8),
    /// The child ended without one.
    Nothing,
    /// It could not be written, as on a full disk.
    Unsaid(io::Error),
}

/// Hands on what the child prints until it has answered.
fn hand_on(child: Pid, out: OwnedFd, err: OwnedFd, done: OwnedFd) -> Handed {
    let mut done = File::from(done);
    let mut streams =
        [Stream::new(out, Box::new(io::stdout())), Stream::new(err, Box::new(io::stderr()))];
    loop {
        let mut waited = vec![PollFd::new(done.as_fd(), PollFlags::POLLIN)];
        let open = streams.iter().filter_map(|stream| stream.from.as_ref());
        waited.extend(open.map(|from| PollFd::new(from.as_fd(), PollFlags::POLLIN)));
        // A signal ends the wait early: then there is nothing to read, and it waits again.
        let answered = poll(&mut waited, PollTimeout::from(LOOK_AFTER)).is_ok()
            && waited.first().is_some_and(|done| done.any().unwrap_or(true));
        // A thread that is stuck keeps the streams of a dead child open.
        let is_dead = !answered && is_dead(child);
        // One that answered after the wait and before it was looked at has answered all the same.
        let answered = answered || (is_dead && has_more(&done));
        // What was printed before the answer is in the pipes by now.
        streams.iter_mut().for_each(Stream::drain);
        if answered {
            let mut code = [0_u8; 1];
            let code = done.read_exact(&mut code).ok().and(code.first().copied());
            let [said, _] = streams;
            return match (said.failed, code) {
                (Some(error), _) => Handed::Unsaid(error),
                (None, Some(code)) => Handed::Answer(code),
                (None, None) => Handed::Nothing,
            };
        }
        if is_dead {
            return Handed::Nothing;
        }
    }
}

/// One of the child's streams, and where it goes.
struct Stream {
    /// `None` when the child has closed it, or nobody reads it any more.
    from: Option<File>,
    to: Box<dyn Write>,
    /// Why it could not be written, other than that its reader went away.
    failed: Option<io::Error>,
}

impl Stream {
    fn new(from: OwnedFd, to: Box<dyn Write>) -> Self {
        // A pipe takes any flag; one that did not would be read when there is something to read, and wait otherwise.
        let nonblocking = fcntl(&from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        Self { from: nonblocking.is_ok().then(|| File::from(from)), to, failed: None }
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
                    if let Err(error) = self.to.write_all(bytes).and_then(|()| self.to.flush()) {
                        self.from = None;
                        self.failed =
                            Some(error).filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.from = None,
            }
        }
    }
}

/// Whether there is something to read, or nobody left to write it.
fn has_more(pipe: &File) -> bool {
    let mut asked = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Whether the child has ended, if not all of its threads: `Z` in `/proc/PID/stat` (`proc_pid_stat(5)`).
fn is_dead(child: Pid) -> bool {
    let mut stat = String::new();
    let file = File::open(format!("/proc/{child}/stat"));
    let read = file.and_then(|file| file.take(4096).read_to_string(&mut stat));
    // The state follows the name, which may hold anything.
    read.is_ok() && stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

/// The code of a child that ended without an answer: its own, unless a signal ended it. One whose threads are stuck is not
/// waited for.
fn ended(child: Pid, lost: u8) -> u8 {
    match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) if code != 0 => u8::try_from(code).unwrap_or(lost),
        _ => lost,
    }
}
