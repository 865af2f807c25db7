//! Prometheus' Alertmanager, by version 2 of its API.
//!
//! It keeps alerts in memory, and takes one for over when its end has passed. So what fires is given an end that is far
//! away, and is told again and again: a server that stops resolves nothing, and an Alertmanager that was restarted
//! learns what fires. Of two ends it keeps the later one while that lies in the future: what is over must have ended by
//! its own clock, which it tells with every answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::Timestamp;
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Serialize;
use tokio::sync::Mutex;
use tracing::warn;

use super::http::{Client, join, place};
use super::open::Unusable;
use super::text::Story;
use super::{Message, NotTaken, Notice, Notifier, text};
use crate::alert::AlertState;
use crate::clock::{Clock, after, before};
use crate::config;
use crate::store::{AlertRow, DeliveryStatus, PageRequest, Store};

/// How many alerts are told in one request.
const TOGETHER: usize = 500;
/// How many alerts are read from the store at one time.
const PAGE: u32 = 500;
/// How far back the ends are that are told again after a start.
const CATCH_UP: Duration = Duration::from_hours(7 * 24);
/// What fires does not end by itself before this.
const FAR: Duration = Duration::from_hours(365 * 24);
/// Ends that are kept for a replica that does not answer.
const MAX_MISSED: usize = 10_000;

/// All replicas of one Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    name: String,
    max_attempts: u32,
    client: Client,
    resend_every: Duration,
    link: Option<Arc<str>>,
    /// Held while something is told: what is told again must not overtake the end of it.
    replicas: Mutex<Vec<Replica>>,
    /// What ended before this server was started was told again.
    caught_up: AtomicBool,
}

#[derive(Debug)]
struct Replica {
    url: Url,
    place: String,
    /// Ends that it has not been told of while others were, by alert.
    missed: BTreeMap<String, Postable>,
}

/// An alert as the API takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Postable {
    labels: BTreeMap<&'static str, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<String>,
    #[serde(skip)]
    state: AlertState,
}

impl Postable {
    fn of(message: &Message<'_>, link: Option<&str>, now: Timestamp) -> Self {
        let alert = message.alert;
        // The labels are the alert's identity: the same when it fires and when it is over.
        // A label without a value is none.
        let mut labels: BTreeMap<_, _> = text::fields(message)
            .into_iter()
            .filter(|(name, value)| *name != "state" && !value.is_empty())
            .collect();
        labels.insert("alertname", "AtrestCheckFailed".to_owned());
        let story = Story::of(message, link);
        let mut annotations = BTreeMap::from([
            ("summary", story.title()),
            ("description", story.remedy.clone()),
            ("impact", story.why.unwrap_or_default().to_owned()),
            ("runbook_url", story.link.clone().unwrap_or_default()),
        ]);
        if let (AlertState::Resolved, Some(end)) = (message.state, alert.end) {
            annotations.insert("end", end.as_str().to_owned());
        }
        annotations.retain(|_, value| !value.is_empty());
        let ends_at = match message.state {
            AlertState::Firing => after(now, FAR),
            AlertState::Resolved => alert.ended_at.unwrap_or(now).max(alert.started_at),
        };
        Self {
            labels,
            annotations,
            starts_at: alert.started_at,
            ends_at,
            generator_url: story.link,
            state: message.state,
        }
    }

    /// The same, over by a clock that is behind ours; `None` when it is over by that clock, or goes on.
    fn over_by(&self, theirs: Timestamp) -> Option<Self> {
        let is_late = self.state == AlertState::Resolved && self.ends_at > theirs;
        let starts_at = self.starts_at.min(theirs);
        is_late.then(|| Self { starts_at, ends_at: theirs, ..self.clone() })
    }

    fn id(&self) -> String {
        self.labels.get("alert_id").cloned().unwrap_or_default()
    }
}

impl Alertmanager {
    pub(super) fn open(
        notifier: &config::Notifier,
        alertmanager: &config::Alertmanager,
        link: Option<&str>,
    ) -> Result<Self, Unusable> {
        let urls = &alertmanager.urls;
        let client = Client::open(&alertmanager.http, notifier.timeout, urls)?
            .authorize(&alertmanager.auth)?;
        let replica = |url: &Url| Replica {
            url: join(url, "api/v2/alerts"),
            place: place(url),
            missed: BTreeMap::new(),
        };
        Ok(Self {
            name: notifier.name.clone(),
            max_attempts: notifier.max_attempts,
            client,
            resend_every: alertmanager.resend_every,
            link: link.map(Arc::from),
            replicas: Mutex::new(urls.iter().map(replica).collect()),
            caught_up: AtomicBool::new(false),
        })
    }

    async fn post(
        &self,
        replica: &Replica,
        alerts: &[Postable],
        clock: &Clock,
    ) -> Result<(), NotTaken> {
        let Some(theirs) = self.send(replica, alerts, clock).await? else { return Ok(()) };
        let late: Vec<_> = alerts.iter().filter_map(|alert| alert.over_by(theirs)).collect();
        if !late.is_empty() {
            self.send(replica, &late, clock).await?;
        }
        Ok(())
    }

    /// What the replica's clock says.
    async fn send(
        &self,
        replica: &Replica,
        alerts: &[Postable],
        clock: &Clock,
    ) -> Result<Option<Timestamp>, NotTaken> {
        let body =
            serde_json::to_vec(alerts).map_err(|error| NotTaken::because(error.to_string()))?;
        let url = replica.url.clone();
        let answer = self.client.post(url, "application/json", HeaderMap::new(), body).await?;
        self.client.judge(&answer, clock.now())?;
        Ok(answer.date)
    }

    /// Tells of what ended lately: which replica missed what, a server that was restarted does not know.
    async fn tell_ends(
        &self,
        replicas: &mut [Replica],
        store: &dyn Store,
        clock: &Clock,
    ) -> Result<(), NotTaken> {
        let since = before(clock.now(), CATCH_UP);
        let mut page = PageRequest::new(PAGE, String::new());
        loop {
            let rows = store.alert_list(AlertState::Resolved, page).await;
            let rows = rows.map_err(|error| NotTaken::because(error.to_string()))?;
            let lately = |row: &&AlertRow| row.alert.ended_at.is_some_and(|at| at >= since);
            let ends: Vec<_> = rows
                .items
                .iter()
                .filter(|row| lately(row) && knows(row, &self.name, AlertState::Resolved))
                .map(|row| {
                    let message =
                        Message { alert: &row.alert, state: AlertState::Resolved, repeat: 0 };
                    Postable::of(&message, self.link.as_deref(), clock.now())
                })
                .collect();
            if !ends.is_empty() {
                self.tell(replicas, &ends, clock).await?;
            }
            // The newest come first: by when they began, so that a page without any is the end.
            if rows.next.is_empty() || !rows.items.iter().any(|row| lately(&row)) {
                return Ok(());
            }
            page = PageRequest::new(PAGE, rows.next);
        }
    }

    /// Tells all replicas. Taken when one took it: what the others miss is told to them with [`Notifier::resend`].
    async fn tell(
        &self,
        replicas: &mut [Replica],
        alerts: &[Postable],
        clock: &Clock,
    ) -> Result<(), NotTaken> {
        let told = replicas.iter().map(|replica| self.post(replica, alerts, clock));
        let outcomes = join_all(told).await;
        let is_taken = outcomes.iter().any(Result::is_ok);
        let mut whys = Vec::new();
        let (mut retry_after, mut refused) = (None, false);
        for (replica, outcome) in replicas.iter_mut().zip(outcomes) {
            match outcome {
                Ok(()) => replica.told(alerts),
                Err(error) => {
                    if is_taken {
                        warn!(notifier = self.name, replica = replica.place, error = %error, "a replica does not take alerts");
                        replica.miss(alerts);
                    }
                    whys.push(format!("{}: {}", replica.place, error.why));
                    retry_after = retry_after.max(error.retry_after);
                    refused |= error.refused;
                }
            }
        }
        if is_taken { Ok(()) } else { Err(NotTaken { why: whys.join("; "), retry_after, refused }) }
    }
}

impl Replica {
    fn told(&mut self, alerts: &[Postable]) {
        for alert in alerts {
            self.missed.remove(&alert.id());
        }
    }

    /// What fires is read from the store when it is told again; what is over only this knows.
    fn miss(&mut self, alerts: &[Postable]) {
        for alert in alerts.iter().filter(|alert| alert.state == AlertState::Resolved) {
            if self.missed.len() < MAX_MISSED {
                self.missed.insert(alert.id(), alert.clone());
            }
        }
    }
}

/// Whether a notifier was told of this state, or was to be told until it was given up: it may be back.
fn knows(row: &AlertRow, notifier: &str, state: AlertState) -> bool {
    row.deliveries.iter().any(|delivery| {
        delivery.notifier == notifier
            && delivery.state == state
            && matches!(delivery.status, DeliveryStatus::Delivered | DeliveryStatus::Failed)
    })
}

#[async_trait]
impl Notifier for Alertmanager {
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
        let mut replicas = self.replicas.lock().await;
        let now = clock.now();
        let alert = |message| Postable::of(message, self.link.as_deref(), now);
        let alerts: Vec<_> = notice.messages.iter().map(alert).collect();
        self.tell(&mut replicas, &alerts, clock).await
    }

    fn resend_every(&self) -> Option<Duration> {
        Some(self.resend_every)
    }

    async fn resend(&self, store: &dyn Store, clock: &Clock) -> Result<(), NotTaken> {
        // From the look into the store to the last word: an end that is written meanwhile is told after this.
        let mut replicas = self.replicas.lock().await;
        for replica in replicas.iter_mut() {
            let missed: Vec<_> = replica.missed.values().cloned().collect();
            for alerts in missed.chunks(TOGETHER) {
                if self.post(replica, alerts, clock).await.is_err() {
                    break;
                }
                replica.told(alerts);
            }
        }
        if !self.caught_up.load(Ordering::Acquire) {
            self.tell_ends(&mut replicas, store, clock).await?;
            self.caught_up.store(true, Ordering::Release);
        }
        let mut page = PageRequest::new(PAGE, String::new());
        loop {
            let rows = store.alert_list(AlertState::Firing, page).await;
            let rows = rows.map_err(|error| NotTaken::because(error.to_string()))?;
            let alerts: Vec<_> = rows
                .items
                .iter()
                .filter(|row| knows(row, &self.name, AlertState::Firing))
                .map(|row| {
                    let message =
                        Message { alert: &row.alert, state: AlertState::Firing, repeat: 0 };
                    Postable::of(&message, self.link.as_deref(), clock.now())
                })
                .collect();
            if !alerts.is_empty() {
                self.tell(&mut replicas, &alerts, clock).await?;
            }
            if rows.next.is_empty() {
                return Ok(());
            }
            page = PageRequest::new(PAGE, rows.next);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::fixture;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn what_fires_ends_far_away_and_its_labels_stay_the_same() {
        let alert = fixture::alert("0123");
        let now = at(1_700_000_100);
        let message = |state| Message { alert: &alert, state, repeat: 0 };
        let fires = Postable::of(&message(AlertState::Firing), Some("https://wiki/{check}"), now);
        expect![[r#"
            {
              "labels": {
                "alert_id": "0123",
                "alertname": "AtrestCheckFailed",
                "asset": "data:/srv/es",
                "check": "volume_encrypted",
                "cluster": "prod",
                "devices": "/dev/sdb,/dev/sdc",
                "host": "es-1",
                "host_id": "11111111-2222-4333-8444-555555555555",
                "path": "/srv/es",
                "severity": "high"
              },
              "annotations": {
                "description": "put dm-crypt under it:\n  cryptsetup luksFormat /dev/sdb",
                "impact": "Whoever takes the disk, its image or a decommissioned drive reads what the node wrote. It does not protect a running, unlocked node. For PCI DSS 3.5.1.2 it is supporting evidence only: disk encryption alone does not satisfy that requirement on fixed disks.",
                "runbook_url": "https://wiki/volume_encrypted",
                "summary": "es-1: /srv/es rests in plaintext on /dev/sdb"
              },
              "startsAt": "2023-11-14T22:13:20Z",
              "endsAt": "2024-11-13T22:15:00Z",
              "generatorURL": "https://wiki/volume_encrypted"
            }"#]].assert_eq(&serde_json::to_string_pretty(&fires).unwrap());
        let over = Postable::of(&message(AlertState::Resolved), None, now);
        assert_eq!((over.starts_at, over.ends_at), (alert.started_at, alert.ended_at.unwrap()));
        assert_eq!(over.labels, fires.labels, "the identity of an alert");
        assert_eq!(over.annotations["end"], "passed");
    }

    #[test]
    fn what_is_over_ends_by_the_clock_of_who_is_told() {
        let alert = fixture::alert("0123");
        let ended_at = alert.ended_at.unwrap();
        let message = |state| Message { alert: &alert, state, repeat: 0 };
        let over = Postable::of(&message(AlertState::Resolved), None, ended_at);
        assert_eq!(over.over_by(ended_at), None);
        // A second behind, and so far behind that it has not begun.
        for theirs in [at(ended_at.as_second() - 1), at(alert.started_at.as_second() - 9)] {
            let again = over.over_by(theirs).unwrap();
            assert_eq!((again.ends_at, &again.labels), (theirs, &over.labels));
            assert!(again.starts_at <= again.ends_at, "otherwise it is refused");
        }
        let fires = Postable::of(&message(AlertState::Firing), None, ended_at);
        assert_eq!(fires.over_by(at(0)), None);
    }
}
