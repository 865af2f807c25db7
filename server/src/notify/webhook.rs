//! Signed JSON over HTTP, as Standard Webhooks has it. Any 2xx is delivered; everything else is tried again.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::http::Client;
use super::open::Unusable;
use super::signature::{ID_HEADER, SIGNATURE_HEADER, Secrets, TIMESTAMP_HEADER};
use super::text::worst_first;
use super::why::why;
use super::{Message, NotTaken, Notice, Notifier, link};
use crate::alert::{AlertEnd, AlertState};
use crate::clock::Clock;
use crate::config;
use crate::state_dir::read_secret_file;

/// The name and version of the body that tells of one alert.
pub const SCHEMA: &str = "atrest.alert/1";
/// The name and version of the body that tells of several.
pub const GROUP_SCHEMA: &str = "atrest.alerts/1";
/// How many alerts one body tells of where they are told together: less than a mebibyte, as a rule.
const TOGETHER: usize = 500;

/// The body. Its keys are part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    pub schema: String,
    pub alert_id: String,
    pub state: AlertState,
    pub check: String,
    pub severity: String,
    pub host_id: String,
    pub host: String,
    pub cluster: String,
    pub asset: String,
    pub path: String,
    /// The devices that hold plaintext.
    pub devices: Vec<String>,
    pub summary: String,
    /// Why the check matters; of a check that this version does not know, nothing is known.
    #[serde(default)]
    pub why: Option<String>,
    pub remedy: String,
    /// Where people read more, as `notify.link` has it.
    #[serde(default)]
    pub link: Option<String>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Set with `ended_at`: whether it was seen to pass, or why it is over without that.
    #[serde(default)]
    pub end: Option<AlertEnd>,
}

impl Payload {
    /// `link` is a template, see [`link`](super::link).
    pub fn of(message: &Message<'_>, link: Option<&str>) -> Self {
        let alert = message.alert;
        let finding = &alert.finding;
        Self {
            schema: SCHEMA.to_owned(),
            alert_id: alert.alert_id.clone(),
            state: message.state,
            check: finding.check.clone(),
            severity: finding.severity.to_string(),
            host_id: alert.host_id.clone(),
            host: alert.hostname.clone(),
            cluster: alert.cluster.clone(),
            asset: finding.asset.clone(),
            path: alert.path.clone(),
            devices: alert.devices.clone(),
            summary: finding.summary.clone(),
            why: why(&finding.check).map(str::to_owned),
            remedy: finding.remedy.clone(),
            link: link.map(|link| link::fill(link, message)),
            started_at: alert.started_at,
            // A late "firing" does not know of its own end: every attempt says the same.
            ended_at: match message.state {
                AlertState::Firing => None,
                AlertState::Resolved => alert.ended_at,
            },
            end: match message.state {
                AlertState::Firing => None,
                AlertState::Resolved => alert.end,
            },
        }
    }
}

/// The body that tells of several alerts, all of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPayload {
    pub schema: String,
    pub cluster: String,
    pub firing: usize,
    pub resolved: usize,
    /// What fires first, the most severe first.
    pub alerts: Vec<Payload>,
}

impl GroupPayload {
    pub fn of(notice: &Notice<'_>, link: Option<&str>) -> Self {
        let alerts = worst_first(notice).into_iter().map(|message| Payload::of(message, link));
        let alerts: Vec<_> = alerts.collect();
        let firing = alerts.iter().filter(|alert| alert.state == AlertState::Firing).count();
        Self {
            schema: GROUP_SCHEMA.to_owned(),
            cluster: alerts.first().map(|alert| alert.cluster.clone()).unwrap_or_default(),
            firing,
            resolved: alerts.len().saturating_sub(firing),
            alerts,
        }
    }
}

/// Either body, for who receives both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Body {
    One(Box<Payload>),
    Several(GroupPayload),
}

impl Body {
    /// What it tells, the worst first.
    pub fn alerts(&self) -> &[Payload] {
        match self {
            Self::One(alert) => std::slice::from_ref(alert),
            Self::Several(group) => &group.alerts,
        }
    }
}

/// A receiver of webhooks.
#[derive(Debug)]
pub struct Webhook {
    name: String,
    max_attempts: u32,
    url: Url,
    secrets: Secrets,
    group: bool,
    link: Option<Arc<str>>,
    client: Client,
}

impl Webhook {
    pub(super) fn open(
        notifier: &config::Notifier,
        webhook: &config::Webhook,
        link: Option<&str>,
    ) -> Result<Self, Unusable> {
        let file = &webhook.secret_file;
        let text = Zeroizing::new(read_secret_file(file)?);
        let secrets =
            Secrets::parse(&text).map_err(|error| Unusable::content(file, error.to_string()))?;
        let urls = std::slice::from_ref(&webhook.url);
        let mut client = Client::open(&webhook.http, notifier.timeout, urls)?;
        client.hide(&text);
        client.hide_url(&webhook.url);
        Ok(Self {
            name: notifier.name.clone(),
            max_attempts: notifier.max_attempts,
            url: webhook.url.clone(),
            secrets,
            group: webhook.group,
            link: link.map(Arc::from),
            client,
        })
    }

    async fn post(&self, id: &str, body: &impl Serialize, clock: &Clock) -> Result<(), NotTaken> {
        let body =
            serde_json::to_vec(body).map_err(|error| NotTaken::because(error.to_string()))?;
        let timestamp = clock.now().as_second();
        let signatures = self.secrets.sign(id, timestamp, &body);
        let mut headers = HeaderMap::new();
        let values = [
            (ID_HEADER, id),
            (TIMESTAMP_HEADER, &timestamp.to_string()),
            (SIGNATURE_HEADER, &signatures),
        ];
        for (name, value) in values {
            let value = HeaderValue::from_str(value)
                .map_err(|_| NotTaken::because(format!("{name} cannot be sent")))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let url = self.url.clone();
        let answer = self.client.post(url, "application/json", headers, body).await?;
        self.client.judge(&answer, clock.now())
    }
}

#[async_trait]
impl Notifier for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// One, unless it is asked for more: programs deduplicate on the id of an alert.
    fn together(&self) -> usize {
        if self.group { TOGETHER } else { 1 }
    }

    fn is_for_people(&self) -> bool {
        false
    }

    async fn deliver(&self, notice: &Notice<'_>, clock: &Clock) -> Result<(), NotTaken> {
        let link = self.link.as_deref();
        if self.group {
            return self.post(&notice.id(), &GroupPayload::of(notice, link), clock).await;
        }
        for message in &notice.messages {
            self.post(&message.id(), &Payload::of(message, link), clock).await?;
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
    fn the_body_is_the_contract() {
        let mut alert = fixture::alert("0123");
        alert.end = Some(AlertEnd::HostRetired);
        let message = Message { alert: &alert, state: AlertState::Firing, repeat: 0 };
        assert_eq!(message.id(), "0123-firing");
        expect![[r#"
            {
              "schema": "atrest.alert/1",
              "alert_id": "0123",
              "state": "firing",
              "check": "volume_encrypted",
              "severity": "high",
              "host_id": "11111111-2222-4333-8444-555555555555",
              "host": "es-1",
              "cluster": "prod",
              "asset": "data:/srv/es",
              "path": "/srv/es",
              "devices": [
                "/dev/sdb",
                "/dev/sdc"
              ],
              "summary": "/srv/es rests in plaintext on /dev/sdb",
              "why": "Whoever takes the disk, its image or a decommissioned drive reads what the node wrote. It does not protect a running, unlocked node. For PCI DSS 3.5.1.2 it is supporting evidence only: disk encryption alone does not satisfy that requirement on fixed disks.",
              "remedy": "put dm-crypt under it:\n  cryptsetup luksFormat /dev/sdb",
              "link": "https://wiki.example.com/volume_encrypted",
              "started_at": "2023-11-14T22:13:20Z",
              "ended_at": null,
              "end": null
            }"#]]
        .assert_eq(
            &serde_json::to_string_pretty(&Payload::of(
                &message,
                Some("https://wiki.example.com/{check}"),
            ))
            .unwrap(),
        );
        assert_eq!(Message { repeat: 2, ..message }.id(), "0123-firing-2");
        let over =
            Payload::of(&Message { alert: &alert, state: AlertState::Resolved, repeat: 0 }, None);
        let over = serde_json::to_value(over).unwrap();
        assert_eq!(
            (&over["ended_at"], &over["end"]),
            (&"2023-11-14T23:14:21Z".into(), &"host_retired".into())
        );
    }

    #[test]
    fn several_are_told_with_their_counts_and_an_id_of_their_own() {
        let alerts = [fixture::alert("0"), fixture::alert("1")];
        let notice = Notice {
            messages: vec![
                Message { alert: &alerts[0], state: AlertState::Resolved, repeat: 0 },
                Message { alert: &alerts[1], state: AlertState::Firing, repeat: 0 },
            ],
        };
        let body = GroupPayload::of(&notice, None);
        assert_eq!((body.schema.as_str(), body.cluster.as_str()), ("atrest.alerts/1", "prod"));
        assert_eq!((body.firing, body.resolved), (1, 1));
        assert_eq!(body.alerts[0].alert_id, "1", "what fires comes first");
        let json = serde_json::to_string(&body).unwrap();
        let read: Body = serde_json::from_str(&json).unwrap();
        assert_eq!(read, Body::Several(body.clone()));
        let json = serde_json::to_string(&body.alerts[1]).unwrap();
        let read: Body = serde_json::from_str(&json).unwrap();
        assert_eq!(read.alerts(), &body.alerts[1..]);
    }
}
