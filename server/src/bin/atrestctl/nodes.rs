//! `atrestctl nodes`: all hosts, worst first.

use std::collections::BTreeMap;

use atrest_proto::v1;
use atrest_server::view::{Node, Nodes};
use clap::ValueEnum;
use jiff::Timestamp;

use crate::connect::{Connection, explain};
use crate::render::{Cell, Screen, Tone, ago, exact, now};

/// A state to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Unencrypted,
    Partial,
    Stale,
    Unknown,
    Claimed,
    Encrypted,
    Revoked,
}

impl State {
    const fn to_wire(self) -> v1::NodeState {
        match self {
            Self::Unencrypted => v1::NodeState::Unencrypted,
            Self::Partial => v1::NodeState::Partial,
            Self::Stale => v1::NodeState::Stale,
            Self::Unknown => v1::NodeState::Unknown,
            Self::Claimed => v1::NodeState::Claimed,
            Self::Encrypted => v1::NodeState::Encrypted,
            Self::Revoked => v1::NodeState::Revoked,
        }
    }
}

/// Reads `KEY=VALUE`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// As they are written.
pub(crate) fn show_labels(labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.join(" ")
}

/// Of the list as CSV.
const COLUMNS: &[&str] = &[
    "host_id",
    "hostname",
    "cluster",
    "state",
    "connected",
    "failing_findings",
    "enrolled_at",
    "last_seen_at",
    "observed_at",
    "agent_version",
    "labels",
    "revoked.at",
    "revoked.by",
    "revoked.reason",
];

/// A page of the list, and where the next one starts.
pub(crate) async fn page(
    connection: &mut Connection,
    request: v1::ListNodesRequest,
) -> anyhow::Result<(Vec<Node>, String)> {
    let page =
        connection.fleet.list_nodes(request).await.map_err(|status| explain(&status))?.into_inner();
    Ok((page.nodes.into_iter().map(Node::from).collect(), page.next_page_token))
}

pub(crate) async fn run(
    connection: &mut Connection,
    screen: &mut Screen,
    state: Option<State>,
    labels: Vec<(String, String)>,
) -> anyhow::Result<()> {
    let labels: BTreeMap<_, _> = labels.into_iter().collect();
    let mut nodes = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListNodesRequest {
            state: state.map_or(v1::NodeState::Unspecified, State::to_wire).into(),
            page_size: 0,
            page_token,
            labels: labels.clone(),
        };
        let (found, next) = page(connection, request).await?;
        nodes.extend(found);
        if next.is_empty() {
            break;
        }
        page_token = next;
    }
    let nodes = Nodes::new(nodes);
    if !screen.csv(COLUMNS, &nodes.nodes)? && !screen.json(&nodes)? {
        print(screen, &nodes.nodes, now());
    }
    Ok(())
}

fn print(screen: &mut Screen, nodes: &[Node], now: Timestamp) {
    if nodes.iter().any(|node| node.revoked.is_some()) {
        print_revoked(screen, nodes);
        return;
    }
    if nodes.is_empty() {
        screen.line("no hosts: `atrestctl token create` makes a token to enrol one with");
        return;
    }
    let rows: Vec<_> = nodes
        .iter()
        .map(|node| {
            let tone = if node.failing_findings > 0 { Tone::Bad } else { Tone::Plain };
            vec![
                Cell::word(node.state),
                node.hostname.as_str().into(),
                node.cluster.as_str().into(),
                Cell::new(node.failing_findings.to_string(), tone),
                if node.connected { "now".into() } else { ago(node.last_seen_at, now).into() },
                node.agent_version.as_str().into(),
                Cell::new(node.host_id.as_str(), Tone::Faint),
                show_labels(&node.labels).into(),
            ]
        })
        .collect();
    let headings = ["STATE", "NODE", "CLUSTER", "FAILING", "SEEN", "AGENT", "ID", "LABELS"];
    screen.table(&headings, &rows);
}

fn print_revoked(screen: &mut Screen, nodes: &[Node]) {
    let rows: Vec<_> = nodes
        .iter()
        .map(|node| {
            let revoked = node.revoked.as_ref();
            vec![
                Cell::word(node.state),
                node.hostname.as_str().into(),
                node.cluster.as_str().into(),
                exact(revoked.map(|revoked| revoked.at)).into(),
                revoked.map(|revoked| revoked.by.as_str()).unwrap_or_default().into(),
                revoked.map(|revoked| revoked.reason.as_str()).unwrap_or_default().into(),
                Cell::new(node.host_id.as_str(), Tone::Faint),
            ]
        })
        .collect();
    screen.table(&["STATE", "NODE", "CLUSTER", "SINCE", "BY", "REASON", "ID"], &rows);
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use atrest_server::view::node_state;

    use super::*;

    #[test]
    fn one_line_sums_up_a_host() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let node = Node {
            host_id: "11111111-2222-4333-8444-555555555555".to_owned(),
            hostname: "es-1".to_owned(),
            cluster: "prod".to_owned(),
            state: "stale",
            connected: false,
            failing_findings: 2,
            enrolled_at: None,
            last_seen_at: Timestamp::from_second(999_000).ok(),
            observed_at: None,
            sequence: 7,
            agent_version: "0.1.0".to_owned(),
            labels: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
            revoked: None,
        };
        let mut screen = Screen::plain();
        print(&mut screen, &[node], now);
        expect![[r"
            STATE  NODE  CLUSTER  FAILING  SEEN        AGENT  ID                                    LABELS
            stale  es-1  prod     2        16 min ago  0.1.0  11111111-2222-4333-8444-555555555555  env=prod
        "]]
        .assert_eq(screen.text());
    }

    #[test]
    fn every_state_can_be_looked_for() {
        for state in State::value_variants() {
            let name = state.to_possible_value().unwrap();
            assert_eq!(name.get_name(), node_state(state.to_wire().into()));
        }
    }
}
