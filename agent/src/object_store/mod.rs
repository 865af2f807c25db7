//! Asks the stores of snapshot repositories what lies in them and how it is encrypted. Reads only.
//!
//! This is of the half that talks: it has no privileges and judges nothing. One file for each kind of store, behind [`Store`];
//! what they answer are [`crate::repository::Facts`].

mod answer;
pub(crate) mod azure;
mod budget;
mod files;
mod form;
pub(crate) mod gcs;
mod http;
mod memory;
mod rest;
mod s3;
mod settings;
#[cfg(test)]
mod stand_in;
mod store;
mod survey;
pub mod volumes;
pub(crate) mod webhdfs;
mod words;
pub(crate) mod xml;

use std::collections::BTreeSet;
use std::time::Duration;

use atrest_proto::model::Service;
use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::Timestamp;

use crate::daemon;
use crate::duties::Duties;
use crate::repository::facts::{Seal, SealKey};
use crate::repository::{Backend, Facts, Looked, Observation, share};
use budget::Budget;
use http::Http;
pub use memory::Memory;
pub use settings::Settings;
use store::Failure;

/// Repositories that are asked at the same time.
const AT_ONCE: usize = 4;

/// Asks every store, and fills in what came of it; what is remembered and still good is not asked again, nor what another
/// agent of the cluster asks.
///
/// Only for this machine itself: a recording keeps what was answered when it was made.
pub fn consult(
    repositories: &mut [Observation],
    services: &[Service],
    settings: &Settings,
    memory: &mut Memory,
    duties: &Duties,
    now: Timestamp,
) {
    let mut shared = BTreeSet::new();
    for one in repositories.iter_mut().filter(|one| one.backend.is_remote()) {
        let of_service =
            |service: &&Service| Some(&service.name) == one.registered.service.as_ref();
        let service = services.iter().find(of_service);
        let key = share::key(one, service.and_then(|service| service.cluster_uuid.as_deref()));
        shared.extend(key);
        let elsewhere = key.and_then(|key| duties.elsewhere(&key, &one.asset, now));
        one.looked = match elsewhere {
            Some(host) => Some(Looked::Elsewhere { host }),
            None => memory.recall(one, now),
        };
    }
    duties.share("repositories", shared);
    let is_open = |one: &&mut Observation| one.backend.is_remote() && one.looked.is_none();
    let mut open: Vec<&mut Observation> = repositories.iter_mut().filter(is_open).collect();
    if open.is_empty() {
        return;
    }
    let answers = match prepare(settings) {
        Ok((http, runtime)) => runtime.block_on(ask_all(&open, settings, &http, now)),
        Err(looked) => vec![looked; open.len()],
    };
    for (one, answer) in open.iter_mut().zip(answers) {
        one.looked = Some(answer);
    }
    let answered = open.into_iter().filter_map(|one| Some((one.clone(), one.looked.clone()?)));
    memory.keep(answered, settings.interval, now);
}

/// The way to the stores, or why none is asked.
fn prepare(settings: &Settings) -> Result<(Http, tokio::runtime::Runtime), Looked> {
    let not_asked =
        |detail: String, remedy: &str| Looked::NotAsked { detail, remedy: remedy.to_owned() };
    if !settings.enabled {
        return Err(not_asked(
            "the agent's configuration forbids asking".to_owned(),
            "set remote_repositories.enabled = true",
        ));
    }
    let http = Http::new(settings).map_err(|why| {
        not_asked(why.to_string(), "correct [remote_repositories] of the configuration")
    })?;
    let runtime = daemon::runtime().map_err(|error| {
        not_asked(error.to_string(), "look at the limits of processes and files")
    })?;
    Ok((http, runtime))
}

/// The answers of all of them, in their order.
async fn ask_all(
    remote: &[&mut Observation],
    settings: &Settings,
    http: &Http,
    now: Timestamp,
) -> Vec<Looked> {
    // Collected first: a closure that borrows is of no one lifetime.
    let questions: Vec<_> = remote.iter().map(|one| ask(one, settings, http, now)).collect();
    stream::iter(questions).buffered(AT_ONCE).collect().await
}

async fn ask(repository: &Observation, settings: &Settings, http: &Http, now: Timestamp) -> Looked {
    let budget = Budget::new(settings.requests, settings.timeout);
    // The budget ends it before; this is for a request that does not know of it.
    let grace = settings.timeout.saturating_add(Duration::from_secs(2));
    let asked = Box::pin(ask_store(repository, http, &budget, now));
    let asked = tokio::time::timeout(grace, asked).await;
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
    now: Timestamp,
) -> Result<Facts, Failure> {
    match &repository.backend {
        Backend::S3(s3) => Box::pin(s3::look(s3, http, budget, &mut draw)).await,
        Backend::Gcs(gcs) => Box::pin(gcs::look(gcs, http, budget, now, &mut draw)).await,
        Backend::Hdfs(hdfs) => Box::pin(webhdfs::look(hdfs, http, budget, &mut draw)).await,
        Backend::Azure(azure) => Box::pin(azure::look(azure, http, budget, &mut draw)).await,
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
        Failure::Unreachable(_) | Failure::Throttled(_) => Looked::Unreachable { detail, remedy },
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
