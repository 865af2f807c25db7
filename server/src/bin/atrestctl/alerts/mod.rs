//! `atrestctl alerts`: what people were told, and whether they were. `atrestctl alert`: what is done about one.

mod act;
mod dead;

pub(crate) use act::{Until, acknowledge, show, test, until};
pub(crate) use dead::{list as dead, retry};

use atrest_proto::model::Finding;
use atrest_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use crate::connect::{Connection, explain};
use crate::render::{Cell, Screen, Tone, ago, count, exact, now, time};

/// An alert, for programs.
#[derive(Debug, Serialize)]
struct Entry {
    alert_id: String,
    state: &'static str,
    host_id: String,
    hostname: String,
    cluster: String,
    path: String,
    devices: Vec<String>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    /// Why it is over: `passed`, `host_retired`, `asset_retired` or `worsened`.
    end: Option<&'static str>,
    finding: Option<Finding>,
    /// The last acknowledgement, whether or not it still holds.
    ack: Option<Ack>,
    deliveries: Vec<Delivery>,
}

#[derive(Debug, Serialize)]
struct Ack {
    at: Option<Timestamp>,
    by: String,
    comment: String,
    /// Absent: as long as the alert goes on.
    until: Option<Timestamp>,
}

impl Ack {
    fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Who takes care of it, in words.
    fn words(&self) -> String {
        let Self { at, by, comment, until } = self;
        let until = until.map(|until| format!(", until {until:.0}")).unwrap_or_default();
        let comment = if comment.is_empty() { String::new() } else { format!(": {comment}") };
        format!("acknowledged by {by} at {}{until}{comment}", exact(*at))
    }
}

#[derive(Debug, Serialize)]
struct Delivery {
    notifier: String,
    state: &'static str,
    status: String,
    attempts: u32,
    last_error: String,
    delivered_at: Option<Timestamp>,
    /// How often it was told again since.
    repeat: u32,
}

/// Of the list as CSV.
const COLUMNS: &[&str] = &[
    "alert_id",
    "state",
    "host_id",
    "hostname",
    "cluster",
    "finding.check",
    "finding.asset",
    "finding.severity",
    "finding.summary",
    "path",
    "devices",
    "started_at",
    "ended_at",
    "end",
    "ack.at",
    "ack.by",
    "ack.comment",
    "ack.until",
];

#[derive(Debug, Serialize)]
struct Alerts {
    schema: &'static str,
    alerts: Vec<Entry>,
}

fn word(state: i32) -> &'static str {
    match v1::AlertState::try_from(state) {
        Ok(v1::AlertState::Resolved) => "resolved",
        Ok(v1::AlertState::Firing | v1::AlertState::Unspecified) | Err(_) => "firing",
    }
}

fn end(end: i32) -> Option<&'static str> {
    match v1::AlertEnd::try_from(end) {
        Ok(v1::AlertEnd::Passed) => Some("passed"),
        Ok(v1::AlertEnd::HostRetired) => Some("host_retired"),
        Ok(v1::AlertEnd::Worsened) => Some("worsened"),
        Ok(v1::AlertEnd::AssetRetired) => Some("asset_retired"),
        Ok(v1::AlertEnd::Unspecified) | Err(_) => None,
    }
}

impl From<v1::Alert> for Entry {
    fn from(alert: v1::Alert) -> Self {
        Self {
            alert_id: alert.alert_id,
            state: word(alert.state),
            host_id: alert.host_id,
            hostname: alert.hostname,
            cluster: alert.cluster,
            path: alert.path,
            devices: alert.devices,
            ack: alert.ack.map(|ack| Ack {
                at: time(ack.at),
                by: ack.by,
                comment: ack.comment,
                until: time(ack.until),
            }),
            started_at: time(alert.started_at),
            end: end(alert.end),
            ended_at: time(alert.ended_at),
            finding: alert.finding.and_then(|finding| Finding::try_from(finding).ok()),
            deliveries: alert
                .deliveries
                .into_iter()
                .map(|delivery| Delivery {
                    notifier: delivery.notifier,
                    state: word(delivery.state),
                    status: delivery.status,
                    attempts: delivery.attempts,
                    last_error: delivery.last_error,
                    delivered_at: time(delivery.delivered_at),
                    repeat: delivery.repeat,
                })
                .collect(),
        }
    }
}

pub(crate) async fn run(
    connection: &mut Connection,
    screen: &mut Screen,
    resolved: bool,
) -> anyhow::Result<()> {
    let state = if resolved { v1::AlertState::Resolved } else { v1::AlertState::Firing };
    let mut alerts = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListAlertsRequest { state: state.into(), page_size: 0, page_token };
        let page = connection
            .fleet
            .list_alerts(request)
            .await
            .map_err(|status| explain(&status))?
            .into_inner();
        alerts.extend(page.alerts.into_iter().map(Entry::from));
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    let alerts = Alerts { schema: "atrest.alerts/1", alerts };
    if !screen.csv(COLUMNS, &alerts.alerts)? && !screen.json(&alerts)? {
        print(screen, &alerts.alerts, resolved, now());
    }
    Ok(())
}

fn print(screen: &mut Screen, alerts: &[Entry], resolved: bool, now: Timestamp) {
    if alerts.is_empty() {
        screen.line(if resolved { "no alert is over" } else { "no alert is firing" });
        return;
    }
    for alert in alerts {
        print_alert(screen, alert, now);
    }
    screen.line("");
    screen.line(&count(u64::try_from(alerts.len()).unwrap_or(u64::MAX), "alert"));
}

fn print_alert(screen: &mut Screen, alert: &Entry, now: Timestamp) {
    let mut cells = vec![Cell::word(alert.state)];
    if let Some(finding) = &alert.finding {
        cells.push(Cell::word(finding.severity.as_str()));
        cells.push(Cell::new(alert.hostname.as_str(), Tone::Heading));
        cells.push(finding.check.as_str().into());
        cells.push(finding.asset.as_str().into());
    }
    // As much of the id as tells it from others, for `alert show` and `alert ack`.
    let short: String = alert.alert_id.chars().take(12).collect();
    cells.push(Cell::new(short, Tone::Faint));
    screen.row(&cells);
    if let Some(finding) = &alert.finding {
        screen.line(&format!("     {}", finding.summary));
    }
    let until = match alert.ended_at {
        Some(ended_at) if alert.end == Some("host_retired") => {
            format!(" until the host was revoked at {}", exact(Some(ended_at)))
        }
        Some(ended_at) if alert.end == Some("asset_retired") => {
            format!(" until it was said to be gone at {}", exact(Some(ended_at)))
        }
        Some(ended_at) if alert.end == Some("worsened") => {
            format!(" until it became more severe at {}", exact(Some(ended_at)))
        }
        Some(ended_at) => format!(" until {}", exact(Some(ended_at))),
        None => String::new(),
    };
    let since = exact(alert.started_at);
    let since = format!("     since {since}{until} ({})", ago(alert.started_at, now));
    screen.row(&[Cell::new(since, Tone::Faint)]);
    if let Some(ack) = alert.ack.as_ref().filter(|ack| ack.holds(now)) {
        screen.row(&[Cell::new(format!("     {}", ack.words()), Tone::Good)]);
    }
    for delivery in &alert.deliveries {
        print_delivery(screen, delivery);
    }
}

fn print_delivery(screen: &mut Screen, delivery: &Delivery) {
    let Delivery { notifier, state, status, attempts, last_error, repeat, .. } = delivery;
    let mut cells = vec![
        Cell::from(format!("     {notifier}: {state}")),
        Cell::word(status.as_str()),
        Cell::new(format!("after {}", count(u64::from(*attempts), "attempt")), Tone::Faint),
    ];
    if *repeat > 0 {
        cells.push(Cell::new(format!("(reminder {repeat})"), Tone::Faint));
    }
    if !last_error.is_empty() {
        cells.push(Cell::new(format!("({last_error})"), Tone::Doubt));
    }
    screen.row(&cells);
}
