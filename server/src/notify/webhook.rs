//! Signed JSON over HTTP. Any 2xx is delivered; everything else is tried again.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::signature::{ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER};
use super::{Message, NotTaken, Notice};
use crate::alert::{AlertEnd, AlertState};
use crate::clock::Clock;
use crate::config::Webhook;
use crate::logging::chain;
use crate::state_dir::{StateError, read_file, read_secret_file};

/// The name and version of the body.
pub const SCHEMA: &str = "atrest.alert/1";

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
    pub remedy: String,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Set with `ended_at`: whether it was seen to pass, or its host is no longer one of the fleet.
    #[serde(default)]
    pub end: Option<AlertEnd>,
}

impl Payload {
    pub fn of(message: &Message<'_>) -> Self {
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
            remedy: finding.remedy.clone(),
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

/// Why a webhook cannot be used.
#[derive(Debug, Error)]
pub enum WebhookError {
    #[error("webhook `{name}`: could not read its secret")]
    Secret {
        name: String,
        #[source]
        source: StateError,
    },
    #[error("webhook `{name}`: {file} holds no secret")]
    NotASecret {
        name: String,
        file: PathBuf,
        #[source]
        source: super::signature::NotASecret,
    },
    #[error("webhook `{name}`: could not read its authority {file}")]
    Authority {
        name: String,
        file: PathBuf,
        #[source]
        source: StateError,
    },
    #[error("webhook `{name}`: could not make an HTTP client")]
    Client {
        name: String,
        #[source]
        source: reqwest::Error,
    },
}

/// A receiver of webhooks.
#[derive(Debug)]
pub struct Notifier {
    name: String,
    url: reqwest::Url,
    secret: Secret,
    client: reqwest::Client,
    max_attempts: u32,
}

impl Notifier {
    pub fn open(webhook: &Webhook) -> Result<Self, WebhookError> {
        let name = || webhook.name.clone();
        let text = read_secret_file(&webhook.secret_file)
            .map_err(|source| WebhookError::Secret { name: name(), source })?;
        let secret = Secret::parse(&text).map_err(|source| WebhookError::NotASecret {
            name: name(),
            file: webhook.secret_file.clone(),
            source,
        })?;
        let client = client(webhook)?;
        let (url, max_attempts) = (webhook.url.clone(), webhook.max_attempts);
        Ok(Self { name: name(), url, secret, client, max_attempts })
    }

    async fn post(&self, message: &Message<'_>, clock: &Clock) -> Result<(), NotTaken> {
        let body = serde_json::to_vec(&Payload::of(message))
            .map_err(|error| NotTaken::because(error.to_string()))?;
        let (id, timestamp) = (message.id(), clock.now().as_second());
        let signature = self.secret.sign(&id, timestamp, &body);
        let response = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header(ID_HEADER, id)
            .header(TIMESTAMP_HEADER, timestamp)
            .header(SIGNATURE_HEADER, signature)
            .body(body)
            .send()
            .await
            // URLs of webhooks are secrets, often enough.
            .map_err(|error| NotTaken::because(chain(&error.without_url())))?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(NotTaken::because(format!("answered {status}")))
        }
    }
}

fn client(webhook: &Webhook) -> Result<reqwest::Client, WebhookError> {
    let name = || webhook.name.clone();
    let failed = |source| WebhookError::Client { name: name(), source };
    crate::tls::install_provider();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("atrest-server/", env!("CARGO_PKG_VERSION")))
        .timeout(webhook.timeout)
        .connect_timeout(webhook.timeout.min(Duration::from_secs(10)))
        // A redirect would carry the message to somebody the operator did not name.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(file) = &webhook.ca_file {
        let pem = read_file(file).map_err(|source| WebhookError::Authority {
            name: name(),
            file: file.clone(),
            source,
        })?;
        let authority = reqwest::Certificate::from_pem(pem.as_bytes()).map_err(failed)?;
        builder = builder.tls_certs_only([authority]);
    } else if webhook.url.scheme() == "http" {
        // No redirect is followed, so no certificate is ever looked at: a machine without any can serve too.
        builder = builder.tls_certs_only(std::iter::empty());
    }
    builder.build().map_err(failed)
}

#[async_trait]
impl super::Notifier for Notifier {
    fn name(&self) -> &str {
        &self.name
    }

    fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// One: programs deduplicate on the id of an alert.
    fn together(&self) -> usize {
        1
    }

    async fn deliver(&self, notice: &Notice<'_>, clock: &Clock) -> Result<(), NotTaken> {
        for message in &notice.messages {
            self.post(message, clock).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use atrest_proto::model::{Finding, Outcome, Severity};
    use expect_test::expect;

    use super::*;
    use crate::alert::Alert;

    #[test]
    fn the_body_is_the_contract() {
        let alert = Alert {
            alert_id: "0123".to_owned(),
            host_id: "11111111-2222-4333-8444-555555555555".to_owned(),
            hostname: "es-1".to_owned(),
            cluster: "prod".to_owned(),
            finding: Finding {
                check: "volume_encrypted".to_owned(),
                asset: "data:/srv/es".to_owned(),
                outcome: Outcome::Fail,
                severity: Severity::Critical,
                summary: "/srv/es rests in plaintext on /dev/sdb".to_owned(),
                remedy: "put dm-crypt under it".to_owned(),
                reasons: Vec::new(),
                evidence: BTreeMap::new(),
                affects: Vec::new(),
            },
            path: "/srv/es".to_owned(),
            devices: vec!["/dev/sdb".to_owned()],
            episode: 1,
            started_at: Timestamp::from_second(0).unwrap(),
            ended_at: Some(Timestamp::from_second(60).unwrap()),
            end: Some(AlertEnd::HostRetired),
        };
        let message = Message { alert: &alert, state: AlertState::Firing };
        assert_eq!(message.id(), "0123-firing");
        expect![[r#"
            {
              "schema": "atrest.alert/1",
              "alert_id": "0123",
              "state": "firing",
              "check": "volume_encrypted",
              "severity": "critical",
              "host_id": "11111111-2222-4333-8444-555555555555",
              "host": "es-1",
              "cluster": "prod",
              "asset": "data:/srv/es",
              "path": "/srv/es",
              "devices": [
                "/dev/sdb"
              ],
              "summary": "/srv/es rests in plaintext on /dev/sdb",
              "remedy": "put dm-crypt under it",
              "started_at": "1970-01-01T00:00:00Z",
              "ended_at": null,
              "end": null
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&Payload::of(&message)).unwrap());
        let over = Payload::of(&Message { alert: &alert, state: AlertState::Resolved });
        let over = serde_json::to_value(over).unwrap();
        assert_eq!(
            (&over["ended_at"], &over["end"]),
            (&"1970-01-01T00:01:00Z".into(), &"host_retired".into())
        );
    }
}
