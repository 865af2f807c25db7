//! From the configuration to notifiers that can be used, with the files that they need.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::{Notifier, webhook};
use crate::config::{self, Kind, Notify};
use crate::state_dir::{StateError, read_file};

/// Why a notifier cannot be used.
#[derive(Debug, Error)]
#[error("{kind} `{name}`: {source}")]
pub struct OpenError {
    kind: &'static str,
    name: String,
    // In the text above, and not a source: a chain would say it twice.
    source: Box<Unusable>,
}

/// What of a notifier cannot be used.
#[derive(Debug, Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    File(#[from] StateError),
    #[error("{}: {expected}", file.display())]
    Content { file: PathBuf, expected: String },
    #[error("could not make an HTTP client")]
    Http(#[from] reqwest::Error),
}

impl Unusable {
    /// A file that could be read, and what should be in it.
    pub(super) fn content(file: &Path, expected: impl Into<String>) -> Self {
        Self::Content { file: file.to_owned(), expected: expected.into() }
    }
}

/// Makes every notifier that the configuration names.
pub fn build(notify: &Notify) -> Result<Vec<Arc<dyn Notifier>>, OpenError> {
    notify.notifiers.iter().map(|notifier| open(notifier)).collect()
}

/// Everything that is wrong with the files of notifiers.
pub fn check(notify: &Notify) -> impl Iterator<Item = OpenError> {
    notify.notifiers.iter().filter_map(|notifier| open(notifier).err())
}

fn open(notifier: &config::Notifier) -> Result<Arc<dyn Notifier>, OpenError> {
    let opened: Result<Arc<dyn Notifier>, Unusable> = match &notifier.kind {
        Kind::Webhook(kind) => webhook::Webhook::open(notifier, kind).map(|it| Arc::new(it) as _),
    };
    opened.map_err(|source| OpenError {
        kind: notifier.kind.as_str(),
        name: notifier.name.clone(),
        source: Box::new(source),
    })
}

/// The certificates of an authority, as PEM.
pub(super) fn authority(file: &Path) -> Result<String, Unusable> {
    Ok(read_file(file)?)
}
