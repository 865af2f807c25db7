//! `atrestctl history`: when which asset was exposed, from when until when.

use atrest_proto::convert::timestamp_to_wire;
use atrest_proto::v1;
use atrest_server::view::{Exposure, History};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::connect::{Connection, explain};
use crate::operators::lifetime;
use crate::render::{Cell, Screen, Tone, count, exact, now, span};

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    At(Timestamp),
    Ago(SignedDuration),
}

/// A time, a date (its beginning in UTC), or how long ago.
pub(crate) fn since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Since::At(at));
    }
    if let Ok(day) = text.parse::<Date>()
        && let Ok(start) = TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0))
    {
        return Ok(Since::At(start));
    }
    lifetime(text).map(Since::Ago).map_err(|_| {
        "write a date such as 2026-01-31, a time such as 2026-01-31T12:00:00Z, or 30d or 8h for so long ago"
            .to_owned()
    })
}

/// What to look for.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) node: Option<String>,
    pub(crate) check: Option<String>,
    pub(crate) since: Option<Since>,
}

/// Of the list as CSV.
const COLUMNS: &[&str] = &[
    "host_id",
    "hostname",
    "check",
    "asset",
    "episode",
    "from",
    "until",
    "seconds",
    "end",
    "told_at",
    "absent_at",
];

pub(crate) async fn run(
    connection: &mut Connection,
    screen: &mut Screen,
    ask: Ask,
) -> anyhow::Result<()> {
    let now = now();
    let since = ask.since.map(|since| match since {
        Since::At(at) => at,
        Since::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
    });
    let mut exposures = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListHistoryRequest {
            node: ask.node.clone().unwrap_or_default(),
            check: ask.check.clone().unwrap_or_default(),
            since: since.map(timestamp_to_wire),
            page_size: 0,
            page_token,
        };
        let page = connection
            .fleet
            .list_history(request)
            .await
            .map_err(|status| explain(&status))?
            .into_inner();
        exposures.extend(page.exposures.into_iter().map(|row| Exposure::read(row, now)));
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    let history = History::new(exposures);
    if !screen.csv(COLUMNS, &history.exposures)? && !screen.json(&history)? {
        print(screen, &history.exposures);
    }
    Ok(())
}

fn print(screen: &mut Screen, exposures: &[Exposure]) {
    if exposures.is_empty() {
        screen.line("nothing was exposed");
        return;
    }
    let rows: Vec<_> = exposures
        .iter()
        .map(|row| {
            let tone = match row.end {
                "passed" => Tone::Good,
                "ongoing" => Tone::Bad,
                _ => Tone::Doubt,
            };
            let end = match (row.end, row.absent_at) {
                ("ongoing", Some(at)) => format!("ongoing, not reported at {at:.0}"),
                ("host_retired", _) => "its host was revoked: nobody saw it fixed".to_owned(),
                ("asset_retired", _) => "its asset is gone: nobody saw it fixed".to_owned(),
                (end, _) => end.to_owned(),
            };
            vec![
                exact(row.from).into(),
                exact(row.until).into(),
                span(row.seconds).into(),
                row.hostname.as_str().into(),
                row.check.as_str().into(),
                row.asset.as_str().into(),
                Cell::new(end, tone),
            ]
        })
        .collect();
    screen.table(&["FROM", "UNTIL", "LASTED", "NODE", "CHECK", "ASSET", "END"], &rows);
    screen.line("");
    screen.line(&count(u64::try_from(rows.len()).unwrap_or(u64::MAX), "exposure"));
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn exposures() -> Vec<Exposure> {
        let wire = |second| Some(timestamp_to_wire(at(second)));
        let row = |hostname: &str, ended: Option<i64>, end: v1::AlertEnd| v1::Exposure {
            host_id: "id".to_owned(),
            hostname: hostname.to_owned(),
            check: "volume_encrypted".to_owned(),
            asset: "data:/srv/a,b".to_owned(),
            episode: 1,
            opened_at: wire(60),
            told_at: wire(61),
            ended_at: ended.and_then(wire),
            end: end.into(),
            absent_at: ended.is_none().then(|| wire(90)).flatten(),
        };
        vec![
            Exposure::read(row("es-1", None, v1::AlertEnd::Unspecified), at(7_260)),
            Exposure::read(row("=cmd", Some(120), v1::AlertEnd::Passed), at(7_260)),
            Exposure::read(row("es-2", Some(30), v1::AlertEnd::HostRetired), at(7_260)),
        ]
    }

    #[test]
    fn windows_are_shown_to_people_and_to_spreadsheets() {
        let mut screen = Screen::plain();
        print(&mut screen, &exposures());
        expect![[r"
            FROM                  UNTIL                 LASTED  NODE  CHECK             ASSET          END
            1970-01-01T00:01:00Z                        2 h     es-1  volume_encrypted  data:/srv/a,b  ongoing, not reported at 1970-01-01T00:01:30Z
            1970-01-01T00:01:00Z  1970-01-01T00:02:00Z  1 min   =cmd  volume_encrypted  data:/srv/a,b  passed
            1970-01-01T00:01:00Z  1970-01-01T00:00:30Z  0 s     es-2  volume_encrypted  data:/srv/a,b  its host was revoked: nobody saw it fixed

            3 exposures
        "]]
        .assert_eq(screen.text());
        let csv = crate::sheet::sheet(COLUMNS, &exposures()).unwrap();
        let lines: Vec<_> = csv.split_terminator("\r\n").collect();
        assert_eq!(
            lines[2],
            "id,'=cmd,volume_encrypted,\"data:/srv/a,b\",1,1970-01-01T00:01:00Z,\
             1970-01-01T00:02:00Z,60,passed,1970-01-01T00:01:01Z,"
        );
    }

    #[test]
    fn a_time_is_a_moment_a_day_or_so_long_ago() {
        assert_eq!(since("1970-01-01T00:01:00Z"), Ok(Since::At(at(60))));
        assert_eq!(since("1970-01-02"), Ok(Since::At(at(86_400))));
        assert_eq!(since("2d"), Ok(Since::Ago(SignedDuration::from_hours(48))));
        assert_eq!(since("8h"), Ok(Since::Ago(SignedDuration::from_hours(8))));
        assert!(since("yesterday").is_err());
    }
}
