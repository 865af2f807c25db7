//! From the configuration to notifiers that can be used, with the files that they need.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use zeroize::Zeroizing;

use super::Notifier;
use super::alertmanager::Alertmanager;
use super::elasticsearch::Elasticsearch;
use super::email::Email;
use super::pagerduty::Pagerduty;
use super::slack::Slack;
use super::syslog::Syslog;
use super::webhook::Webhook;
use crate::config::{self, Kind, Notify};
use crate::state_dir::{StateError, read_file, read_secret_file};

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
    #[error("could not set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("could not set up mail")]
    Mail(#[from] lettre::transport::smtp::Error),
}

impl Unusable {
    /// A file that could be read, and what should be in it.
    pub(super) fn content(file: &Path, expected: impl Into<String>) -> Self {
        Self::Content { file: file.to_owned(), expected: expected.into() }
    }
}

/// Makes every notifier that the configuration names.
pub fn build(notify: &Notify) -> Result<Vec<Arc<dyn Notifier>>, OpenError> {
    notify.notifiers.iter().map(|notifier| open(notifier, notify.link.as_deref())).collect()
}

/// Everything that is wrong with the files of notifiers.
pub fn check(notify: &Notify) -> impl Iterator<Item = OpenError> {
    notify.notifiers.iter().filter_map(|notifier| open(notifier, notify.link.as_deref()).err())
}

fn open(notifier: &config::Notifier, link: Option<&str>) -> Result<Arc<dyn Notifier>, OpenError> {
    let opened: Result<Arc<dyn Notifier>, Unusable> = match &notifier.kind {
        Kind::Webhook(kind) => Webhook::open(notifier, kind, link).map(|it| Arc::new(it) as _),
        Kind::Alertmanager(kind) => {
            Alertmanager::open(notifier, kind, link).map(|it| Arc::new(it) as _)
        }
        Kind::Elasticsearch(kind) => {
            Elasticsearch::open(notifier, kind, link).map(|it| Arc::new(it) as _)
        }
        Kind::Email(kind) => Email::open(notifier, kind, link).map(|it| Arc::new(it) as _),
        Kind::Pagerduty(kind) => Pagerduty::open(notifier, kind, link).map(|it| Arc::new(it) as _),
        Kind::Slack(kind) => Slack::open(notifier, kind, link).map(|it| Arc::new(it) as _),
        Kind::Syslog(kind) => Syslog::open(notifier, kind).map(|it| Arc::new(it) as _),
    };
    opened.map_err(|source| OpenError {
        kind: notifier.kind.as_str(),
        name: notifier.name.clone(),
        source: Box::new(source),
    })
}

/// The secret in a file that holds nothing else: one line, without white space around it.
pub(super) fn secret(file: &Path) -> Result<Zeroizing<String>, Unusable> {
    let text = Zeroizing::new(read_secret_file(file)?);
    let secret = text.trim();
    if secret.is_empty() || secret.contains(char::is_control) {
        return Err(Unusable::content(file, "it must hold one line with the secret"));
    }
    Ok(Zeroizing::new(secret.to_owned()))
}

/// The certificates of an authority, as PEM.
pub(super) fn authority(file: &Path) -> Result<String, Unusable> {
    Ok(read_file(file)?)
}
