//! Asks the stores of snapshot repositories what lies in them and how it is encrypted. Reads only.
//!
//! This is of the half that talks: it has no privileges and judges nothing. One file for each kind of store, behind [`Store`];
//! what they answer are [`crate::repository::Facts`].

mod budget;
mod http;
mod s3;
mod settings;
mod store;
mod survey;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::daemon;
use crate::discovery::Discovery;
use crate::host::Host;
use crate::repository::facts::{Seal, SealKey};
use crate::repository::{Backend, Facts, Looked, Observation};
use budget::Budget;
use http::Http;
pub use settings::Settings;
use store::Failure;

/// Repositories that are asked at the same time.
const AT_ONCE: usize = 4;

/// Asks every store, and fills in what came of it.
///
/// Only for this machine itself: a recording keeps what was answered when it was made.
pub fn consult(host: &dyn Host, found: &mut Discovery, settings: &Settings) {
    let is_here = host.is_live() && host.sees_own_root();
    if !is_here || !found.repositories.iter().any(|one| one.backend.is_remote()) {
        return;
    }
    let not_asked =
        |detail: String, remedy: &str| Looked::NotAsked { detail, remedy: remedy.to_owned() };
    if !settings.enabled {
        let looked = not_asked(
            "the agent's configuration forbids asking".to_owned(),
            "set remote_repositories.enabled = true",
        );
        fill(found, |_| Some(looked.clone()));
        return;
    }
    match (Http::new(settings), daemon::runtime()) {
        (Ok(http), Ok(runtime)) => {
            let answers = runtime.block_on(ask_all(&found.repositories, settings, &http));
            let mut answers = answers.into_iter();
            fill(found, |_| answers.next());
        }
        (Err(why), _) => {
            let looked =
                not_asked(why.to_string(), "correct [remote_repositories] of the configuration");
            fill(found, |_| Some(looked.clone()));
        }
        (_, Err(error)) => {
            let looked = not_asked(error.to_string(), "look at the limits of processes and files");
            fill(found, |_| Some(looked.clone()));
        }
    }
}

/// Gives every remote repository its answer.
fn fill(found: &mut Discovery, mut answer: impl FnMut(&Observation) -> Option<Looked>) {
    for one in found.repositories.iter_mut().filter(|one| one.backend.is_remote()) {
        one.looked = answer(one);
    }
}

/// The answers of all remote repositories, in their order.
async fn ask_all(repositories: &[Observation], settings: &Settings, http: &Http) -> Vec<Looked> {
    let remote = repositories.iter().filter(|one| one.backend.is_remote());
    // Collected first: a closure that borrows is of no one lifetime.
    let questions: Vec<_> = remote.map(|one| ask(one, settings, http)).collect();
    stream::iter(questions).buffered(AT_ONCE).collect().await
}

async fn ask(repository: &Observation, settings: &Settings, http: &Http) -> Looked {
    let budget = Budget::new(settings.requests, settings.timeout);
    // The budget ends it before; this is for a request that does not know of it.
    let grace = settings.timeout.saturating_add(Duration::from_secs(2));
    let asked = tokio::time::timeout(grace, Box::pin(ask_store(repository, http, &budget))).await;
    match asked {
        Ok(Ok(facts)) => Looked::Told(Box::new(facts)),
        Ok(Err(failure)) => failed(&failure),
        Err(_) => {
            failed(&Failure::Unreachable(format!("no answer in {} s", settings.timeout.as_secs())))
        }
    }
}

async fn ask_store(
    repository: &Observation,
    http: &Http,
    budget: &Budget,
) -> Result<Facts, Failure> {
    match &repository.backend {
        Backend::S3(s3) => Box::pin(s3::look(s3, http, budget, &mut draw)).await,
        Backend::Gcs(_) | Backend::Azure(_) | Backend::Hdfs(_) => {
            Err(Failure::NotSupported("this kind of store is not asked yet".to_owned()))
        }
        Backend::Directory(_) | Backend::Opaque { .. } => {
            Err(Failure::NotSupported("this is no store".to_owned()))
        }
    }
}

/// A number below `bound`: which objects are asked about nobody should be able to foretell.
fn draw(bound: usize) -> usize {
    let fraction = crate::transport::tls::chance();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "bounds are a few thousand"
    )]
    let drawn = (fraction * bound as f64) as usize;
    drawn
}

fn failed(failure: &Failure) -> Looked {
    let (detail, remedy) = (failure.to_string(), failure.remedy());
    match failure {
        Failure::Unreachable(_) | Failure::Throttled => Looked::Unreachable { detail, remedy },
        Failure::Refused { .. }
        | Failure::NoCredentials { .. }
        | Failure::Gone(_)
        | Failure::NotSupported(_)
        | Failure::Other(_) => Looked::NotAsked { detail, remedy },
    }
}

/// The keys that seals name.
fn named_keys<'a>(seals: impl Iterator<Item = &'a Seal>) -> BTreeSet<String> {
    let named = seals.filter_map(|seal| match &seal.key {
        SealKey::Named(name) => Some(name.clone()),
        SealKey::Provider | SealKey::Customer(_) | SealKey::Supplied | SealKey::Unknown => None,
    });
    named.collect()
}
