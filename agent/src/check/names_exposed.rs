//! `names_exposed`: where single files are encrypted, so are their names.

use atrest_proto::model::{Finding, Outcome, PathPosture, Reason, Severity, Verdict};

use super::outcome::finding;
use super::{Check, Context, ISO_8_24, NIST_SC_28_1};

pub(super) const CHECK: Check = Check {
    id: "names_exposed",
    title: "File names are encrypted along with the contents",
    why: "Encryption of single files may leave names, sizes and the shape of the directories readable. Index UUIDs, \
          shard numbers, snapshot names and the names of log files tell what a cluster holds and when.",
    decides: "By the verdict on the path: it fails where a layer encrypts contents and leaves names in plaintext. A \
              layer below the file system, such as dm-crypt, encrypts both. It does not apply to a path whose contents \
              are in plaintext anyway.",
    severity: Severity::Low,
    remedy: "put dm-crypt below the file system, or make the directory anew with encryption of names (for eCryptfs mount \
             it with `ecryptfs_fnek_sig`)",
    controls: &[NIST_SC_28_1, ISO_8_24],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    context.paths.iter().map(judge).collect()
}

fn judge(path: &PathPosture) -> Finding {
    let what = &path.path;
    let say = |outcome, summary| finding(&CHECK, &path.asset, outcome, summary);
    if path.reasons.contains(&Reason::PlainNames) {
        let devices: Vec<&str> = path
            .plain
            .iter()
            .filter(|leg| leg.reason == Reason::PlainNames)
            .map(|leg| leg.device.as_str())
            .collect();
        let summary = format!(
            "{what}: contents are encrypted, file names are readable on {}",
            devices.join(", ")
        );
        return Finding { reasons: vec![Reason::PlainNames], ..say(Outcome::Fail, summary) };
    }
    match path.verdict {
        Verdict::Encrypted => say(Outcome::Pass, format!("{what}: file names are encrypted too")),
        Verdict::Unknown => Finding {
            reasons: path.reasons.clone(),
            ..say(
                Outcome::Unknown,
                format!("{what} could not be decided, and so neither its names"),
            )
        },
        Verdict::Partial | Verdict::Unencrypted | Verdict::Claimed | Verdict::Volatile => {
            say(Outcome::NotApplicable, format!("{what}: names are as readable as contents"))
        }
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Use;

    use super::*;
    use crate::volume::fixture::{plain, proof};

    fn path(verdict: Verdict, reasons: &[Reason]) -> PathPosture {
        plain(proof(Use::Data, "/srv/es", verdict), "/dev/sdb", reasons)
    }

    fn outcome(verdict: Verdict, reasons: &[Reason]) -> Outcome {
        judge(&path(verdict, reasons)).outcome
    }

    #[test]
    fn plain_names_fail_and_say_where() {
        let finding = judge(&path(Verdict::Partial, &[Reason::PlainNames]));
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Low));
        assert!(finding.summary.contains("/dev/sdb"), "{}", finding.summary);
        assert_eq!(
            outcome(Verdict::Partial, &[Reason::PlainDevice, Reason::PlainNames]),
            Outcome::Fail
        );
    }

    #[test]
    fn an_encrypted_path_passes() {
        assert_eq!(outcome(Verdict::Encrypted, &[]), Outcome::Pass);
    }

    #[test]
    fn what_is_undecided_is_unknown() {
        assert_eq!(outcome(Verdict::Unknown, &[Reason::Unreadable]), Outcome::Unknown);
    }

    #[test]
    fn where_contents_are_plain_it_does_not_apply() {
        for verdict in [Verdict::Unencrypted, Verdict::Partial, Verdict::Claimed, Verdict::Volatile]
        {
            assert_eq!(outcome(verdict, &[]), Outcome::NotApplicable, "{verdict}");
        }
    }
}
