//! `atrestctl retire`: saying that an asset is gone for good.

use atrest_proto::v1;
use serde::Serialize;

use crate::connect::{Connection, explain};
use crate::render::{Cell, Screen, Tone, count};

/// The answer, for programs.
#[derive(Debug, Serialize)]
struct Retired {
    schema: &'static str,
    node: String,
    asset: String,
    /// Findings that ended.
    ended: u32,
}

pub(crate) async fn run(
    connection: &mut Connection,
    screen: &mut Screen,
    node: String,
    asset: String,
    reason: String,
) -> anyhow::Result<()> {
    let request = v1::RetireAssetRequest { node: node.clone(), asset: asset.clone(), reason };
    let answer = connection.nodes.retire_asset(request).await.map_err(|status| explain(&status))?;
    let ended = answer.into_inner().retired;
    let answer = Retired { schema: "atrest.asset_retired/1", node, asset, ended };
    if !screen.json(&answer)? {
        let Retired { node, asset, .. } = &answer;
        let over = count(u64::from(ended), "finding");
        screen.line(&format!("{asset} of {node} counts as gone: {over} over"));
        let note = "if it is reported again, it counts again; the history keeps what was";
        screen.row(&[Cell::new(note, Tone::Faint)]);
    }
    Ok(())
}
