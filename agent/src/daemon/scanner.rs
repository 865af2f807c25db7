//! The thread that looks: one scan at a time, asked for and answered over channels.

use std::io;
use std::sync::mpsc as blocking;

use atrest_proto::model::Posture;
use tokio::sync::mpsc;

/// The loop's end of the thread.
#[derive(Debug)]
pub(super) struct Scanner {
    ask: blocking::SyncSender<()>,
    answers: mpsc::Receiver<Option<Box<Posture>>>,
    running: bool,
}

/// Starts the thread. It ends when this end is dropped, after the scan that it is at.
pub(super) fn start<S: Into<Option<Posture>>>(
    mut scan: impl FnMut() -> S + Send + 'static,
) -> io::Result<Scanner> {
    let (ask, asked) = blocking::sync_channel(1);
    let (answer, answers) = mpsc::channel(1);
    std::thread::Builder::new().name("scan".to_owned()).spawn(move || {
        while let Ok(()) = asked.recv() {
            if answer.blocking_send(scan().into().map(Box::new)).is_err() {
                return;
            }
        }
    })?;
    Ok(Scanner { ask, answers, running: false })
}

impl Scanner {
    /// Asks for a scan. `false` when one is running.
    pub(super) fn ask(&mut self) -> bool {
        if self.running {
            return false;
        }
        // A thread that is gone is noticed where its answer is awaited.
        self.ask.try_send(()).ok();
        self.running = true;
        true
    }

    pub(super) const fn is_running(&self) -> bool {
        self.running
    }

    /// The next posture, if the scan made one; `None` when the thread is gone. May be dropped and called again.
    pub(super) async fn answer(&mut self) -> Option<Option<Box<Posture>>> {
        let posture = self.answers.recv().await;
        self.running = false;
        posture
    }
}
