//! The life of one finding: open, resolved, open again. Only a pass ends it, or the end of its host.

use atrest_proto::model::Outcome;
use jiff::Timestamp;

use super::observation::Body;
use super::{Content, FindingState, TransitionKind};

/// The finding after it was seen at `at`, and what happened to it. `content` is that of a text which is to be kept with
/// the finding; that of others is in the posture that brought them.
pub(super) fn meet(
    previous: Option<&FindingState>,
    seen: &Body,
    content: Option<Content>,
    at: Timestamp,
) -> (FindingState, Option<TransitionKind>) {
    let outcome = seen.finding.outcome;
    let mut next = previous.cloned().unwrap_or(FindingState {
        outcome,
        severity: seen.finding.severity,
        content,
        first_seen_at: at,
        changed_at: at,
        opened_at: None,
        episode: 0,
        alerting: None,
        absent_since: None,
        retired_at: None,
    });
    // A host whose clock went back must not end an episode before it began.
    let at = at.max(next.changed_at);
    if next.outcome != outcome {
        next.changed_at = at;
    }
    next.outcome = outcome;
    // How severe a failure is does not change because it is not seen for a while.
    if outcome != Outcome::Unknown || next.opened_at.is_none() {
        next.severity = seen.finding.severity;
    }
    next.content = content;
    next.absent_since = None;
    next.retired_at = None;

    let kind = match (outcome, next.opened_at) {
        (Outcome::Fail, None) => {
            next.opened_at = Some(at);
            // Also when it failed before and was retired meanwhile.
            next.changed_at = at;
            next.episode = next.episode.saturating_add(1);
            Some(if next.episode == 1 { TransitionKind::Opened } else { TransitionKind::Reopened })
        }
        (Outcome::Pass | Outcome::NotApplicable, Some(_)) => {
            next.opened_at = None;
            Some(TransitionKind::Resolved)
        }
        (Outcome::Fail, Some(_))
        | (Outcome::Unknown, _)
        | (Outcome::Pass | Outcome::NotApplicable, None) => None,
    };
    (next, kind)
}

/// What is out of sight has a text that does not change: nothing is compared with it.
const LAST_SEEN: Content = [0; size_of::<Content>()];

/// The finding after a report that does not speak of it; `None` when nothing is left to say. Its text, which is in no
/// posture any more, is kept with it from then on.
pub(super) fn miss(
    previous: &FindingState,
    is_at_rest: bool,
    at: Timestamp,
) -> Option<(FindingState, Option<TransitionKind>)> {
    let content = previous.content.or(Some(LAST_SEEN));
    let settled = match previous.outcome {
        Outcome::Pass | Outcome::NotApplicable => !previous.is_open(),
        Outcome::Fail | Outcome::Unknown => false,
    };
    // What was not known and never failed is no failure out of sight; of what rests in the open it stays a doubt.
    let forgotten = previous.outcome == Outcome::Unknown && previous.episode == 0 && !is_at_rest;
    if settled || forgotten || previous.retired_at.is_some() {
        // One that has ever failed is remembered: its next episode must not be taken for its first.
        return (previous.episode > 0)
            .then(|| (FindingState { content, ..previous.clone() }, None));
    }
    let kind = previous.absent_since.is_none().then_some(TransitionKind::Absent);
    let absent_since = Some(previous.absent_since.unwrap_or(at));
    Some((FindingState { content, absent_since, ..previous.clone() }, kind))
}

/// The finding after its host was revoked or its asset went for good; `None` when there is nothing to end.
pub(super) fn retire(
    previous: &FindingState,
    kind: TransitionKind,
    at: Timestamp,
) -> Option<(FindingState, Option<TransitionKind>)> {
    let settled = match previous.outcome {
        Outcome::Pass | Outcome::NotApplicable => !previous.is_open(),
        Outcome::Fail | Outcome::Unknown => previous.retired_at.is_some(),
    };
    if settled {
        return None;
    }
    let kind = previous.is_open().then_some(kind);
    let retired_at = Some(at.max(previous.changed_at));
    let next = FindingState { opened_at: None, absent_since: None, retired_at, ..previous.clone() };
    Some((next, kind))
}
