//! `atrestctl status`: the fleet in numbers.

use atrest_proto::v1;
use atrest_server::view::{Counts, Group, Groups, SearchCluster, Status};
use serde::Serialize;

use crate::connect::{Connection, explain};
use crate::render::{Cell, Screen, Tone, count};

/// Of the numbers as CSV: a row for each group, or for the fleet.
const COLUMNS: &[&str] = &[
    "name",
    "enrolled",
    "encrypted",
    "partial",
    "unencrypted",
    "claimed",
    "unknown",
    "stale",
    "revoked",
    "connected",
    "failing_findings",
    "firing_alerts",
];

#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(flatten)]
    counts: &'a Counts,
}

impl<'a> Row<'a> {
    const fn of(name: &'a str, counts: &'a Counts) -> Self {
        Self { name, counts }
    }
}

pub(crate) async fn run(
    connection: &mut Connection,
    screen: &mut Screen,
    by: Option<String>,
) -> anyhow::Result<()> {
    let status = connection
        .fleet
        .get_fleet_status(v1::GetFleetStatusRequest { group_by: by.clone().unwrap_or_default() })
        .await
        .map_err(|status| explain(&status))?
        .into_inner();
    let status = Status::new(status, by);
    let rows: Vec<Row<'_>> = match &status.groups {
        Some(groups) => {
            groups.groups.iter().map(|group| Row::of(&group.name, &group.counts)).collect()
        }
        None => vec![Row::of("", &status.counts)],
    };
    if !screen.csv(COLUMNS, &rows)? && !screen.json(&status)? {
        print(screen, &status.counts);
        if let Some(groups) = &status.groups {
            print_groups(screen, groups);
        }
        print_search_clusters(screen, &status.search_clusters);
    }
    Ok(())
}

fn print_groups(screen: &mut Screen, groups: &Groups) {
    let number = |count: u64, state: &str| {
        Cell::new(count.to_string(), if count == 0 { Tone::Faint } else { Tone::of(state) })
    };
    let rows: Vec<_> = groups
        .groups
        .iter()
        .map(|Group { name, counts }| {
            vec![
                if name.is_empty() {
                    Cell::new("(none)", Tone::Faint)
                } else {
                    name.as_str().into()
                },
                counts.enrolled.to_string().into(),
                number(counts.unencrypted, "unencrypted"),
                number(counts.partial, "partial"),
                number(counts.stale, "stale"),
                number(counts.unknown, "unknown"),
                number(counts.claimed, "claimed"),
                number(counts.encrypted, "encrypted"),
            ]
        })
        .collect();
    let by = groups.by.strip_prefix("label:").unwrap_or(&groups.by).to_uppercase();
    let mut headings = vec![by.as_str()];
    headings.extend([
        "ENROLLED",
        "UNENCRYPTED",
        "PARTIAL",
        "STALE",
        "UNKNOWN",
        "CLAIMED",
        "ENCRYPTED",
    ]);
    screen.line("");
    screen.table(&headings, &rows);
}

fn print_search_clusters(screen: &mut Screen, clusters: &[SearchCluster]) {
    if clusters.is_empty() {
        return;
    }
    let row = |cluster: &SearchCluster| {
        let listed = cluster.listed_at.is_some();
        let number = |count: u64| if listed { count.to_string() } else { "?".to_owned() };
        let tone = match (listed, cluster.without_agent) {
            (false, _) => Tone::Doubt,
            (true, 0) => Tone::Faint,
            (true, _) => Tone::Bad,
        };
        vec![
            cluster.name.as_str().into(),
            cluster.cluster.as_str().into(),
            number(cluster.nodes).into(),
            Cell::new(number(cluster.without_agent), tone),
        ]
    };
    let rows: Vec<_> = clusters.iter().map(row).collect();
    screen.line("");
    screen.table(&["SEARCH CLUSTER", "CLUSTER", "NODES", "WITHOUT AGENT"], &rows);
}

fn print(screen: &mut Screen, status: &Counts) {
    let states = [
        ("unencrypted", status.unencrypted, "plaintext rests on at least one path"),
        ("partial", status.partial, "some of it rests in plaintext"),
        ("stale", status.stale, "not heard of for too long: what was known is no longer evidence"),
        ("unknown", status.unknown, "could not be decided"),
        ("claimed", status.claimed, "somebody else says so, the host cannot prove it"),
        ("encrypted", status.encrypted, "proven, down to the devices"),
    ];
    let rows: Vec<_> = states
        .into_iter()
        .map(|(state, count, meaning)| {
            let tone = if count == 0 { Tone::Faint } else { Tone::of(state) };
            vec![
                Cell::new(state, tone),
                Cell::new(format!("{count:>6}"), tone),
                Cell::new(meaning, Tone::Faint),
            ]
        })
        .collect();
    let Counts { enrolled, connected, revoked, failing_findings, firing_alerts, .. } = status;
    let gone = if *revoked > 0 { format!("; {revoked} revoked") } else { String::new() };
    screen.line(&format!("{} enrolled, {connected} connected{gone}", count(*enrolled, "host")));
    screen.line("");
    screen.table(&["STATE", " HOSTS", ""], &rows);
    screen.line("");
    let findings = count(*failing_findings, "failing finding");
    screen.line(&format!("{findings}, {}", count(*firing_alerts, "firing alert")));
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use jiff::Timestamp;

    use super::*;

    #[test]
    fn the_worst_stands_first() {
        let mut screen = Screen::plain();
        let status = Counts {
            enrolled: 3,
            encrypted: 1,
            partial: 0,
            unencrypted: 1,
            claimed: 0,
            unknown: 0,
            stale: 1,
            revoked: 4,
            connected: 2,
            failing_findings: 2,
            firing_alerts: 1,
        };
        print(&mut screen, &status);
        expect![[r"
            3 hosts enrolled, 2 connected; 4 revoked

            STATE         HOSTS
            unencrypted       1  plaintext rests on at least one path
            partial           0  some of it rests in plaintext
            stale             1  not heard of for too long: what was known is no longer evidence
            unknown           0  could not be decided
            claimed           0  somebody else says so, the host cannot prove it
            encrypted         1  proven, down to the devices

            2 failing findings, 1 firing alert
        "]]
        .assert_eq(screen.text());
        let mut screen = Screen::plain();
        let groups = vec![Group { name: String::new(), counts: status }];
        print_groups(&mut screen, &Groups { by: "label:env".to_owned(), groups });
        expect![[r"

            ENV     ENROLLED  UNENCRYPTED  PARTIAL  STALE  UNKNOWN  CLAIMED  ENCRYPTED
            (none)  3         1            0        1      0        0        1
        "]]
        .assert_eq(screen.text());
        let mut screen = Screen::plain();
        let cluster = |name: &str, listed_at| SearchCluster {
            cluster: "prod".to_owned(),
            name: name.to_owned(),
            uuid: "U".to_owned(),
            nodes: 3,
            without_agent: 1,
            listed_at,
        };
        let clusters = [cluster("logs", Some(Timestamp::UNIX_EPOCH)), cluster("metrics", None)];
        print_search_clusters(&mut screen, &clusters);
        expect![[r"

            SEARCH CLUSTER  CLUSTER  NODES  WITHOUT AGENT
            logs            prod     3      1
            metrics         prod     ?      ?
        "]]
        .assert_eq(screen.text());
    }
}
