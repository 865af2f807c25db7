//! Watches what a posture rests on, so that a change is looked at within a fraction of a second and not at the next interval.
//!
//! One thread polls all sources: devices ([`uevent`]), mounts and swap areas ([`tables`]), names ([`files`]), the ends of
//! processes ([`processes`]), new ones ([`newcomers`]), the clock ([`clock`]). It says that something changed, never what is true: each time
//! everything is looked at again. What to watch follows from the latest look ([`plan`]).
//!
//! Nothing is missed in silence: what cannot be watched, and what was lost on the way, is a gap of the posture.

#![forbid(unsafe_code)]

mod clock;
mod files;
mod newcomers;
mod plan;
mod processes;
mod sight;
mod tables;
mod thread;
pub(crate) mod uevent;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atrest_proto::model::Gap;
use jiff::Timestamp;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::mpsc;

pub use plan::{MOST, Plan, Wanted};
use sight::Sight;

/// What the scans and the watching thread share.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    now: fn() -> Timestamp,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    plan: Arc<Plan>,
    /// Which thread may watch: an older one ends.
    generation: u64,
    wake: Option<Arc<OwnedFd>>,
    sight: Sight,
}

/// The daemon's end of the watching thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Signals {
    watch: Watch,
    generation: u64,
    changes: mpsc::Receiver<()>,
}

impl Watch {
    /// Of the machine whose root directory is `root`.
    pub fn new(root: impl Into<PathBuf>, now: fn() -> Timestamp) -> Self {
        let state = Mutex::new(State::default());
        Self(Arc::new(Shared { root: root.into(), now, state }))
    }

    /// Starts the thread, with the latest plan.
    pub fn start(&self) -> io::Result<Signals> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (tell, changes) = mpsc::channel(1);
        let generation = {
            let mut state = self.state();
            state.generation += 1;
            // An older thread notices that it is one.
            state.wake();
            state.wake = Some(Arc::clone(&wake));
            state.generation
        };
        thread::start(self.clone(), generation, wake, tell)?;
        Ok(Signals { watch: self.clone(), generation, changes })
    }

    /// What is to be watched from now on.
    pub fn renew(&self, plan: Plan) {
        let mut state = self.state();
        state.plan = Arc::new(plan);
        // Also when it is the same: a name may stand for another file now.
        state.wake();
    }

    /// What is not watched, and what was missed: for a look that begins now.
    pub fn gaps(&self, now: Timestamp) -> Vec<Gap> {
        self.state().sight.gaps(now)
    }

    /// The thread has ended, or did not start. Everything that happened since may have been missed.
    pub fn lost(&self, why: &str) {
        self.state().sight.missed("changes of this host", why, "", (self.0.now)());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock leaves it half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&self) {
        if let Some(wake) = &self.wake {
            // A counter that is full wakes as well.
            rustix::io::write(wake, &1_u64.to_ne_bytes()).ok();
        }
    }
}

impl Signals {
    /// Something changed; `None` when the thread has ended. May be dropped and called again.
    pub async fn next(&mut self) -> Option<()> {
        self.changes.recv().await
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let mut state = self.watch.state();
        if state.generation == self.generation {
            state.generation += 1;
            state.wake();
            state.wake = None;
        }
    }
}

#[cfg(test)]
mod tests;
