//! `atrestctl export`: the whole fleet as lines of JSON, for programs that keep or compare it.

use atrest_proto::model::Posture;
use atrest_proto::v1;
use atrest_server::view::{FleetFinding, Node, NodeAnswer};
use jiff::Timestamp;
use serde::Serialize;

use crate::connect::Connection;
use crate::render::{Screen, now};
use crate::{findings, nodes};

/// One line. The last one is `end`: without it, something is missing.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Export {
        schema: &'static str,
        at: Timestamp,
    },
    Node {
        node: Box<Node>,
        /// Absent until the first report.
        posture: Option<Box<Posture>>,
    },
    /// What fails, what could not be decided, and whatever is still open.
    Finding(Box<FleetFinding>),
    End {
        nodes: u64,
        findings: u64,
    },
}

/// Printed as it comes. Each host is as it was when it was asked for, not all of one moment.
pub(crate) async fn run(connection: &mut Connection, screen: &mut Screen) -> anyhow::Result<()> {
    put(screen, &Line::Export { schema: "atrest.export/1", at: now() })?;
    let (mut exported_nodes, mut exported_findings) = (0, 0);
    let mut request = v1::ListNodesRequest::default();
    loop {
        let (nodes, next) = nodes::page(connection, request.clone()).await?;
        for node in nodes {
            // By its id: names may be those of several hosts.
            let NodeAnswer { node, posture, .. } =
                crate::node::ask(connection, node.host_id).await?;
            let (node, posture) = (Box::new(node), posture.map(Box::new));
            put(screen, &Line::Node { node, posture })?;
            exported_nodes += 1;
        }
        if next.is_empty() {
            break;
        }
        request.page_token = next;
    }
    let mut request = v1::ListFindingsRequest::default();
    loop {
        let (findings, next) = findings::page(connection, request.clone()).await?;
        for finding in findings {
            put(screen, &Line::Finding(Box::new(finding)))?;
            exported_findings += 1;
        }
        if next.is_empty() {
            break;
        }
        request.page_token = next;
    }
    put(screen, &Line::End { nodes: exported_nodes, findings: exported_findings })
}

fn put(screen: &mut Screen, line: &Line) -> anyhow::Result<()> {
    screen.raw(&serde_json::to_string(line)?);
    screen.raw("\n");
    // A fleet may be larger than what should be held.
    screen.flush()
}
