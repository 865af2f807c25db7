//! `volume_encrypted`: every leg below a path is encrypted.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, PathPosture, Reason, Severity, Verdict};

use super::{
    CIS_3_11, Check, Context, HIPAA_312, ISO_8_24, NIST_SC_28_1, PCI_3_5_1_2, SOC2_CC6_1,
    STIG_RHEL9,
};
use crate::policy::Policy;

pub(super) const CHECK: Check = Check {
    id: "volume_encrypted",
    title: "Everything below a path the node writes to is encrypted",
    why: "Whoever takes the disk, its image or a decommissioned drive reads what the node wrote. \
          It does not protect a running, unlocked node. For PCI DSS 3.5.1.2 it is supporting evidence only: \
          disk encryption alone does not satisfy that requirement on fixed disks.",
    decides: "Follows the path through mounts, file systems and block devices down every leg to the physical \
              devices, by what the kernel's live tables say. Passes only when every leg meets dm-crypt with a real \
              cipher, or another layer that this host enforces, or nothing rests at all. A path that does not exist is \
              unknown, and of the severity that its nearest existing parent would give it. Unknown, too, is a path that \
              is only assumed because a setting could not be read.",
    severity: Severity::Critical,
    remedy: "Move the path onto a dm-crypt (LUKS) volume, or encrypt the device that is named as plain: \
             stop the node, back up, `cryptsetup luksFormat` the device (or `cryptsetup reencrypt --encrypt`), restore",
    controls: &[NIST_SC_28_1, PCI_3_5_1_2, HIPAA_312, ISO_8_24, SOC2_CC6_1, CIS_3_11, STIG_RHEL9],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    context.paths.iter().map(|path| judge(&CHECK, path, context.policy)).collect()
}

/// The finding that a verdict makes; also for swap areas and the volumes of keystores.
pub(super) fn judge(check: &Check, path: &PathPosture, policy: &Policy) -> Finding {
    let outcome = match path.verdict {
        Verdict::Encrypted | Verdict::Volatile => Outcome::Pass,
        Verdict::Partial | Verdict::Unencrypted => Outcome::Fail,
        Verdict::Claimed if policy.accept_claims => Outcome::Pass,
        Verdict::Claimed | Verdict::Unknown => Outcome::Unknown,
    };
    Finding {
        check: check.id.to_owned(),
        asset: path.asset.clone(),
        outcome,
        severity: severity(check, path, outcome, policy),
        summary: summary(path),
        remedy: remedy(check, path, outcome),
        reasons: path.reasons.clone(),
        evidence: evidence(path),
        affects: Vec::new(),
    }
}

/// What is not there yet matters as much as what it would rest on.
fn severity(check: &Check, path: &PathPosture, outcome: Outcome, policy: &Policy) -> Severity {
    let is_absent = path.reasons == [Reason::NotFound];
    let nearest = path.nearest.as_ref().filter(|_| is_absent).map(|nearest| nearest.verdict);
    let would_pass = match nearest {
        Some(Verdict::Encrypted | Verdict::Volatile) => true,
        Some(Verdict::Claimed) => policy.accept_claims,
        Some(Verdict::Unencrypted | Verdict::Partial | Verdict::Unknown) | None => false,
    };
    if outcome == Outcome::Pass || would_pass { Severity::Info } else { check.severity }
}

fn summary(path: &PathPosture) -> String {
    let mut plain: Vec<&str> = path.plain.iter().map(|leg| leg.device.as_str()).collect();
    plain.dedup();
    let what = &path.path;
    match path.verdict {
        Verdict::Encrypted => format!("{what} is encrypted on every leg"),
        Verdict::Volatile => format!("{what} lies in memory only"),
        Verdict::Unencrypted => {
            format!("{what} is not encrypted: plaintext on {}", plain.join(", "))
        }
        Verdict::Partial if path.encrypted_by.is_empty() && !path.undecided.is_empty() => {
            format!("{what} is not encrypted on {}, and not decided beside", plain.join(", "))
        }
        Verdict::Partial => {
            format!("{what} is encrypted in part only: plaintext on {}", plain.join(", "))
        }
        Verdict::Claimed => format!("{what}: {} says that it encrypts", path.claimed_by.join(", ")),
        Verdict::Unknown => match path.undecided.first() {
            Some(leg) if !leg.detail.is_empty() => {
                format!("{what} could not be decided: {}", leg.detail)
            }
            Some(_) | None => format!("{what} could not be decided: {}", codes(&path.reasons)),
        },
    }
}

fn codes(reasons: &[Reason]) -> String {
    reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", ")
}

fn remedy(check: &Check, path: &PathPosture, outcome: Outcome) -> String {
    match outcome {
        Outcome::Pass | Outcome::NotApplicable => String::new(),
        Outcome::Fail => check.remedy.to_owned(),
        Outcome::Unknown => {
            let known = path.reasons.iter().find_map(|reason| lift(*reason));
            known.unwrap_or("look at the stack for the layer that could not be decided").to_owned()
        }
    }
}

/// What would turn an unknown into an answer.
fn lift(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::NoPermission => Some(
            "run the agent as root: reading the kernel's device-mapper tables takes CAP_SYS_ADMIN",
        ),
        Reason::NotFound => Some("create the path, or correct the configuration that names it"),
        Reason::Timeout => {
            Some("find out why the device or server does not answer, then scan again")
        }
        Reason::RemoteFilesystem => Some(
            "run the agent on the file server too, or keep the path on an encrypted local volume",
        ),
        Reason::ServerClaim => Some(
            "accept the word of the file server's agent in the policy (accept_claims), or keep the path on an encrypted \
             local volume",
        ),
        Reason::RemoteDevice => Some(
            "put dm-crypt on top of the network device on this host, so that only ciphertext leaves it",
        ),
        Reason::FuseFilesystem => Some(
            "name what encrypts below this FUSE file system, or keep the path on an encrypted local volume",
        ),
        Reason::ProviderClaim | Reason::DriveClaim => {
            Some("put dm-crypt on the volume, or accept such claims in the policy (accept_claims)")
        }
        Reason::UnknownFilesystem | Reason::UnknownTarget => Some(
            "this version does not know that layer: see the stack, and ask for it to be supported",
        ),
        Reason::PlainDevice
        | Reason::NullCipher
        | Reason::PlainSegment
        | Reason::PlainSubmount
        | Reason::PlainJournal
        | Reason::PlainCache
        | Reason::PlainCow
        | Reason::PlainSwap
        | Reason::PlainNames
        | Reason::Unreadable => None,
    }
}

fn evidence(path: &PathPosture) -> BTreeMap<String, String> {
    let mut evidence = BTreeMap::from([("verdict".to_owned(), path.verdict.to_string())]);
    if let Some(resolved) = &path.resolved {
        evidence.insert("resolved".to_owned(), resolved.clone());
    }
    if let Some(nearest) = &path.nearest {
        evidence.insert("would_rest_on".to_owned(), nearest.path.clone());
        evidence.insert("which_is".to_owned(), nearest.verdict.to_string());
    }
    if !path.plain.is_empty() {
        let plain: Vec<&str> = path.plain.iter().map(|leg| leg.device.as_str()).collect();
        evidence.insert("plain_devices".to_owned(), plain.join(" "));
    }
    if !path.encrypted_by.is_empty() {
        let by: Vec<String> = path
            .encrypted_by
            .iter()
            .map(|by| format!("{} {} {}", by.technology, by.device, by.cipher))
            .collect();
        evidence.insert("encrypted_by".to_owned(), by.join("; "));
    }
    evidence
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::{NearestParent, Use};

    use super::*;
    use crate::volume::fixture::{plain, proof};

    fn path(verdict: Verdict, reasons: &[Reason]) -> PathPosture {
        plain(proof(Use::Data, "/srv/es", verdict), "/dev/sdb", reasons)
    }

    fn outcome(verdict: Verdict) -> Outcome {
        judge(&CHECK, &path(verdict, &[]), &Policy::default()).outcome
    }

    #[test]
    fn only_encrypted_and_volatile_pass() {
        assert_eq!(outcome(Verdict::Encrypted), Outcome::Pass);
        assert_eq!(outcome(Verdict::Volatile), Outcome::Pass);
        assert_eq!(outcome(Verdict::Partial), Outcome::Fail);
        assert_eq!(outcome(Verdict::Unencrypted), Outcome::Fail);
        assert_eq!(outcome(Verdict::Unknown), Outcome::Unknown);
        assert_eq!(outcome(Verdict::Claimed), Outcome::Unknown);
    }

    #[test]
    fn a_claim_passes_only_by_policy() {
        let policy = Policy { accept_claims: true, ..Policy::default() };
        let finding = judge(&CHECK, &path(Verdict::Claimed, &[Reason::DriveClaim]), &policy);
        assert_eq!(finding.outcome, Outcome::Pass);
    }

    #[test]
    fn a_failure_names_the_plain_device_and_what_to_do() {
        let path = path(Verdict::Partial, &[Reason::PlainDevice]);
        let finding = judge(&CHECK, &path, &Policy::default());
        assert!(finding.summary.contains("/dev/sdb"));
        assert!(!finding.remedy.is_empty());
        assert_eq!(finding.evidence["plain_devices"], "/dev/sdb");
    }

    #[test]
    fn what_is_not_there_matters_as_much_as_what_it_would_rest_on() {
        let of = |nearest: Verdict, accept_claims: bool| {
            let mut path = path(Verdict::Unknown, &[Reason::NotFound]);
            path.nearest = Some(NearestParent { path: "/srv".to_owned(), verdict: nearest });
            let policy = Policy { accept_claims, ..Policy::default() };
            let finding = judge(&CHECK, &path, &policy);
            assert_eq!(finding.outcome, Outcome::Unknown);
            assert_eq!(finding.evidence["would_rest_on"], "/srv");
            finding.severity
        };
        assert_eq!(of(Verdict::Encrypted, false), Severity::Info);
        assert_eq!(of(Verdict::Volatile, false), Severity::Info);
        assert_eq!(of(Verdict::Claimed, true), Severity::Info);
        for verdict in [Verdict::Claimed, Verdict::Unencrypted, Verdict::Partial, Verdict::Unknown]
        {
            assert_eq!(of(verdict, false), Severity::Critical, "{verdict}");
        }
        let path = path(Verdict::Unknown, &[Reason::NotFound]);
        assert_eq!(judge(&CHECK, &path, &Policy::default()).severity, Severity::Critical);
    }

    #[test]
    fn an_unknown_says_what_would_lift_it() {
        let path = path(Verdict::Unknown, &[Reason::NoPermission]);
        assert!(judge(&CHECK, &path, &Policy::default()).remedy.contains("CAP_SYS_ADMIN"));
    }
}
