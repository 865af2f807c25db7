//! Alerts, and what became of telling people of them, on the wire.

use atrest_proto::v1;
use tonic::Status;

use super::time;
use crate::alert::{Alert, AlertEnd, AlertState};
use crate::store::{AlertRow, DeadLetter, DeliveryRow};

/// A state of alerts to list; firing ones when none was given.
pub(in crate::grpc) fn alert_filter(state: i32) -> Result<AlertState, Status> {
    match v1::AlertState::try_from(state) {
        Ok(v1::AlertState::Unspecified | v1::AlertState::Firing) => Ok(AlertState::Firing),
        Ok(v1::AlertState::Resolved) => Ok(AlertState::Resolved),
        Err(_) => Err(Status::invalid_argument("field `state` is not a state of an alert")),
    }
}

fn alert_state(state: AlertState) -> v1::AlertState {
    match state {
        AlertState::Firing => v1::AlertState::Firing,
        AlertState::Resolved => v1::AlertState::Resolved,
    }
}

pub(in crate::grpc) fn alert(row: AlertRow) -> v1::Alert {
    let AlertRow { alert, ack, deliveries } = row;
    v1::Alert {
        deliveries: deliveries.into_iter().map(delivery).collect(),
        ack: ack.map(|ack| v1::AlertAck {
            at: Some(time(ack.at)),
            by: ack.by,
            comment: ack.comment,
            until: ack.until.map(time),
        }),
        ..bare_alert(alert)
    }
}

fn bare_alert(alert: Alert) -> v1::Alert {
    v1::Alert {
        state: alert_state(alert.state()).into(),
        alert_id: alert.alert_id,
        host_id: alert.host_id,
        hostname: alert.hostname,
        finding: Some(alert.finding.into()),
        started_at: Some(time(alert.started_at)),
        ended_at: alert.ended_at.map(time),
        deliveries: Vec::new(),
        cluster: alert.cluster,
        path: alert.path,
        devices: alert.devices,
        ack: None,
        end: alert.end.map_or(v1::AlertEnd::Unspecified, alert_end).into(),
    }
}

pub(super) fn alert_end(end: AlertEnd) -> v1::AlertEnd {
    match end {
        AlertEnd::Passed => v1::AlertEnd::Passed,
        AlertEnd::HostRetired => v1::AlertEnd::HostRetired,
        AlertEnd::Worsened => v1::AlertEnd::Worsened,
        AlertEnd::AssetRetired => v1::AlertEnd::AssetRetired,
    }
}

fn delivery(row: DeliveryRow) -> v1::Delivery {
    v1::Delivery {
        notifier: row.notifier,
        state: alert_state(row.state).into(),
        status: row.status.as_str().to_owned(),
        attempts: row.attempts,
        last_error: row.last_error,
        delivered_at: row.delivered_at.map(time),
        delivery_id: row.delivery_id,
        repeat: row.repeat,
    }
}

pub(in crate::grpc) fn dead_letter(letter: DeadLetter) -> v1::DeadLetter {
    v1::DeadLetter {
        delivery_id: letter.delivery_id,
        notifier: letter.notifier,
        state: alert_state(letter.state).into(),
        attempts: letter.attempts,
        error: letter.error,
        failed_at: letter.failed_at.map(time),
        alert: Some(bare_alert(letter.alert)),
    }
}
