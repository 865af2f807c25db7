//! `atrestctl alerts`: what people were told, and whether they were. `atrestctl alert`: what is done about one.

mod act;
mod dead;

pub(crate) use act::{Until, acknowledge, show, test, until};
pub(crate) use dead::{list as dead, retry};

use atrest_proto::v1;
use atrest_server::view::{Ack, Alert, Alerts, Delivery};
use jiff::Timestamp;

use crate::connect::{Connection, explain};
use crate::render::{Cell, Screen, Tone, ago, count, exact, now};

/// Whether it holds.
fn holds(ack: &Ack, now: Timestamp) -> bool {
    ack.until.is_none_or(|until| now < until)
}

/// Who takes care of it, in words.
fn words(ack: &Ack) -> String {
    let Ack { at, by, comment, until } = ack;
    let until = until.map(|until| format!(", until {until:.0}")).unwrap_or_default();
    let comment = if comment.is_empty() { String::new() } else { format!(": {comment}") };
    format!("acknowledged by {by} at {}{until}{comment}", exact(*at))
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
        alerts.extend(page.alerts.into_iter().map(Alert::from));
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    let alerts = Alerts::new(alerts);
    if !screen.csv(COLUMNS, &alerts.alerts)? && !screen.json(&alerts)? {
        print(screen, &alerts.alerts, resolved, now());
    }
    Ok(())
}

fn print(screen: &mut Screen, alerts: &[Alert], resolved: bool, now: Timestamp) {
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

fn print_alert(screen: &mut Screen, alert: &Alert, now: Timestamp) {
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
    if let Some(ack) = alert.ack.as_ref().filter(|ack| holds(ack, now)) {
        screen.row(&[Cell::new(format!("     {}", words(ack)), Tone::Good)]);
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
