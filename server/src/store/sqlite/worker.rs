//! A thread that owns a connection. The writer commits what many callers ask for in one transaction.
//!
//! While one commit waits for the disk, the next jobs gather; each then costs a share of one `fsync`.
//! A job that fails is rolled back alone. Nobody is answered before the commit.

use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use crate::logging::chain;
use crate::store::StoreError;

/// How many jobs may wait: beyond that, callers do.
const QUEUE: usize = 4_096;
/// The most jobs of one transaction: bounds how long the first of them waits.
const MAX_GROUP: usize = 1_000;
/// How long jobs gather where many come at one time: a commit costs as much for a few of them as for many.
const GATHER: Duration = Duration::from_millis(2);
/// A group of so many jobs says that many come.
const MANY: usize = 4;

/// What a job leaves: whether it worked, and how its caller is answered once the commit is known.
struct Done {
    result: Result<(), StoreError>,
    answer: Answer,
}

type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Is given the connection, or why there is nothing to be done with it.
type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Done + Send>;

/// Whether a thread's jobs are made durable together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Read,
    Write,
}

/// A connection on a thread of its own.
#[derive(Debug)]
pub(super) struct Worker {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn spawn(
        name: &str,
        connection: Connection,
        mode: Mode,
    ) -> Result<Self, std::io::Error> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || match mode {
                Mode::Read => read(&connection, queue),
                Mode::Write => write(&connection, queue),
            })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        self.jobs.as_ref().map_or(0, |jobs| QUEUE.saturating_sub(jobs.capacity()))
    }

    /// Runs a job on the thread. For a writer, `Ok` means durable.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection.and_then(job);
            Done {
                result: result.as_ref().map(drop).map_err(Clone::clone),
                answer: Box::new(move |committed| {
                    // A caller that went away is not waiting for its answer.
                    drop(reply.send(committed.and(result)));
                }),
            }
        });
        let jobs = self.jobs.as_ref().ok_or(StoreError::Stopped)?;
        jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }
}

impl Drop for Worker {
    /// Finishes what was asked for.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("a thread of the store died");
        }
    }
}

fn read(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        let done = job(Ok(connection));
        (done.answer)(Ok(()));
    }
}

fn write(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    let mut health = Health::default();
    let mut many = false;
    while let Some(first) = queue.blocking_recv() {
        if many {
            gather();
        }
        let mut answers = Vec::new();
        let committed = group(connection, first, &mut queue, &mut answers, &mut health);
        health.note(&committed);
        many = answers.len() >= MANY;
        for answer in answers {
            answer(committed.clone());
        }
    }
    // Leaves one file behind instead of three. Losing this race loses nothing.
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        info!(error = %error, "the write-ahead log was left as it is");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "who would wake this thread for every job costs more"
)]
fn gather() {
    std::thread::sleep(GATHER);
}

/// Runs the first job and those that wait behind it in one transaction.
fn group(
    connection: &Connection,
    first: Job,
    queue: &mut mpsc::Receiver<Job>,
    answers: &mut Vec<Answer>,
    health: &mut Health,
) -> Result<(), StoreError> {
    let fail = |source| StoreError::of("commit", source);
    let mut next = Some(first);
    let run = |sql| connection.prepare_cached(sql)?.execute([]).map(drop);
    let mut state = run("BEGIN IMMEDIATE").map_err(fail);
    while let Some(job) = next {
        if state.is_ok() {
            state = run("SAVEPOINT job").map_err(fail);
        }
        let done = job(state.clone().map(|()| connection));
        answers.push(done.answer);
        if state.is_ok() {
            health.note_full(&done.result);
            state = if connection.is_autocommit() {
                // SQLite gave the whole transaction up, as it does when the disk is full: the jobs
                // before this one are undone, and must hear of it.
                Err(done.result.err().unwrap_or_else(StoreError::full))
            } else {
                let undone = if done.result.is_ok() { Ok(()) } else { run("ROLLBACK TO job") };
                undone.and_then(|()| run("RELEASE job")).map_err(fail)
            };
        }
        // After a failure nothing more is taken into this transaction.
        next =
            if state.is_ok() && answers.len() < MAX_GROUP { queue.try_recv().ok() } else { None };
    }
    let committed = state.and_then(|()| run("COMMIT").map_err(fail));
    if committed.is_err() && !connection.is_autocommit() {
        run("ROLLBACK").map_err(fail)?;
    }
    committed
}

/// Tells of a disk that cannot be written once, and once when it can be again.
#[derive(Debug, Default)]
struct Health {
    failing: bool,
    /// A job of the present transaction found no room, though the rest may have.
    full: bool,
}

impl Health {
    fn note_full(&mut self, result: &Result<(), StoreError>) {
        if let Err(error @ StoreError::Full(_)) = result {
            self.full = true;
            self.fail(error);
        }
    }

    fn note(&mut self, committed: &Result<(), StoreError>) {
        let full = std::mem::take(&mut self.full);
        match committed {
            Ok(()) if self.failing && !full => {
                self.failing = false;
                info!("the database can be written again");
            }
            Ok(()) => {}
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.failing, true) {
            error!(
                error = chain(error),
                "the database cannot be written: nothing is acknowledged until it can"
            );
        }
    }
}
