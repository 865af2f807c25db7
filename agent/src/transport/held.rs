//! What this agent saw fail and holds on to, kept beside the spool: an agent that forgot it when it is restarted would leave it
//! to another, and the server would take that for mended.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::StateDir;
use super::failure::chain;
use super::files::{self, Durability};

/// A thousand names of repositories.
const MOST: u64 = 1024 * 1024;

/// The file, and what it holds.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    known: BTreeSet<String>,
    /// What it holds is not what should be there.
    behind: bool,
}

impl Held {
    /// Reads what was held of repositories. One that cannot be read is told of, and holds nothing.
    pub fn load(state: &StateDir) -> Self {
        Self::from(state.held())
    }

    /// The same of this file.
    pub fn from(path: PathBuf) -> Self {
        let known = match files::read_bounded(&path, MOST) {
            Ok(None) => BTreeSet::new(),
            Ok(Some(text)) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), error = chain(&error), "what was held is lost");
                BTreeSet::new()
            }),
            Err(error) => {
                tracing::warn!(path = %path.display(), error = chain(&error), "what was held is lost");
                BTreeSet::new()
            }
        };
        Self { path, known, behind: false }
    }

    pub fn known(&self) -> BTreeSet<String> {
        self.known.clone()
    }

    /// Keeps this in its place. What the disk does not take is written with the next scan.
    pub fn keep(&mut self, held: BTreeSet<String>) {
        if held == self.known && !self.behind {
            return;
        }
        self.known = held;
        let text = serde_json::to_vec(&self.known).unwrap_or_default();
        let written = files::replace(&self.path, &text, Durability::Synced);
        if let (Err(error), false) = (&written, self.behind) {
            tracing::warn!(path = %self.path.display(), error = chain(error), "what failed cannot be kept");
        }
        self.behind = written.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_after_a_restart_and_damage_is_survived() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path());
        let names = BTreeSet::from(["repository:a".to_owned()]);
        let mut held = Held::load(&state);
        assert!(held.known().is_empty());
        held.keep(names.clone());
        assert_eq!(Held::load(&state).known(), names);
        held.keep(BTreeSet::new());
        assert!(Held::load(&state).known().is_empty());
        std::fs::write(state.held(), "{").unwrap();
        assert!(Held::load(&state).known().is_empty());
    }
}
