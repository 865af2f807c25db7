//! `atrestctl revoke`: ending a host's enrolment.

use anyhow::Context as _;
use atrest_proto::v1;
use atrest_server::view::Node;
use serde::Serialize;

use crate::connect::{Connection, explain};
use crate::render::{Cell, Screen, Tone};

/// The answer, for programs.
#[derive(Debug, Serialize)]
struct Revoked {
    schema: &'static str,
    node: Node,
}

pub(crate) async fn run(
    connection: &mut Connection,
    screen: &mut Screen,
    node: String,
    reason: String,
) -> anyhow::Result<()> {
    let answer = connection
        .nodes
        .revoke_node(v1::RevokeNodeRequest { node, reason })
        .await
        .map_err(|status| explain(&status))?
        .into_inner();
    let node = answer.node.context("the server told nothing of this host")?.into();
    let revoked = Revoked { schema: "atrest.node_revoked/1", node };
    if !screen.json(&revoked)? {
        let Node { hostname, host_id, .. } = &revoked.node;
        screen.line(&format!("{hostname} ({host_id}) reports no more, and its alerts are over"));
        let again = format!("to let it in again: atrestctl token create --replace {host_id}");
        screen.row(&[Cell::new(again, Tone::Faint)]);
    }
    Ok(())
}
