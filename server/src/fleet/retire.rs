//! A host whose enrolment an operator ended: what was open ends with it. Nobody saw it fixed, and nothing says so.

use jiff::Timestamp;

use super::{Applied, HostState};

/// The host is no longer one of the fleet; `None` when that is known already.
pub fn retire(previous: HostState, now: Timestamp) -> Option<Applied> {
    if previous.revoked_at.is_some() {
        return None;
    }
    let mut applied = Applied::new(previous);
    applied.state.revoked_at = Some(now);
    applied.retire(now);
    Some(applied)
}
