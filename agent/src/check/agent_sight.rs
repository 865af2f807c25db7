//! `agent_sight`: what the agent could not see.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::outcome::finding;
use super::{Check, Context, NIST_SC_28_1};

pub(super) const CHECK: Check = Check {
    id: "agent_sight",
    title: "The agent saw everything that it has to judge",
    why: "What was not looked at is not proven. A report with gaps must not read like one without.",
    decides: "Passes when something was there to be judged and every look succeeded. Unknown when a file, table or \
              service could not be read, when changes cannot be watched or some were missed, or when neither a service \
              nor a declared path was found.",
    severity: Severity::Medium,
    remedy: "Give the agent the permission that each gap names",
    controls: &[NIST_SC_28_1],
    evaluate,
};

/// There is one of these for each host.
const ASSET: &str = "host:";

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let snapshot = context.snapshot;
    let verdict = |outcome, summary: String, remedy: &str| {
        let mut found = finding(&CHECK, ASSET, outcome, summary);
        remedy.clone_into(&mut found.remedy);
        found
    };
    if snapshot.targets.is_empty() && snapshot.keystores.is_empty() {
        let summary = "no service was found and no path is declared: nothing was judged".to_owned();
        let remedy = "install the agent where Elasticsearch or OpenSearch runs, or declare paths in its \
                      configuration (`paths = [\"/srv/es\"]`)";
        return vec![verdict(Outcome::Unknown, summary, remedy)];
    }
    if snapshot.gaps.is_empty() {
        return vec![verdict(Outcome::Pass, "everything could be looked at".to_owned(), "")];
    }
    let subjects: Vec<&str> = snapshot.gaps.iter().map(|gap| gap.subject.as_str()).collect();
    let mut found = verdict(
        Outcome::Unknown,
        format!("{} could not be looked at: {}", count(subjects.len()), shortened(&subjects)),
        snapshot
            .gaps
            .iter()
            .map(|gap| gap.remedy.as_str())
            .find(|text| !text.is_empty())
            .unwrap_or(CHECK.remedy),
    );
    found.reasons = snapshot.gaps.iter().map(|gap| gap.reason).collect();
    found.reasons.sort_unstable();
    found.reasons.dedup();
    vec![found]
}

fn count(things: usize) -> String {
    if things == 1 { "one thing".to_owned() } else { format!("{things} things") }
}

fn shortened(subjects: &[&str]) -> String {
    /// The gaps themselves are in the posture; a summary is one line.
    const SHOWN: usize = 3;
    let shown = subjects.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if subjects.len() > SHOWN { format!("{shown}, …") } else { shown }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::{Gap, Reason, Use};

    use super::*;
    use crate::check::luks_fixture;
    use crate::policy::Policy;
    use crate::snapshot::Snapshot;
    use crate::snapshot::{Namespace, Observed, Target};

    fn outcome(change: impl FnOnce(&mut Snapshot)) -> Finding {
        let mut snapshot = luks_fixture::snapshot(Observed::Absent);
        snapshot.targets.push(Target {
            path: "/srv/es".into(),
            usage: Use::Data,
            service: None,
            namespace: Namespace::Host,
            resolution: Observed::Absent,
            nearest: None,
        });
        change(&mut snapshot);
        let context = Context {
            snapshot: &snapshot,
            policy: &Policy::default(),
            paths: &[],
            swaps: &[],
            keystore_volumes: &[],
            secret_volumes: &[],
            spares: &[],
            evaluator: &crate::volume::Evaluator::new(&snapshot),
            boot_volumes: &[],
        };
        evaluate(&context).remove(0)
    }

    #[test]
    fn without_gaps_it_passes() {
        assert_eq!(outcome(|_| {}).outcome, Outcome::Pass);
    }

    #[test]
    fn a_gap_is_unknown_with_its_reason_and_remedy() {
        let finding = outcome(|snapshot| {
            snapshot.gaps.push(Gap {
                subject: "/dev/mapper/c0".to_owned(),
                reason: Reason::NoPermission,
                detail: "denied".to_owned(),
                remedy: "run as root".to_owned(),
            });
        });
        assert_eq!(finding.outcome, Outcome::Unknown);
        assert_eq!(finding.reasons, [Reason::NoPermission]);
        assert_eq!(finding.remedy, "run as root");
    }

    #[test]
    fn a_host_with_nothing_to_judge_does_not_pass() {
        assert_eq!(outcome(|snapshot| snapshot.targets.clear()).outcome, Outcome::Unknown);
    }
}
