//! PagerDuty, by version 2 of its Events API.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use atrest_proto::model::Severity;
use jiff::Timestamp;
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Serialize;
use zeroize::Zeroizing;

use super::http::Client;
use super::open::{Unusable, secret};
use super::text::{self, Story, short};
use super::{Message, NotTaken, Notice, Notifier};
use crate::alert::AlertState;
use crate::clock::Clock;
use crate::config;

/// Where events go, unless the configuration names another place, such as that of the EU.
const URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// The longest summary that is taken, in characters.
const SUMMARY: usize = 1_024;

/// A service of PagerDuty.
#[derive(Debug)]
pub struct Pagerduty {
    name: String,
    max_attempts: u32,
    url: Url,
    routing_key: RoutingKey,
    client: Client,
    link: Option<Arc<str>>,
}

struct RoutingKey(Zeroizing<String>);

impl std::fmt::Debug for RoutingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RoutingKey(…)")
    }
}

#[derive(Debug, Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    #[serde(rename = "event_action")]
    action: &'static str,
    dedup_key: &'a str,
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link<'a>>,
    payload: Payload,
}

#[derive(Debug, Serialize)]
struct Link<'a> {
    href: &'a str,
    text: &'static str,
}

#[derive(Debug, Serialize)]
struct Payload {
    summary: String,
    source: String,
    severity: &'static str,
    timestamp: Timestamp,
    component: String,
    group: String,
    class: String,
    custom_details: BTreeMap<&'static str, String>,
}

impl<'a> Event<'a> {
    fn of(message: &Message<'a>, routing_key: &'a str, story: &'a Story) -> Self {
        let (alert, finding) = (message.alert, &message.alert.finding);
        let mut details: BTreeMap<_, _> = text::fields(message).into_iter().collect();
        details.insert("remedy", story.remedy.clone());
        details.insert("why", story.why.unwrap_or_default().to_owned());
        if let (AlertState::Resolved, Some(end)) = (message.state, alert.end) {
            details.insert("end", end.as_str().to_owned());
        }
        details.retain(|_, value| !value.is_empty());
        let (action, timestamp) = match message.state {
            AlertState::Firing => ("trigger", alert.started_at),
            AlertState::Resolved => ("resolve", alert.ended_at.unwrap_or(alert.started_at)),
        };
        let link = story.link.as_deref();
        Self {
            routing_key,
            action,
            dedup_key: &alert.alert_id,
            client: "atrest",
            client_url: link,
            links: link.map(|href| Link { href, text: "More about it" }).into_iter().collect(),
            payload: Payload {
                summary: short(&story.title(), SUMMARY),
                source: story.host.clone(),
                severity: severity(finding.severity),
                timestamp,
                component: short(&text::line(&finding.asset), SUMMARY),
                group: short(&text::line(&alert.cluster), SUMMARY),
                class: story.check.clone(),
                custom_details: details,
            },
        }
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium | Severity::Low => "warning",
        Severity::Info => "info",
    }
}

impl Pagerduty {
    pub(super) fn open(
        notifier: &config::Notifier,
        pagerduty: &config::Pagerduty,
        link: Option<&str>,
    ) -> Result<Self, Unusable> {
        let file = &pagerduty.routing_key_file;
        let routing_key = secret(file)?;
        let url = match &pagerduty.url {
            Some(url) => url.clone(),
            None => URL.parse().map_err(|_| Unusable::content(file, "PagerDuty has no URL"))?,
        };
        let urls = std::slice::from_ref(&url);
        let mut client = Client::open(&pagerduty.http, notifier.timeout, urls)?;
        client.hide(&routing_key);
        Ok(Self {
            name: notifier.name.clone(),
            max_attempts: notifier.max_attempts,
            url,
            routing_key: RoutingKey(routing_key),
            client,
            link: link.map(Arc::from),
        })
    }
}

#[async_trait]
impl Notifier for Pagerduty {
    fn name(&self) -> &str {
        &self.name
    }

    fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// One: an incident is opened and closed by its alert's id.
    fn together(&self) -> usize {
        1
    }

    fn is_for_people(&self) -> bool {
        false
    }

    async fn deliver(&self, notice: &Notice<'_>, clock: &Clock) -> Result<(), NotTaken> {
        for message in &notice.messages {
            let story = Story::of(message, self.link.as_deref());
            let event = Event::of(message, &self.routing_key.0, &story);
            let body =
                serde_json::to_vec(&event).map_err(|error| NotTaken::because(error.to_string()))?;
            let url = self.url.clone();
            let answer = self.client.post(url, "application/json", HeaderMap::new(), body).await?;
            self.client.judge(&answer, clock.now())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::fixture;
    use super::*;

    #[test]
    fn an_alert_opens_an_incident_and_its_end_closes_it() {
        let alert = fixture::alert("0123");
        let message = Message { alert: &alert, state: AlertState::Firing, repeat: 0 };
        let story = Story::of(&message, Some("https://wiki.example.com/{check}"));
        let event = Event::of(&message, "KEY", &story);
        expect![[r#"
            {
              "routing_key": "KEY",
              "event_action": "trigger",
              "dedup_key": "0123",
              "client": "atrest",
              "client_url": "https://wiki.example.com/volume_encrypted",
              "links": [
                {
                  "href": "https://wiki.example.com/volume_encrypted",
                  "text": "More about it"
                }
              ],
              "payload": {
                "summary": "es-1: /srv/es rests in plaintext on /dev/sdb",
                "source": "es-1",
                "severity": "error",
                "timestamp": "2023-11-14T22:13:20Z",
                "component": "data:/srv/es",
                "group": "prod",
                "class": "volume_encrypted",
                "custom_details": {
                  "alert_id": "0123",
                  "asset": "data:/srv/es",
                  "check": "volume_encrypted",
                  "cluster": "prod",
                  "devices": "/dev/sdb,/dev/sdc",
                  "host": "es-1",
                  "host_id": "11111111-2222-4333-8444-555555555555",
                  "path": "/srv/es",
                  "remedy": "put dm-crypt under it:\n  cryptsetup luksFormat /dev/sdb",
                  "severity": "high",
                  "state": "firing",
                  "why": "Whoever takes the disk, its image or a decommissioned drive reads what the node wrote. It does not protect a running, unlocked node. For PCI DSS 3.5.1.2 it is supporting evidence only: disk encryption alone does not satisfy that requirement on fixed disks."
                }
              }
            }"#]].assert_eq(&serde_json::to_string_pretty(&event).unwrap());
        let message = Message { alert: &alert, state: AlertState::Resolved, repeat: 0 };
        let story = Story::of(&message, None);
        let event = Event::of(&message, "KEY", &story);
        assert_eq!((event.action, event.dedup_key), ("resolve", "0123"));
        assert_eq!(event.payload.custom_details["end"], "passed");
    }
}
