//! Paths that are looked at because nobody knows better: a setting could not be read, and its default may not be what counts.
//!
//! What lies there says nothing of where the service writes. Such a path neither passes nor fails.

use atrest_proto::model::{PathPosture, Undecided, Use, Verdict};
use serde::{Deserialize, Serialize};

use crate::path::HostPath;
use crate::snapshot::{Namespace, Target, Trouble};

/// A default that stands for a setting that is not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Assumption {
    pub service: String,
    pub usage: Use,
    pub path: HostPath,
    pub namespace: Namespace,
    /// Why the setting is not known.
    pub why: Trouble,
}

impl Assumption {
    /// Whether a target is a place for no other reason.
    pub fn is_of(&self, target: &Target) -> bool {
        target.service.as_deref() == Some(self.service.as_str())
            && (target.usage, &target.path, &target.namespace)
                == (self.usage, &self.path, &self.namespace)
    }
}

/// Takes their verdicts from the paths that are only assumed. `paths` are those of `targets`, in their order.
///
/// That another service says of itself to write to the same asset settles nothing: any program may say so.
pub(crate) fn doubt(paths: &mut [PathPosture], targets: &[Target], assumptions: &[Assumption]) {
    if assumptions.is_empty() {
        return;
    }
    let why = |target: &Target| assumptions.iter().find(|assumption| assumption.is_of(target));
    for (path, doubt) in paths.iter_mut().zip(targets.iter().map(why)) {
        // What could not be decided anyway has its own reason.
        if let Some(doubt) = doubt.filter(|_| path.verdict != Verdict::Unknown) {
            let detail = format!(
                "it is not known whether the service writes there ({}); what is there is {}",
                doubt.why.detail, path.verdict
            );
            path.verdict = Verdict::Unknown;
            path.reasons = vec![doubt.why.reason];
            path.plain = Vec::new();
            path.claimed_by = Vec::new();
            path.undecided = vec![Undecided { reason: doubt.why.reason, detail }];
        }
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::*;
    use crate::snapshot::Observed;

    fn target(service: &str) -> Target {
        Target {
            path: "/d".into(),
            usage: Use::Data,
            service: Some(service.to_owned()),
            namespace: Namespace::Host,
            resolution: Observed::Absent,
            nearest: None,
        }
    }

    fn path(verdict: Verdict) -> PathPosture {
        PathPosture {
            asset: "data:/d".to_owned(),
            path: "/d".to_owned(),
            resolved: None,
            usage: Use::Data,
            service: None,
            verdict,
            reasons: Vec::new(),
            plain: Vec::new(),
            encrypted_by: Vec::new(),
            claimed_by: Vec::new(),
            undecided: Vec::new(),
            stack: Vec::new(),
            nearest: None,
        }
    }

    fn assumption() -> Assumption {
        Assumption {
            service: "es".to_owned(),
            usage: Use::Data,
            path: "/d".into(),
            namespace: Namespace::Host,
            why: Trouble::new(Reason::NoPermission, "/etc/es.yml: denied"),
        }
    }

    #[test]
    fn what_is_assumed_neither_passes_nor_fails() {
        for verdict in [Verdict::Encrypted, Verdict::Volatile, Verdict::Claimed, Verdict::Partial] {
            let mut paths = [path(verdict)];
            doubt(&mut paths, &[target("es")], &[assumption()]);
            assert_eq!(paths[0].verdict, Verdict::Unknown);
            assert_eq!(paths[0].reasons, [Reason::NoPermission]);
            let detail = &paths[0].undecided[0].detail;
            assert!(detail.contains("/etc/es.yml: denied"), "{detail}");
            assert!(detail.ends_with(&verdict.to_string()), "{detail}");
        }
        let mut paths = [path(Verdict::Unknown)];
        doubt(&mut paths, &[target("es")], &[assumption()]);
        assert_eq!(paths[0], path(Verdict::Unknown));
    }

    #[test]
    fn what_another_service_says_settles_no_doubt() {
        let mut paths = [path(Verdict::Encrypted), path(Verdict::Encrypted)];
        doubt(&mut paths, &[target("es"), target("other")], &[assumption()]);
        let verdicts = paths.map(|path| path.verdict);
        assert_eq!(verdicts, [Verdict::Unknown, Verdict::Encrypted]);
    }
}
