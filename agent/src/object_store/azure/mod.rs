//! Azure Blob Storage: the container's default, its listings, which tell of every blob whether it is encrypted, and from the
//! resource manager whose the keys are.
//!
//! With a shared access signature of the agent's own, or the managed identity of its machine; without any, as anybody. Needs
//! to list and read; for keys `Microsoft.Storage/storageAccounts/read` and `…/encryptionScopes/read`. The key of an account
//! is not taken: it may do everything. An endpoint that is none of Azure's is asked only where the agent's own configuration
//! names it, is shown nothing, and what it says is no proof.

pub(crate) mod answer;
mod endpoint;
mod identity;
pub(crate) mod sas;

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::budget::Budget;
use super::http::Http;
use super::rest::{self, Question, Rest};
use super::store::{Failure, Page, Store};
use super::survey;
use crate::repository::Facts;
use crate::repository::facts::{KeyFacts, Provider, Seal};
use crate::repository::kind::Azure;
use crate::snapshot::Observed;
use endpoint::{Cloud, Endpoint, Unknown};
use identity::Shown;

/// "Versioning for the Azure Storage services": one in which listings tell of scopes and clients' keys.
const VERSION: HeaderValue = HeaderValue::from_static("2021-12-02");
const GET: &str = "to read the container's properties (Storage Blob Data Reader)";
const LIST: &str = "to list and read the container's blobs (sp=rl, or Storage Blob Data Reader)";
const ACCOUNT: &str = "Microsoft.Storage/storageAccounts/read (Reader)";
const SCOPE: &str = "Microsoft.Storage/storageAccounts/encryptionScopes/read (Reader)";
/// More keys than this are not asked about.
const KEYS: usize = 8;

/// Asks all that there is to know of one repository.
pub(super) async fn look(
    repository: &Azure,
    http: &Http,
    budget: &Budget,
    draw: &mut dyn FnMut(usize) -> usize,
) -> Result<Facts, Failure> {
    let Endpoint { base, cloud, account } = endpoint::of(repository).map_err(unknown)?;
    let shown = match cloud {
        Some(_) => identity::for_blobs(repository.sas_file.as_deref(), budget).await?,
        None => Shown::Nothing,
    };
    let client = http.client().map_err(Failure::Other)?;
    let container = Container {
        name: &repository.container,
        base,
        is_azures: cloud.is_some(),
        account: &account,
        shown,
        budget,
        rest: Rest::new(client.clone(), budget, code),
    };
    let mut facts = container.facts(&repository.base_path, draw).await?;
    let seals = facts.sample.objects.iter().filter_map(|object| object.seal.known());
    let named = super::named_keys(seals.chain(facts.default.known()));
    if let Some(cloud) = cloud {
        let manager = Rest::new(client, budget, |_, body| answer::says(body));
        let keys = Keys { cloud, account: &account, id: repository.resource_id.as_deref() };
        facts.keys = keys.describe(&named, &manager, budget).await;
        facts.requests = budget.used();
    }
    Ok(facts)
}

fn unknown(why: Unknown) -> Failure {
    let (detail, remedy) = match why {
        Unknown::Account => (
            "the storage account is not known: the node has it in its keystore",
            "name it in the agent's configuration: azure_account in the settings of [[repositories]]",
        ),
        Unknown::NotAzures => (
            "the node's endpoint is none of Azure's",
            "name it in the agent's configuration to have it asked: azure_endpoint in the settings of [[repositories]]",
        ),
        Unknown::Address => (
            "azure_endpoint is no address of HTTP",
            "correct azure_endpoint in the settings of [[repositories]]",
        ),
    };
    Failure::NoCredentials { detail: detail.to_owned(), remedy: remedy.to_owned() }
}

/// The code of an error. Messages may quote what was asked.
fn code(headers: &HeaderMap, _: &[u8]) -> Option<String> {
    rest::text(headers, "x-ms-error-code").map(str::to_owned)
}

/// One container.
struct Container<'a> {
    name: &'a str,
    base: Url,
    is_azures: bool,
    account: &'a str,
    shown: Shown,
    budget: &'a Budget,
    rest: Rest<'a>,
}

impl Container<'_> {
    async fn facts(
        &self,
        base_path: &str,
        draw: &mut dyn FnMut(usize) -> usize,
    ) -> Result<Facts, Failure> {
        let default = match self.default().await {
            Ok(default) => Observed::Known(default),
            Err(failure @ Failure::Unreachable(_)) => return Err(failure),
            Err(Failure::Gone(_)) => {
                return Err(Failure::Gone(format!("there is no container {}", self.name)));
            }
            // A signature for a container may list it, and yet not see its properties.
            Err(failure) => failure.observed(),
        };
        let sample = survey::survey(self, base_path, self.budget, draw).await?;
        Ok(Facts {
            provider: if self.is_azures { Provider::Azure } else { Provider::AzureLike },
            default,
            // Azure's own store encrypts whatever is written.
            refuses_plain: Observed::Absent,
            keys: BTreeMap::new(),
            sample,
            requests: self.budget.used(),
        })
    }

    /// "Get Container Properties": the scope of what is written without one.
    async fn default(&self) -> Result<Seal, Failure> {
        let question = self.question(&[], GET)?;
        let (headers, _) = self.explained(self.rest.paid(question).await)?;
        let scope = rest::text(&headers, "x-ms-default-encryption-scope");
        Ok(answer::seal(scope.unwrap_or_default(), self.account))
    }

    fn question<'q>(
        &self,
        query: &[(&str, &str)],
        action: &'q str,
    ) -> Result<Question<'q>, Failure> {
        let mut url = endpoint::container(&self.base, self.name).ok_or_else(|| {
            Failure::NotSupported("its container has no name that a container can have".to_owned())
        })?;
        url.query_pairs_mut().append_pair("restype", "container").extend_pairs(query);
        let mut headers =
            HeaderMap::from_iter([(HeaderName::from_static("x-ms-version"), VERSION)]);
        match &self.shown {
            Shown::Signature(signature) => {
                let query = url.query().unwrap_or_default();
                let query = format!("{query}&{}", signature.as_str());
                url.set_query(Some(&query));
            }
            Shown::Token(token) => {
                headers.insert(AUTHORIZATION, token.clone());
            }
            Shown::Nothing => {}
        }
        Ok(Question { url, headers, action })
    }

    /// Who asks without credentials is told 404 or 409 of what is not public: "Configure anonymous read access".
    fn explained<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let is_anonymous = matches!(self.shown, Shown::Nothing);
        answer.map_err(|failure| match failure {
            Failure::Refused { .. } | Failure::Gone(_) if self.is_azures && is_anonymous => {
                identity::lacking()
            }
            Failure::Other(detail)
                if self.is_azures && is_anonymous && detail.starts_with("409 ") =>
            {
                identity::lacking()
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

impl Store for Container<'_> {
    fn listings_tell(&self) -> bool {
        true
    }

    async fn list(&self, prefix: &str, is_flat: bool, from: Option<&str>) -> Result<Page, Failure> {
        let mut query = vec![("comp", "list"), ("maxresults", "1000"), ("prefix", prefix)];
        if !is_flat {
            query.push(("delimiter", "/"));
        }
        query.extend(from.map(|marker| ("marker", marker)));
        let question = self.question(&query, LIST)?;
        let (_, body) = self.explained(self.rest.get(question).await)?;
        Ok(answer::page(&body, self.account)?)
    }

    async fn seal(&self, name: &str) -> Result<Option<Seal>, Failure> {
        // Listings tell, always: this is not called.
        Err(Failure::Other(format!("its listing does not tell of {name}")))
    }
}

/// Whose keys are, as the resource of the account says.
struct Keys<'a> {
    cloud: &'static Cloud,
    account: &'a str,
    id: Option<&'a str>,
}

impl Keys<'_> {
    async fn describe(
        &self,
        named: &BTreeSet<String>,
        manager: &Rest<'_>,
        budget: &Budget,
    ) -> BTreeMap<String, Observed<KeyFacts>> {
        if named.is_empty() {
            return BTreeMap::new();
        }
        let authorization = match self.id {
            None => Err(missing("azure_resource_id is not set")),
            Some(_) => match identity::for_manager(self.cloud.manager, budget).await {
                Ok(Some(authorization)) => Ok(authorization),
                Ok(None) => Err(missing("the machine has no managed identity")),
                Err(failure) => Err(failure),
            },
        };
        let mut keys = BTreeMap::new();
        for name in named.iter().take(KEYS) {
            let found = match &authorization {
                Ok(authorization) => self.one(name, authorization, manager).await,
                Err(failure) => Err(failure.clone()),
            };
            let found = found.map_or_else(|failure| failure.observed(), Observed::Known);
            keys.insert(name.clone(), found);
        }
        keys
    }

    async fn one(
        &self,
        name: &str,
        authorization: &HeaderValue,
        manager: &Rest<'_>,
    ) -> Result<KeyFacts, Failure> {
        let scope = answer::scope_of(name);
        let below: &[&str] = match scope {
            Some(scope) => &["encryptionScopes", scope],
            None if name == answer::account_key(self.account) => &[],
            None => return Err(missing("a scope with a name that none can have")),
        };
        let url = endpoint::resource(self.cloud, self.id.unwrap_or_default(), self.account, below)
            .ok_or_else(|| missing("azure_resource_id is not that of this account"))?;
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization.clone())]);
        let action = if scope.is_some() { SCOPE } else { ACCOUNT };
        let (_, body) = manager.paid(Question { url, headers, action }).await?;
        Ok(if scope.is_some() { answer::scope(&body)? } else { answer::account(&body)? })
    }
}

fn missing(detail: &str) -> Failure {
    Failure::NoCredentials { detail: detail.to_owned(), remedy: String::new() }
}

#[cfg(test)]
mod tests;
