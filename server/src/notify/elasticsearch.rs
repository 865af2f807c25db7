//! An index or data stream of Elasticsearch or OpenSearch: documents in the Elastic Common Schema, by `_bulk`.
//!
//! A document's id is the message's, and it is only ever created: what is told again is there already.

use std::sync::Arc;

use async_trait::async_trait;
use atrest_proto::model::Severity;
use jiff::Timestamp;
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Client, join, place};
use super::open::Unusable;
use super::text::Story;
use super::{Message, NotTaken, Notice, Notifier};
use crate::alert::AlertState;
use crate::clock::Clock;
use crate::config;

/// How many documents one request holds.
const TOGETHER: usize = 500;
/// The version of the schema that the documents follow.
const ECS: &str = "8.17.0";

/// A cluster, by the nodes that are asked.
#[derive(Debug)]
pub struct Elasticsearch {
    name: String,
    max_attempts: u32,
    urls: Vec<Url>,
    client: Client,
    link: Option<Arc<str>>,
}

/// Fields of ECS, and what has none there below `atrest`.
fn document(message: &Message<'_>, link: Option<&str>) -> Value {
    let (alert, finding) = (message.alert, &message.alert.finding);
    let story = Story::of(message, link);
    let at = match message.state {
        AlertState::Firing => alert.started_at,
        AlertState::Resolved => alert.ended_at.unwrap_or(alert.started_at),
    };
    let is_over = message.state == AlertState::Resolved;
    json!({
        "@timestamp": at,
        "ecs": { "version": ECS },
        "message": story.title(),
        "event": {
            "kind": "alert",
            "category": ["configuration"],
            "type": ["info"],
            "module": "atrest",
            "dataset": "atrest.alerts",
            "provider": "atrest-server",
            "id": message.id(),
            "action": message.state.as_str(),
            "severity": severity(finding.severity),
            "start": alert.started_at,
            "end": is_over.then_some(alert.ended_at).flatten(),
            "reason": story.why,
            "reference": story.link,
        },
        "rule": {
            "id": finding.check,
            "name": finding.check,
            "category": "encryption at rest",
            "description": story.why,
        },
        "host": { "id": alert.host_id, "name": alert.hostname, "hostname": alert.hostname },
        "orchestrator": { "cluster": { "name": alert.cluster } },
        "file": { "path": alert.path },
        "related": { "hosts": [alert.hostname] },
        "atrest": {
            "alert_id": alert.alert_id,
            "state": message.state.as_str(),
            "check": finding.check,
            "severity": finding.severity.to_string(),
            "cluster": alert.cluster,
            "asset": finding.asset,
            "path": alert.path,
            "devices": alert.devices,
            "summary": finding.summary,
            "remedy": finding.remedy,
            "episode": alert.episode,
            "end": is_over.then_some(alert.end).flatten(),
        },
    })
}

/// As Elastic's own rules have it: 21, 47, 73, 99.
const fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 1,
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
        Severity::Critical => 99,
    }
}

/// The body: for each document a line that says what to do, and the document in a line.
fn body(notice: &Notice<'_>, link: Option<&str>) -> String {
    let mut body = String::new();
    for message in &notice.messages {
        let create = json!({ "create": { "_id": message.id() } });
        body.push_str(&format!("{create}\n{}\n", document(message, link)));
    }
    body
}

/// What `_bulk` answers, as far as it matters.
#[derive(Debug, Deserialize)]
struct Answer {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    create: Created,
}

#[derive(Debug, Deserialize)]
struct Created {
    status: u16,
    #[serde(default)]
    error: Value,
}

/// Why not all of `count` documents are there; `None` when they are. What is there already (409) is there.
fn missing(answer: &[u8], count: usize) -> Option<String> {
    let Ok(answer) = serde_json::from_slice::<Answer>(answer) else {
        return Some("answered something else than `_bulk` does".to_owned());
    };
    if answer.items.len() != count {
        return Some(format!("answered for {} of {count} documents", answer.items.len()));
    }
    let is_there = |status| matches!(status, 200 | 201 | 409);
    let refused: Vec<_> =
        answer.items.iter().map(|item| &item.create).filter(|it| !is_there(it.status)).collect();
    let first = refused.first()?;
    let word = |name| first.error.get(name).and_then(Value::as_str).unwrap_or_default();
    Some(format!(
        "{} of {count} documents were refused, the first with {} {}: {}",
        refused.len(),
        first.status,
        word("type"),
        word("reason"),
    ))
}

impl Elasticsearch {
    pub(super) fn open(
        notifier: &config::Notifier,
        elasticsearch: &config::Elasticsearch,
        link: Option<&str>,
    ) -> Result<Self, Unusable> {
        let urls = &elasticsearch.urls;
        let client = Client::open(&elasticsearch.http, notifier.timeout, urls)?
            .authorize(&elasticsearch.auth)?;
        let path = format!("{}/_bulk", elasticsearch.index);
        Ok(Self {
            name: notifier.name.clone(),
            max_attempts: notifier.max_attempts,
            urls: urls.iter().map(|url| join(url, &path)).collect(),
            client,
            link: link.map(Arc::from),
        })
    }

    async fn bulk(
        &self,
        url: &Url,
        body: String,
        count: usize,
        now: Timestamp,
    ) -> Result<(), NotTaken> {
        let content_type = "application/x-ndjson";
        let answer = self.client.post(url.clone(), content_type, HeaderMap::new(), body).await?;
        self.client.judge(&answer, now)?;
        match missing(&answer.body, count) {
            None => Ok(()),
            // It may be one document that is not wanted.
            Some(why) => {
                Err(NotTaken { refused: true, ..NotTaken::because(self.client.excerpt(&why)) })
            }
        }
    }
}

#[async_trait]
impl Notifier for Elasticsearch {
    fn name(&self) -> &str {
        &self.name
    }

    fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    fn together(&self) -> usize {
        TOGETHER
    }

    fn is_for_people(&self) -> bool {
        false
    }

    async fn deliver(&self, notice: &Notice<'_>, clock: &Clock) -> Result<(), NotTaken> {
        let body = body(notice, self.link.as_deref());
        let mut whys = Vec::new();
        let (mut retry_after, mut refused) = (None, false);
        for url in &self.urls {
            match self.bulk(url, body.clone(), notice.messages.len(), clock.now()).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    whys.push(format!("{}: {}", place(url), error.why));
                    retry_after = retry_after.max(error.retry_after);
                    refused |= error.refused;
                }
            }
        }
        Err(NotTaken { why: whys.join("; "), retry_after, refused })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::super::fixture;
    use super::*;

    #[test]
    fn a_document_follows_the_common_schema() {
        let alert = fixture::alert("0123");
        let message = Message { alert: &alert, state: AlertState::Resolved, repeat: 0 };
        let document = document(&message, None);
        expect![[r#"
            {
              "@timestamp": "2023-11-14T23:14:21Z",
              "atrest": {
                "alert_id": "0123",
                "asset": "data:/srv/es",
                "check": "volume_encrypted",
                "cluster": "prod",
                "devices": [
                  "/dev/sdb",
                  "/dev/sdc"
                ],
                "end": "passed",
                "episode": 1,
                "path": "/srv/es",
                "remedy": "put dm-crypt under it:\n  cryptsetup luksFormat /dev/sdb",
                "severity": "high",
                "state": "resolved",
                "summary": "/srv/es rests in plaintext on /dev/sdb"
              },
              "ecs": {
                "version": "8.17.0"
              },
              "event": {
                "action": "resolved",
                "category": [
                  "configuration"
                ],
                "dataset": "atrest.alerts",
                "end": "2023-11-14T23:14:21Z",
                "id": "0123-resolved",
                "kind": "alert",
                "module": "atrest",
                "provider": "atrest-server",
                "reason": null,
                "reference": null,
                "severity": 73,
                "start": "2023-11-14T22:13:20Z",
                "type": [
                  "info"
                ]
              },
              "file": {
                "path": "/srv/es"
              },
              "host": {
                "hostname": "es-1",
                "id": "11111111-2222-4333-8444-555555555555",
                "name": "es-1"
              },
              "message": "es-1: /srv/es rests in plaintext on /dev/sdb",
              "orchestrator": {
                "cluster": {
                  "name": "prod"
                }
              },
              "related": {
                "hosts": [
                  "es-1"
                ]
              },
              "rule": {
                "category": "encryption at rest",
                "description": null,
                "id": "volume_encrypted",
                "name": "volume_encrypted"
              }
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&document).unwrap());
    }

    #[test]
    fn a_body_is_pairs_of_lines() {
        let alerts = [fixture::alert("0"), fixture::alert("1")];
        let body = body(&fixture::told(&alerts), None);
        assert!(body.ends_with('\n'));
        let lines: Vec<Value> =
            body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[2], json!({ "create": { "_id": "1-firing" } }));
        assert_eq!(lines[3]["event"]["id"], "1-firing");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn each_document_must_be_there() {
        let created = r#"{"create":{"_index":"a","_id":"0","status":201}}"#;
        let known =
            r#"{"create":{"status":409,"error":{"type":"version_conflict_engine_exception"}}}"#;
        let refused = r#"{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"no"}}}"#;
        let answer =
            |items: &[&str]| format!(r#"{{"took":1,"errors":true,"items":[{}]}}"#, items.join(","));
        let said = |items: &[&str], count| missing(answer(items).as_bytes(), count);
        assert_eq!(said(&[created, known], 2), None);
        assert_eq!(
            said(&[created, refused, known], 3).unwrap(),
            "1 of 3 documents were refused, the first with 400 document_parsing_exception: no"
        );
        assert_eq!(said(&[created], 2).unwrap(), "answered for 1 of 2 documents");
        assert!(missing(b"{}", 1).is_some() && missing(b"", 1).is_some());
    }

    proptest! {
        #[test]
        fn no_answer_breaks_it_and_none_of_them_counts(bytes in any::<Vec<u8>>(), text in "\\PC*") {
            prop_assert!(missing(&bytes, 1).is_some());
            prop_assert!(missing(text.as_bytes(), 1).is_some());
        }
    }
}
