//! Hadoop's file system, over `WebHDFS` or `HttpFS`: whether the directory and what lies in it are in an encryption zone.
//!
//! As a user whose name the configuration gives; Kerberos is not spoken. Needs to read and enter the directories. Nothing
//! says whose the key of a zone is.

mod address;
pub(crate) mod answer;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use reqwest::Url;
use reqwest::header::HeaderMap;

use super::budget::Budget;
use super::http::Http;
use super::rest::{Question, Rest, Told};
use super::store::{Failure, Page, Store};
use super::survey;
use crate::repository::Facts;
use crate::repository::facts::{Provider, Seal};
use crate::repository::kind::Hdfs;
use crate::repository::sample::Listed;
use crate::snapshot::Observed;
use answer::{Entries, Status};

const READ: &str = "to read and enter the directories of the repository";
/// Directories of which everything below is listed at once.
const WALKED: usize = 8;

/// Asks all that there is to know of one repository.
pub(super) async fn look(
    repository: &Hdfs,
    http: &Http,
    budget: &Budget,
    draw: &mut dyn FnMut(usize) -> usize,
) -> Result<Facts, Failure> {
    let lacking = |detail: &str, remedy: &str| Failure::NoCredentials {
        detail: detail.to_owned(),
        remedy: remedy.to_owned(),
    };
    let web = repository.web.as_deref().and_then(address::base).ok_or_else(|| {
        lacking(
            "the address of WebHDFS or HttpFS is not known",
            "name it in the agent's configuration: webhdfs_url = \"https://HOST:9871\" in the settings of [[repositories]]",
        )
    })?;
    let path = repository.absolute().ok_or_else(|| {
        lacking(
            "its path is relative to the home of the node's user, which is not known",
            "name the whole path in the agent's configuration: webhdfs_path in the settings of [[repositories]]",
        )
    })?;
    let client = http.client().map_err(Failure::Other)?;
    let directory = Directory {
        path: path.trim_end_matches('/'),
        web,
        user: repository.user.as_deref(),
        has_batches: Cell::new(true),
        budget,
        rest: Rest::new(client, budget, says),
    };
    directory.facts(draw).await
}

fn says(_: &HeaderMap, body: &[u8]) -> Option<String> {
    answer::exception(body).map(|exception| format!("{}: {}", exception.class, exception.message))
}

/// One directory.
struct Directory<'a> {
    /// Absolute, without a slash at its end.
    path: &'a str,
    web: Url,
    user: Option<&'a str>,
    /// Hadoop 3 lists in parts.
    has_batches: Cell<bool>,
    budget: &'a Budget,
    rest: Rest<'a>,
}

impl Directory<'_> {
    async fn facts(&self, draw: &mut dyn FnMut(usize) -> usize) -> Result<Facts, Failure> {
        let question = self.question(self.path, &[("op", "GETFILESTATUS")])?;
        let (_, body) = self.explained(self.rest.paid(question).await)?;
        let found = answer::status(&body)?;
        if !found.is_directory {
            return Err(Failure::Gone(format!("{} is no directory", self.path)));
        }
        let base = self.path.trim_start_matches('/');
        let sample = survey::survey(self, base, self.budget, draw).await?;
        Ok(Facts {
            provider: Provider::Hdfs,
            // What is written below a zone is in it.
            default: found.seal,
            refuses_plain: Observed::Absent,
            keys: BTreeMap::new(),
            sample,
            requests: self.budget.used(),
        })
    }

    fn question(&self, path: &str, query: &[(&str, &str)]) -> Result<Question<'static>, Failure> {
        let path = if path.is_empty() { "/" } else { path };
        let mut url = address::of_path(&self.web, path).ok_or_else(|| {
            Failure::NotSupported("its path is none that can be asked about".to_owned())
        })?;
        url.query_pairs_mut().extend_pairs(query);
        if let Some(user) = self.user {
            url.query_pairs_mut().append_pair("user.name", user);
        }
        Ok(Question { url, headers: HeaderMap::new(), action: READ })
    }

    /// What refusals mean here.
    fn explained(&self, answer: Result<Told, Failure>) -> Result<Told, Failure> {
        answer.map_err(|failure| match failure {
            Failure::Refused { detail, .. } if detail.contains("StandbyException") => {
                Failure::Other(
                    "the name node of webhdfs_url is on standby: name the active one, or HttpFS"
                        .to_owned(),
                )
            }
            Failure::Refused { detail, .. } if detail.starts_with("401") => {
                Failure::NoCredentials {
                    detail: if self.user.is_some() {
                        "WebHDFS wants Kerberos, which the agent does not speak".to_owned()
                    } else {
                        "WebHDFS wants to know who asks".to_owned()
                    },
                    remedy: "name a user that may read in webhdfs_user; where Kerberos is wanted, name in webhdfs_url an HttpFS \
                             that takes users by their names, or have whoever runs Hadoop attest to its zones"
                        .to_owned(),
                }
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

    /// A directory, or what of it comes after a name. The first request is paid for.
    async fn entries(&self, path: &str, after: Option<&str>) -> Result<Entries, Failure> {
        if self.has_batches.get() {
            let mut query = vec![("op", "LISTSTATUS_BATCH")];
            query.extend(after.map(|after| ("startAfter", after)));
            match self.explained(self.rest.get(self.question(path, &query)?).await) {
                Ok((_, body)) => return Ok(answer::batch(&body)?),
                // Hadoop 2: the operation is none.
                Err(Failure::Other(detail)) if detail.starts_with("400 ") => {
                    self.has_batches.set(false);
                    self.budget.pay().map_err(Failure::Other)?;
                }
                Err(failure) => return Err(failure),
            }
        }
        let question = self.question(path, &[("op", "LISTSTATUS")])?;
        let (_, body) = self.explained(self.rest.get(question).await)?;
        Ok(answer::listing(&body)?)
    }

    /// All that lies below a directory, as far as a few requests lead.
    async fn walk(&self, prefix: &str) -> Result<Page, Failure> {
        let mut open = VecDeque::from([prefix.to_owned()]);
        let mut page = Page::default();
        let mut walked = 0;
        while let Some(directory) = open.pop_front() {
            if walked == WALKED || (walked > 0 && self.budget.pay().is_err()) {
                page.cut = Some(format!("{walked} of the directories below {prefix} listed"));
                break;
            }
            walked += 1;
            let found = self.entries(&path(&directory), None).await?;
            if found.is_cut {
                page.cut = Some(format!("the first part of {directory} listed"));
            }
            for entry in found.entries {
                if entry.is_directory {
                    open.push_back(format!("{directory}{}/", entry.name));
                } else {
                    page.objects.push(listed(&directory, entry));
                }
            }
        }
        Ok(page)
    }
}

/// `es/r/` is the directory `/es/r`.
fn path(prefix: &str) -> String {
    format!("/{}", prefix.trim_end_matches('/'))
}

fn listed(prefix: &str, entry: Status) -> Listed {
    Listed {
        name: format!("{prefix}{}", entry.name),
        written_at: entry.written_at,
        seal: Some(entry.seal),
    }
}

impl From<answer::Error> for Failure {
    fn from(error: answer::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl Store for Directory<'_> {
    async fn list(&self, prefix: &str, is_flat: bool, from: Option<&str>) -> Result<Page, Failure> {
        if is_flat {
            return self.walk(prefix).await;
        }
        let Entries { entries, is_cut } = self.entries(&path(prefix), from).await?;
        let next = entries.last().filter(|_| is_cut).map(|last| last.name.clone());
        // Nothing more came, and yet there is more: it would go on for ever.
        let cut = (is_cut && next.is_none()).then(|| format!("{prefix} not listed to its end"));
        let mut page = Page { next, cut, ..Page::default() };
        for entry in entries {
            if entry.is_directory {
                page.directories.push(format!("{prefix}{}/", entry.name));
            } else {
                page.objects.push(listed(prefix, entry));
            }
        }
        Ok(page)
    }

    async fn seal(&self, name: &str) -> Result<Option<Seal>, Failure> {
        // Listings tell, always: this is not called.
        Err(Failure::Other(format!("its listing does not tell of {name}")))
    }
}

#[cfg(test)]
mod tests;
