//! `atrestctl watch`: asks again and again, and prints what has changed since the last time.

use std::collections::BTreeMap;
use std::time::Duration;

use atrest_proto::v1;
use atrest_server::view::Node;
use jiff::Timestamp;
use serde::Serialize;

use crate::connect::Connection;
use crate::nodes;
use crate::render::{Cell, Screen, Tone, count, exact, now};

/// What is watched of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    hostname: String,
    state: &'static str,
    failing: u32,
}

type Fleet = BTreeMap<String, Seen>;

/// A host that is not as it was, for programs: one line of JSON each.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    at: Timestamp,
    host_id: String,
    hostname: String,
    /// Absent for a host that was not there.
    from: Option<&'static str>,
    /// Absent for a host that is no longer listed: it was revoked.
    to: Option<&'static str>,
    failing_findings: u32,
}

/// Never ends by itself, but for a program when the server does not answer. What came and went between two looks is told by `atrestctl history`.
pub(crate) async fn run(
    connection: &mut Connection,
    screen: &mut Screen,
    interval: Duration,
) -> anyhow::Result<()> {
    let mut fleet = look(connection).await?;
    if !screen.is_json() {
        let hosts = count(u64::try_from(fleet.len()).unwrap_or(u64::MAX), "host");
        screen.line(&format!("watching {hosts}, every {} s", interval.as_secs()));
    }
    screen.flush()?;
    let mut answers = true;
    loop {
        tokio::time::sleep(interval).await;
        match look(connection).await {
            Ok(next) => {
                if !std::mem::replace(&mut answers, true) {
                    screen.line("the server answers again");
                }
                for change in changes(&fleet, &next, now()) {
                    print(screen, &change)?;
                }
                fleet = next;
            }
            // A program would take silence for calm.
            Err(error) if screen.is_json() => return Err(error),
            // Told once. What changed meanwhile is told afterwards.
            Err(error) => {
                if std::mem::replace(&mut answers, false) {
                    screen.line(&format!("nothing is known until the server answers: {error:#}"));
                }
            }
        }
        screen.flush()?;
    }
}

async fn look(connection: &mut Connection) -> anyhow::Result<Fleet> {
    let mut fleet = Fleet::new();
    let mut request = v1::ListNodesRequest::default();
    loop {
        let (found, next) = nodes::page(connection, request.clone()).await?;
        fleet.extend(found.into_iter().map(|node| {
            let Node { host_id, hostname, state, failing_findings: failing, .. } = node;
            (host_id, Seen { hostname, state, failing })
        }));
        if next.is_empty() {
            return Ok(fleet);
        }
        request.page_token = next;
    }
}

fn changes(before: &Fleet, after: &Fleet, at: Timestamp) -> Vec<Change> {
    let change = |id: &str, was: Option<&Seen>, is: Option<&Seen>| {
        let changed =
            was.map(|seen| (seen.state, seen.failing)) != is.map(|seen| (seen.state, seen.failing));
        let named = is.or(was).filter(|_| changed)?;
        Some(Change {
            at,
            host_id: id.to_owned(),
            hostname: named.hostname.clone(),
            from: was.map(|seen| seen.state),
            to: is.map(|seen| seen.state),
            failing_findings: is.map(|seen| seen.failing).unwrap_or_default(),
        })
    };
    let now = after.iter().filter_map(|(id, is)| change(id, before.get(id), Some(is)));
    let gone = before.iter().filter(|(id, _)| !after.contains_key(*id));
    now.chain(gone.filter_map(|(id, was)| change(id, Some(was), None))).collect()
}

fn print(screen: &mut Screen, change: &Change) -> anyhow::Result<()> {
    if screen.is_json() {
        screen.raw(&serde_json::to_string(change)?);
        screen.raw("\n");
        return Ok(());
    }
    let failing = match change.failing_findings {
        0 => String::new(),
        failing => format!("({failing} failing)"),
    };
    screen.row(&[
        Cell::new(exact(Some(change.at)), Tone::Faint),
        change.hostname.as_str().into(),
        Cell::word(change.from.unwrap_or("new")),
        "→".into(),
        Cell::word(change.to.unwrap_or("revoked")),
        Cell::new(failing, Tone::Plain),
    ]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_it_was_is_not_told() {
        let seen = |state, failing| Seen { hostname: "es".to_owned(), state, failing };
        let fleet = |hosts: &[(&str, Seen)]| -> Fleet {
            hosts.iter().map(|(id, seen)| ((*id).to_owned(), seen.clone())).collect()
        };
        let before = fleet(&[
            ("gone", seen("encrypted", 0)),
            ("more", seen("unencrypted", 1)),
            ("same", seen("encrypted", 0)),
            ("worse", seen("encrypted", 0)),
        ]);
        let after = fleet(&[
            ("more", seen("unencrypted", 2)),
            ("new", seen("unknown", 0)),
            ("same", seen("encrypted", 0)),
            ("worse", seen("partial", 1)),
        ]);
        let at = Timestamp::UNIX_EPOCH;
        let told: Vec<_> = changes(&before, &after, at)
            .into_iter()
            .map(|change| (change.host_id, change.from, change.to, change.failing_findings))
            .collect();
        let of = |id: &str, from, to, failing| (id.to_owned(), from, to, failing);
        assert_eq!(
            told,
            [
                of("more", Some("unencrypted"), Some("unencrypted"), 2),
                of("new", None, Some("unknown"), 0),
                of("worse", Some("encrypted"), Some("partial"), 1),
                of("gone", Some("encrypted"), None, 0),
            ]
        );
        assert_eq!(changes(&after, &after, at), []);
    }
}
