//! `atrestctl alert show`, `ack` and `test`: one alert, who takes care of it, and whether anybody would be told.

use anyhow::{Context as _, bail};
use atrest_proto::v1;
use atrest_server::view::Alert;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::print_alert;
use crate::connect::{Connection, explain};
use crate::render::{Cell, Screen, Tone, now};

/// The answer, for programs.
#[derive(Debug, Serialize)]
struct Shown {
    schema: &'static str,
    alert: Alert,
}

#[derive(Debug, Serialize)]
struct Tested {
    schema: &'static str,
    notifier: String,
    delivered: bool,
    /// Empty when it was delivered.
    error: String,
}

/// How long an acknowledgement holds: for a time, or until one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    In(SignedDuration),
    At(Timestamp),
}

/// A time from now such as `8h`, or one such as `2026-01-31T12:00:00Z`.
pub(crate) fn until(text: &str) -> Result<Until, String> {
    if let Ok(at) = text.parse() {
        return Ok(Until::At(at));
    }
    let days = |number: &str| {
        Some(SignedDuration::from_hours(number.parse::<i64>().ok()?.checked_mul(24)?))
    };
    let time = match text.strip_suffix('d') {
        Some(number) => days(number),
        None => text.parse().ok(),
    };
    time.filter(|time: &SignedDuration| time.is_positive())
        .map(Until::In)
        .ok_or_else(|| "write a time, such as 8h, 7d or 2026-01-31T12:00:00Z".to_owned())
}

pub(crate) async fn show(
    connection: &mut Connection,
    screen: &mut Screen,
    alert_id: String,
) -> anyhow::Result<()> {
    let answer = connection
        .alerts
        .get_alert(v1::GetAlertRequest { alert_id })
        .await
        .map_err(|status| explain(&status))?
        .into_inner();
    print(screen, answer.alert)
}

pub(crate) async fn acknowledge(
    connection: &mut Connection,
    screen: &mut Screen,
    alert_id: String,
    comment: String,
    until: Option<Until>,
) -> anyhow::Result<()> {
    let until = match until {
        None => None,
        Some(Until::At(at)) => Some(at),
        Some(Until::In(time)) => {
            Some(now().checked_add(time).context("that is beyond the end of time")?)
        }
    };
    let until = until.map(atrest_proto::convert::timestamp_to_wire);
    let answer = connection
        .alerts
        .ack_alert(v1::AckAlertRequest { alert_id, comment, until })
        .await
        .map_err(|status| explain(&status))?
        .into_inner();
    print(screen, answer.alert)
}

fn print(screen: &mut Screen, alert: Option<v1::Alert>) -> anyhow::Result<()> {
    let alert = alert.context("the server told nothing of this alert")?.into();
    let shown = Shown { schema: "atrest.alert_detail/1", alert };
    if screen.json(&shown)? {
        return Ok(());
    }
    let alert = &shown.alert;
    print_alert(screen, alert, now());
    screen.line("");
    let Alert { alert_id, cluster, path, devices, .. } = alert;
    let devices = devices.join(", ");
    let remedy = alert.finding.as_ref().map(|finding| finding.remedy.as_str()).unwrap_or_default();
    for (name, value) in [
        ("id", alert_id.as_str()),
        ("host id", &alert.host_id),
        ("cluster", cluster),
        ("path", path),
        ("plaintext on", &devices),
        ("to do", remedy),
    ] {
        if !value.is_empty() {
            screen.row(&[Cell::new(format!("{name}:"), Tone::Faint), value.into()]);
        }
    }
    Ok(())
}

pub(crate) async fn test(
    connection: &mut Connection,
    screen: &mut Screen,
    notifier: String,
) -> anyhow::Result<()> {
    let request = v1::TestNotifierRequest { notifier: notifier.clone() };
    let answer = connection.alerts.test_notifier(request).await;
    let error = answer.map_err(|status| explain(&status))?.into_inner().error;
    let delivered = error.is_empty();
    let tested = Tested { schema: "atrest.notifier_test/1", notifier, delivered, error };
    let json = screen.json(&tested)?;
    if !delivered {
        screen.flush()?;
        bail!("{} did not take the test message: {}", tested.notifier, tested.error);
    }
    if !json {
        screen.line(&format!("{} took the test message, and its end", tested.notifier));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_holds_for_a_time_or_until_one() {
        assert_eq!(until("8h"), Ok(Until::In(SignedDuration::from_hours(8))));
        assert_eq!(until("7d"), Ok(Until::In(SignedDuration::from_hours(7 * 24))));
        let at = "2026-01-31T12:00:00Z";
        assert_eq!(until(at), Ok(Until::At(at.parse().unwrap())));
        for bad in ["", "soon", "-8h", "0s", "d", "9999999999999999999d"] {
            assert!(until(bad).is_err(), "{bad}");
        }
    }
}
