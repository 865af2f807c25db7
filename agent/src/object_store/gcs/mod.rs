//! Google Cloud Storage: the bucket's default, and its listings, which tell of every object how it is encrypted.
//!
//! By the JSON API, with credentials of the agent's own: a file, the standard places for one, or the account of the instance;
//! without any, as anybody. Needs `storage.buckets.get` and `storage.objects.list`. An endpoint that is not Google's own is
//! shown no credentials, and what it says is no proof.

pub(crate) mod answer;
pub(crate) mod credentials;
mod endpoint;
mod token;

use jiff::Timestamp;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::budget::Budget;
use super::http::Http;
use super::rest::{Question, Rest, Told};
use super::store::{Failure, Page, Store};
use super::survey;
use crate::repository::Facts;
use crate::repository::facts::{Provider, Seal};
use crate::repository::kind::Gcs;
use crate::snapshot::Observed;

const GET: &str = "storage.buckets.get";
const LIST: &str = "storage.objects.list";

/// Asks all that there is to know of one repository.
pub(super) async fn look(
    repository: &Gcs,
    http: &Http,
    budget: &Budget,
    now: Timestamp,
    draw: &mut dyn FnMut(usize) -> usize,
) -> Result<Facts, Failure> {
    let endpoint = endpoint::of(repository.endpoint.as_deref()).ok_or_else(|| {
        Failure::NotSupported("the endpoint of its client is no address of HTTP".to_owned())
    })?;
    let authorization = if endpoint.is_googles {
        let file = repository.credentials_file.as_deref();
        Box::pin(token::authorization(file, http, budget, now)).await?
    } else {
        None
    };
    let client = http.client().map_err(Failure::Other)?;
    let bucket = Bucket {
        name: &repository.bucket,
        base: endpoint.base,
        is_googles: endpoint.is_googles,
        authorization,
        rest: Rest::new(client, budget, |_, body| answer::says(body)),
    };
    bucket.facts(&repository.base_path, budget, draw).await
}

/// One bucket.
struct Bucket<'a> {
    name: &'a str,
    base: Url,
    is_googles: bool,
    authorization: Option<HeaderValue>,
    rest: Rest<'a>,
}

impl Bucket<'_> {
    async fn facts(
        &self,
        base_path: &str,
        budget: &Budget,
        draw: &mut dyn FnMut(usize) -> usize,
    ) -> Result<Facts, Failure> {
        let default = match self.default().await {
            Ok(default) => default,
            Err(failure @ Failure::Unreachable(_)) => return Err(failure),
            Err(Failure::Gone(_)) => {
                return Err(Failure::Gone(format!("there is no bucket {}", self.name)));
            }
            // Listings may be allowed.
            Err(failure) => failure.observed(),
        };
        let sample = survey::survey(self, base_path, budget, draw).await?;
        Ok(Facts {
            provider: if self.is_googles { Provider::GoogleCloud } else { Provider::GoogleLike },
            default,
            // Google's own store encrypts whatever is written.
            refuses_plain: Observed::Absent,
            keys: std::collections::BTreeMap::new(),
            sample,
            requests: budget.used(),
        })
    }

    async fn default(&self) -> Result<Observed<Seal>, Failure> {
        let question = self.question(&[], &[("fields", answer::BUCKET_FIELDS)], GET)?;
        let (_, body) = self.explained(self.rest.paid(question).await)?;
        Ok(answer::bucket(&body, self.is_googles)?)
    }

    fn question<'q>(
        &self,
        below: &[&str],
        query: &[(&str, &str)],
        action: &'q str,
    ) -> Result<Question<'q>, Failure> {
        let mut url = endpoint::address(&self.base, self.name, below).ok_or_else(|| {
            Failure::NotSupported("its bucket has no name that a bucket can have".to_owned())
        })?;
        url.query_pairs_mut().extend_pairs(query);
        let mut headers = HeaderMap::new();
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Ok(Question { url, headers, action })
    }

    /// Who asks without credentials is refused for that.
    fn explained(&self, answer: Result<Told, Failure>) -> Result<Told, Failure> {
        answer.map_err(|failure| match failure {
            Failure::Refused { .. } if self.is_googles && self.authorization.is_none() => {
                token::lacking()
            }
            Failure::Refused { .. }
            | Failure::Unreachable(_)
            | Failure::NoCredentials { .. }
            | Failure::Gone(_)
            | Failure::Throttled(_)
            | Failure::NotSupported(_)
            | Failure::Other(_) => failure,
        })
    }
}

impl From<answer::Error> for Failure {
    fn from(error: answer::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl Store for Bucket<'_> {
    fn listings_tell(&self) -> bool {
        true
    }

    async fn list(&self, prefix: &str, is_flat: bool, from: Option<&str>) -> Result<Page, Failure> {
        let mut query =
            vec![("fields", answer::PAGE_FIELDS), ("maxResults", "1000"), ("prefix", prefix)];
        if !is_flat {
            query.push(("delimiter", "/"));
        }
        query.extend(from.map(|token| ("pageToken", token)));
        let question = self.question(&["o"], &query, LIST)?;
        let (_, body) = self.explained(self.rest.get(question).await)?;
        Ok(answer::page(&body, self.is_googles)?)
    }

    async fn seal(&self, name: &str) -> Result<Option<Seal>, Failure> {
        // Listings tell, always: this is not called.
        Err(Failure::Other(format!("its listing does not tell of {name}")))
    }
}

#[cfg(test)]
mod tests;
