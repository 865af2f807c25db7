//! The word that everything should come to its end.

use tokio::sync::watch;

/// Gives the word.
#[derive(Debug)]
pub struct Drainer(watch::Sender<bool>);

/// Waits for it.
#[derive(Debug, Clone)]
pub struct Drain(watch::Receiver<bool>);

/// Both ends.
pub fn channel() -> (Drainer, Drain) {
    let (word, wait) = watch::channel(false);
    (Drainer(word), Drain(wait))
}

impl Drainer {
    pub fn drain(&self) {
        self.0.send_replace(true);
    }
}

impl Drain {
    pub fn is_draining(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when the word is given, or nobody is left to give it.
    pub async fn wait(&mut self) {
        drop(self.0.wait_for(|draining| *draining).await);
    }
}
