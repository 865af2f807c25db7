//! What people were told, and whether they were.

use atrest_proto::model::Finding;
use atrest_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::time;

/// An alert.
#[derive(Debug, Serialize)]
pub struct Alert {
    pub alert_id: String,
    pub state: &'static str,
    pub host_id: String,
    pub hostname: String,
    pub cluster: String,
    pub path: String,
    pub devices: Vec<String>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Why it is over: `passed`, `host_retired`, `asset_retired` or `worsened`.
    pub end: Option<&'static str>,
    pub finding: Option<Finding>,
    /// The last acknowledgement, whether or not it still holds.
    pub ack: Option<Ack>,
    pub deliveries: Vec<Delivery>,
}

/// An operator takes care of it.
#[derive(Debug, Serialize)]
pub struct Ack {
    pub at: Option<Timestamp>,
    pub by: String,
    pub comment: String,
    /// Absent: as long as the alert goes on.
    pub until: Option<Timestamp>,
}

/// One message to one notifier.
#[derive(Debug, Serialize)]
pub struct Delivery {
    pub notifier: String,
    pub state: &'static str,
    pub status: String,
    pub attempts: u32,
    pub last_error: String,
    pub delivered_at: Option<Timestamp>,
    /// How often it was told again since.
    pub repeat: u32,
}

/// A list of alerts.
#[derive(Debug, Serialize)]
pub struct Alerts {
    schema: &'static str,
    pub alerts: Vec<Alert>,
}

impl Alerts {
    pub const fn new(alerts: Vec<Alert>) -> Self {
        Self { schema: "atrest.alerts/1", alerts }
    }
}

/// The word for a state; what a newer server says beyond these fires.
pub fn alert_state(state: i32) -> &'static str {
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

impl From<v1::Alert> for Alert {
    fn from(alert: v1::Alert) -> Self {
        Self {
            alert_id: alert.alert_id,
            state: alert_state(alert.state),
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
                    state: alert_state(delivery.state),
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
