//! When which asset was exposed.

use atrest_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::time;

/// One time that a check failed on an asset.
#[derive(Debug, Serialize)]
pub struct Exposure {
    pub host_id: String,
    pub hostname: String,
    pub check: String,
    pub asset: String,
    pub episode: u32,
    pub from: Option<Timestamp>,
    /// Absent while it goes on.
    pub until: Option<Timestamp>,
    /// Until now when it goes on.
    pub seconds: i64,
    /// `ongoing`, `passed`, `host_retired` or `asset_retired`.
    pub end: &'static str,
    /// When the server was told that it began.
    pub told_at: Option<Timestamp>,
    /// When the asset was last missing from a report that had it before.
    pub absent_at: Option<Timestamp>,
}

impl Exposure {
    /// What goes on has lasted until `now`.
    pub fn read(row: v1::Exposure, now: Timestamp) -> Self {
        let (from, until) = (time(row.opened_at), time(row.ended_at));
        let end = match (until, row.end()) {
            (None, _) => "ongoing",
            (Some(_), v1::AlertEnd::Passed) => "passed",
            (Some(_), v1::AlertEnd::HostRetired) => "host_retired",
            (Some(_), v1::AlertEnd::AssetRetired) => "asset_retired",
            (Some(_), v1::AlertEnd::Worsened | v1::AlertEnd::Unspecified) => "unknown",
        };
        let lasted = from.map(|from| until.unwrap_or(now).duration_since(from).as_secs());
        Self {
            end,
            seconds: lasted.unwrap_or_default().max(0),
            host_id: row.host_id,
            hostname: row.hostname,
            check: row.check,
            asset: row.asset,
            episode: row.episode,
            from,
            until,
            told_at: time(row.told_at),
            absent_at: time(row.absent_at),
        }
    }
}

/// A list of exposures.
#[derive(Debug, Serialize)]
pub struct History {
    schema: &'static str,
    pub exposures: Vec<Exposure>,
}

impl History {
    pub const fn new(exposures: Vec<Exposure>) -> Self {
        Self { schema: "atrest.history/1", exposures }
    }
}
