//! A bound in time on looking at one asset.
//!
//! A read from a dead disk or a stuck file server may never return, and cannot be cancelled. Looks that may hang are made by
//! threads of their own. One that does not come back in time is left behind; while it is stuck, the same thing is not
//! looked at again, so that a dead disk costs one deadline and not one for each question about it.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atrest_proto::model::Reason;

use crate::snapshot::Trouble;

/// How long one look at one asset may take.
pub const PER_ASSET: Duration = Duration::from_secs(5);

/// No more threads than this are left behind; then nothing that may hang is started.
const MAX_STUCK: usize = 64;

/// Threads that have nothing to do are kept up to this number, and end above it.
const MAX_IDLE: usize = 4;

/// Makes the look; what is returned tells its answer.
type Job = Box<dyn FnOnce() -> Box<dyn FnOnce()> + Send>;

static POOL: Mutex<Pool> =
    Mutex::new(Pool { running: 0, idle: Vec::new(), stuck: BTreeMap::new() });

struct Pool {
    /// Looks that have not returned, whether anybody still waits for them or not.
    running: usize,
    idle: Vec<mpsc::Sender<Job>>,
    /// How many looks of each name are left behind.
    stuck: BTreeMap<String, usize>,
}

fn pool() -> MutexGuard<'static, Pool> {
    // Nothing that is done under the lock leaves it half done.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What became of a look, shared by who waits for it and the thread that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Running,
    Abandoned,
    Returned,
}

/// Marks the look as returned when it ends, also when it panics.
struct Running {
    what: String,
    fate: std::sync::Arc<Mutex<Fate>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pool = pool();
        pool.running = pool.running.saturating_sub(1);
        if *fate == Fate::Abandoned
            && let Some(count) = pool.stuck.get_mut(&self.what)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                pool.stuck.remove(&self.what);
            }
        }
        *fate = Fate::Returned;
    }
}

/// Makes the look called `what` on another thread and waits for it at most `limit`.
///
/// [`Reason::Timeout`] when it does not return in time, or when an earlier one of that name is still stuck.
pub fn run<T: Send + 'static>(
    limit: Duration,
    what: &str,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Trouble> {
    {
        let mut pool = pool();
        if pool.stuck.contains_key(what) {
            let detail = format!("{what}: an earlier look at it is still stuck");
            return Err(Trouble::new(Reason::Timeout, detail));
        }
        if pool.running >= MAX_STUCK {
            let detail =
                format!("{what}: not tried, because {MAX_STUCK} earlier looks are still stuck");
            return Err(Trouble::new(Reason::Timeout, detail));
        }
        pool.running += 1;
    }
    let fate = std::sync::Arc::new(Mutex::new(Fate::Running));
    let running = Running { what: what.to_owned(), fate: std::sync::Arc::clone(&fate) };
    let (sender, receiver) = mpsc::sync_channel(1);
    let job: Job = Box::new(move || {
        let answer = look();
        // Counted as returned before the answer is there, so that whoever has it can look again.
        drop(running);
        // Nobody listens any more when the deadline has passed.
        Box::new(move || drop(sender.send(answer)))
    });
    start(job)
        .map_err(|error| Trouble::new(Reason::Unreadable, format!("{what}: no thread: {error}")))?;
    receiver.recv_timeout(limit).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => {
            abandon(what, &fate);
            Trouble::new(Reason::Timeout, format!("{what}: no answer within {limit:?}"))
        }
        mpsc::RecvTimeoutError::Disconnected => {
            Trouble::new(Reason::Unreadable, format!("{what}: the look ended without an answer"))
        }
    })
}

/// Whether a look of this name was left behind and has not come back.
pub fn is_stuck(what: &str) -> bool {
    pool().stuck.contains_key(what)
}

fn abandon(what: &str, fate: &Mutex<Fate>) {
    let mut fate = fate.lock().unwrap_or_else(PoisonError::into_inner);
    if *fate == Fate::Running {
        *fate = Fate::Abandoned;
        *pool().stuck.entry(what.to_owned()).or_default() += 1;
    }
}

/// Gives the job to a thread that has nothing to do, or to a new one.
fn start(job: Job) -> std::io::Result<()> {
    let mut job = job;
    loop {
        let Some(idle) = pool().idle.pop() else { break };
        match idle.send(job) {
            Ok(()) => return Ok(()),
            // That thread has ended with a panic.
            Err(mpsc::SendError(returned)) => job = returned,
        }
    }
    std::thread::Builder::new().name("look".to_owned()).spawn(move || work(job)).map(drop)
}

fn work(first: Job) {
    let (sender, receiver) = mpsc::channel::<Job>();
    let mut job = first;
    loop {
        let tell = job();
        let stays = {
            let mut pool = pool();
            let has_room = pool.idle.len() < MAX_IDLE;
            if has_room {
                pool.idle.push(sender.clone());
            }
            has_room
        };
        // After it is idle again, so that whoever has the answer and asks on need not wait for a new thread.
        tell();
        if !stays {
            return;
        }
        match receiver.recv() {
            Ok(next) => job = next,
            Err(mpsc::RecvError) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_time_is_returned() {
        for number in 0..100 {
            assert_eq!(run(PER_ASSET, "x", move || number), Ok(number));
        }
    }

    #[test]
    fn one_thread_answers_one_question_after_the_other() {
        // Other tests use the same threads: they are at most as many as are kept, and not one for each question.
        let threads: std::collections::BTreeSet<String> = (0..1000)
            .map(|_| run(PER_ASSET, "y", || format!("{:?}", std::thread::current().id())).unwrap())
            .collect();
        assert!(threads.len() < 500, "{}", threads.len());
    }

    #[test]
    fn a_look_that_hangs_costs_its_deadline_once() {
        let (release, held) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel::<()>();
        let hang = move || {
            assert!(held.recv().is_err());
            drop(ended);
        };
        let trouble = run(Duration::from_millis(10), "/dev/dead", hang).unwrap_err();
        assert_eq!(trouble.reason, Reason::Timeout);
        assert!(trouble.detail.contains("/dev/dead: no answer"));
        // The second question is not asked at all, whatever its deadline.
        let trouble = run(Duration::MAX, "/dev/dead", || ()).unwrap_err();
        assert!(trouble.detail.contains("still stuck"), "{trouble}");
        assert_eq!(run(PER_ASSET, "/dev/alive", || 7), Ok(7));
        drop(release);
        assert!(end.recv().is_err());
        // It is asked again as soon as the first look has come back.
        while run(PER_ASSET, "/dev/dead", || ()).is_err() {
            std::thread::yield_now();
        }
    }
}
