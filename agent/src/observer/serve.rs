//! The process that looks: answers one account on a socket of this machine, and watches whether anybody asks or not.
//!
//! One thread for each connection, of which there are few; looks are made one at a time.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::wire::{self, ReadError, Request, Response};
use super::{Local, Observer as _};
use crate::transport::backoff::{Backoff, Bounds};
use crate::transport::tls;
use crate::watch::{Signals, Watch};
use crate::{daemon, heap, supervisor};

/// The half that talks has two. One that is started anew again and again leaves some behind, each until it is noticed that
/// nobody hears of changes there.
const MOST_CONNECTIONS: usize = 32;
/// For the rest of a request that has begun, and for an answer to be taken: both ends are on this machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is said that nothing changed: see [`super::client`].
const ALIVE_EVERY: Duration = Duration::from_mins(1);
/// A look that takes longer does not come to an end: then the service manager is not told any more that all is well.
const LONGEST_LOOK: Duration = Duration::from_mins(15);
/// How soon a watch that ended is begun again.
const WATCH_AGAIN: Bounds = Bounds { first: Duration::from_secs(1), most: Duration::from_mins(1) };

/// Why the process that looks does not run.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("{}: cannot be listened on", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("the runtime cannot be started")]
    Runtime { source: io::Error },
}

/// What is served, and to whom.
pub struct Service {
    pub local: Local,
    /// Watches all the time; without one, only that somebody asks leads to a look.
    pub watch: Option<Watch>,
    /// The accounts that may ask. Every other one is turned away before it is read.
    pub users: BTreeSet<u32>,
}

/// Begins to listen, for the group of this process as well as its account. A socket that a process left behind is taken over.
pub fn listen(path: &Path) -> Result<std::os::unix::net::UnixListener, ServeError> {
    let failed = |source| ServeError::Socket { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path).map_err(failed)?,
        Ok(_) => {
            return Err(failed(io::Error::other("something else than a socket has that name")));
        }
        Err(_) => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(failed)?;
    // Who may come in is decided by who it is: this only keeps others from trying.
    std::fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(listener)
}

/// Answers until the process is ended.
pub fn serve(
    service: Service,
    listener: std::os::unix::net::UnixListener,
) -> Result<(), ServeError> {
    let failed = |source| ServeError::Runtime { source };
    let runtime = daemon::runtime().map_err(failed)?;
    let Service { local, watch, users } = service;
    let shared = Arc::new(Shared {
        local: Mutex::new(local),
        looking_since: Mutex::new(None),
        changes: Changes::default(),
        connections: AtomicUsize::new(0),
    });
    runtime.block_on(async {
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
        let alive = tokio::spawn(supervisor::stay_alive_while({
            let shared = Arc::clone(&shared);
            move || !shared.is_stuck()
        }));
        let watching = watch.map(|watch| tokio::spawn(watched(watch, Arc::clone(&shared))));
        supervisor::ready();
        tracing::info!("waiting to be asked");
        let ended = accept(&listener, &users, &shared).await;
        alive.abort();
        watching.inspect(tokio::task::JoinHandle::abort);
        ended.map_err(failed)
    })
}

/// What the threads share.
struct Shared {
    local: Mutex<Local>,
    looking_since: Mutex<Option<Instant>>,
    changes: Changes,
    connections: AtomicUsize,
}

impl Shared {
    fn is_stuck(&self) -> bool {
        let since = *held(&self.looking_since);
        since.is_some_and(|since| since.elapsed() > LONGEST_LOOK)
    }

    /// Works with what looks: one at a time.
    fn with<T>(&self, work: impl FnOnce(&mut Local) -> T) -> T {
        let mut local = held(&self.local);
        *held(&self.looking_since) = Some(Instant::now());
        let done = work(&mut local);
        *held(&self.looking_since) = None;
        done
    }
}

/// Nothing that is done under a lock here leaves it half done: a panic ends the process.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often something changed, for threads that wait for it.
#[derive(Debug, Default)]
struct Changes {
    count: Mutex<u64>,
    more: Condvar,
}

impl Changes {
    fn note(&self) {
        let mut count = held(&self.count);
        *count = count.wrapping_add(1);
        self.more.notify_all();
    }

    /// Waits until something changed since `known`, or for so long. Answers with what is known then.
    fn since(&self, known: u64, patience: Duration) -> u64 {
        let waited = self.more.wait_timeout_while(held(&self.count), patience, |now| *now == known);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn now(&self) -> u64 {
        *held(&self.count)
    }
}

/// Watches for good: a watch that ends is told of and begun again.
async fn watched(watch: Watch, shared: Arc<Shared>) {
    let mut backoff = Backoff::new(WATCH_AGAIN);
    loop {
        let begun = Instant::now();
        let why = match watch.start() {
            Ok(signals) => {
                hear(signals, &shared.changes).await;
                "the thread that watches has ended".to_owned()
            }
            Err(error) => format!("no thread to watch with: {error}"),
        };
        tracing::warn!(why, "changes are not watched for now");
        watch.lost(&why);
        shared.changes.note();
        if begun.elapsed() >= WATCH_AGAIN.most {
            backoff.succeeded();
        }
        tokio::time::sleep(backoff.after_failure(tls::chance())).await;
    }
}

async fn hear(mut signals: Signals, changes: &Changes) {
    while let Some(()) = signals.next().await {
        changes.note();
    }
}

async fn accept(
    listener: &tokio::net::UnixListener,
    users: &BTreeSet<u32>,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // The other end is gone, or there is no room for a descriptor: neither is for good.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(WATCH_AGAIN.first).await;
                continue;
            }
        };
        // Whose process is in no pid namespace that is seen from here has an account all the same.
        let user = stream.peer_cred().map(|peer| peer.uid()).ok();
        let stream = stream.into_std()?;
        if !user.is_some_and(|user| users.contains(&user)) {
            tracing::warn!(user, "somebody else asks, and is turned away");
            refuse(&stream, "not for this account");
            continue;
        }
        if shared.connections.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
            tracing::warn!("more connections than one client has: one is turned away");
            refuse(&stream, "too many connections");
            continue;
        }
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let of_thread = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("answer".to_owned());
        let started = thread.spawn(move || {
            if let Err(error) = attend(&stream, &of_thread) {
                tracing::debug!(%error, "a connection has ended");
            }
            of_thread.connections.fetch_sub(1, Ordering::Relaxed);
        });
        if let Err(error) = started {
            shared.connections.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(%error, "no thread to answer with");
        }
    }
}

/// Says why, and hangs up. Never waits: whoever it is may not read.
fn refuse(stream: &UnixStream, why: &str) {
    let response = Response::Refused(why.to_owned());
    let said = stream
        .set_nonblocking(true)
        .and_then(|()| wire::write(&mut &*stream, &response, wire::LARGEST_RESPONSE));
    drop(said.and_then(|()| stream.shutdown(Shutdown::Both)));
}

/// Answers one connection until it ends.
fn attend(mut stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    match request(stream) {
        Ok(Request::Hello { version }) if version == wire::VERSION => {}
        Ok(Request::Hello { version }) => {
            tracing::warn!(version, "another version asks: both halves have to be started anew");
            refuse(stream, "another version");
            return Ok(());
        }
        Ok(_) => return Err(misunderstood(stream, "the first word is who speaks")),
        Err(error) => return Err(misunderstood(stream, &error.to_string())),
    }
    loop {
        // The next question may be an hour away.
        stream.set_read_timeout(None)?;
        let mut first = [0_u8; 1];
        if rustix::net::recv(stream, &mut first[..], rustix::net::RecvFlags::PEEK)?.1 == 0 {
            return Ok(());
        }
        stream.set_read_timeout(Some(PATIENCE))?;
        let response = match request(stream) {
            Ok(Request::Begin) => match shared.with(Local::begin) {
                Ok(contacts) => Response::Contacts(contacts),
                Err(lost) => Response::Refused(lost.to_string()),
            },
            Ok(Request::Holds { pid, listener }) => {
                Response::Holds(shared.with(|local| local.holds(pid, listener)))
            }
            Ok(Request::Look { talk }) => match shared.with(|local| local.look(talk)) {
                Ok(seen) => Response::Seen(Box::new(seen)),
                Err(lost) => Response::Refused(lost.to_string()),
            },
            Ok(Request::Watch) => return tell(stream, &shared.changes),
            Ok(Request::Hello { .. }) => {
                return Err(misunderstood(stream, "who speaks was said before"));
            }
            Err(error) => return Err(misunderstood(stream, &error.to_string())),
        };
        wire::write(&mut stream, &response, wire::LARGEST_RESPONSE)?;
        if matches!(response, Response::Seen(_)) {
            // It waits now, for an hour if nothing changes.
            drop(response);
            heap::trim();
        }
    }
}

fn request(mut stream: &UnixStream) -> Result<Request, ReadError> {
    wire::read(&mut stream, wire::LARGEST_REQUEST)
}

/// Only a program that is not the agent's other half gets here: it is told so once.
fn misunderstood(stream: &UnixStream, why: &str) -> io::Error {
    tracing::warn!(why, "a request that is none");
    refuse(stream, why);
    io::Error::other(why.to_owned())
}

/// Tells of changes, beginning with those that were before anybody listened.
fn tell(mut stream: &UnixStream, changes: &Changes) -> io::Result<()> {
    let mut known = changes.now();
    stream.write_all(&[wire::CHANGED])?;
    loop {
        let now = changes.since(known, ALIVE_EVERY);
        stream.write_all(&[if now == known { wire::ALIVE } else { wire::CHANGED }])?;
        known = now;
    }
}
