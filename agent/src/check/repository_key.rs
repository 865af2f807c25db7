//! `repository_key`: a snapshot repository is encrypted with a key that the policy demands, and the key works.

use atrest_proto::model::{Finding, Outcome, Reason, Severity};

use super::outcome::finding;
use super::{Check, Context, ISO_8_24, NIST_SC_12, SOC2_CC6_1};
use crate::repository::judge::{self, Encryption, Judged, named};

pub(super) const CHECK: Check = Check {
    id: "repository_key",
    title: "Snapshots are encrypted with the key that is demanded",
    why: "What a provider encrypts with a key of its own, it also decrypts for everybody whom it lets in: nobody can withdraw \
          that key. A key that is disabled or about to be deleted takes the snapshots with it.",
    decides: "Passes when every object that was asked about has a key that its customer manages, and the key works. Where \
              policy.repositories.require_customer_key is off, as it is by default, a provider's own key passes too. \
              Unknown when a customer's key is demanded and the key service does not tell whose key it is.",
    severity: Severity::Medium,
    remedy: "set the bucket's default encryption to a customer-managed key, then copy the objects onto themselves, or \
             register a new repository and take a full snapshot there",
    controls: &[NIST_SC_12, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let snapshot = context.snapshot;
    let is_demanded = context.policy.repositories.require_customer_key;
    let judged = judge::all(&snapshot.repositories, context.paths);
    let pairs = snapshot.repositories.iter().zip(&judged);
    pairs.map(|(observation, judged)| one(&observation.asset, judged, is_demanded)).collect()
}

fn one(asset: &str, judged: &Judged, is_demanded: bool) -> Finding {
    let make = |outcome, summary: String| finding(&CHECK, asset, outcome, summary);
    let keys =
        if judged.keys.is_empty() { String::new() } else { format!(": {}", named(&judged.keys)) };
    if !judged.keys_failing.is_empty() {
        let remedy =
            "enable the key, or cancel its deletion, before the snapshots can no longer be read";
        return Finding {
            remedy: remedy.to_owned(),
            ..make(Outcome::Fail, format!("a key does not work: {}", named(&judged.keys_failing)))
        };
    }
    match judged.encryption {
        Encryption::ClientSide => {
            make(Outcome::Pass, format!("a key of the node's own provider{keys}"))
        }
        Encryption::CustomerKey => make(Outcome::Pass, format!("customer-managed{keys}")),
        Encryption::ProviderKey if !is_demanded => {
            make(Outcome::Pass, format!("the provider's own key, which the policy allows{keys}"))
        }
        Encryption::ProviderKey if !judged.keys_in_doubt.is_empty() => Finding {
            reasons: vec![Reason::NoPermission],
            remedy: judged.remedy.clone(),
            ..make(
                Outcome::Unknown,
                format!("whose key it is is not known: {}", named(&judged.keys_in_doubt)),
            )
        },
        Encryption::ProviderKey => make(
            Outcome::Fail,
            format!("a customer-managed key is demanded, and the provider's own is used{keys}"),
        ),
        Encryption::Unproven if judged.elsewhere.is_some() => {
            make(Outcome::NotApplicable, judged.evidence.clone())
        }
        Encryption::Unproven | Encryption::Unreachable if is_demanded => Finding {
            reasons: judged.reasons.clone(),
            remedy: judged.remedy.clone(),
            ..make(Outcome::Unknown, format!("whose key it is is not known: {}", judged.evidence))
        },
        Encryption::Unproven | Encryption::Unreachable => make(
            Outcome::NotApplicable,
            "no particular key is demanded, and whether it is encrypted is not known".to_owned(),
        ),
        Encryption::Plaintext => {
            make(Outcome::NotApplicable, "it is not encrypted: see repository_encrypted".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::judge::fixture::judged;

    #[test]
    fn a_customers_key_passes_and_a_providers_only_where_it_is_allowed() {
        use Encryption::{ClientSide, CustomerKey, Plaintext, ProviderKey, Unproven, Unreachable};
        for (encryption, allowed, demanded) in [
            (ClientSide, Outcome::Pass, Outcome::Pass),
            (CustomerKey, Outcome::Pass, Outcome::Pass),
            (ProviderKey, Outcome::Pass, Outcome::Fail),
            (Plaintext, Outcome::NotApplicable, Outcome::NotApplicable),
            (Unproven, Outcome::NotApplicable, Outcome::Unknown),
            (Unreachable, Outcome::NotApplicable, Outcome::Unknown),
        ] {
            let judged = judged(encryption);
            assert_eq!(one("r", &judged, false).outcome, allowed, "{encryption}");
            assert_eq!(one("r", &judged, true).outcome, demanded, "{encryption}");
        }
    }

    #[test]
    fn a_key_whose_owner_is_not_known_is_unknown_only_where_that_matters() {
        let doubtful = Judged {
            keys_in_doubt: vec!["k: denied".to_owned()],
            remedy: "allow kms:DescribeKey".to_owned(),
            ..judged(Encryption::ProviderKey)
        };
        assert_eq!(one("r", &doubtful, false).outcome, Outcome::Pass);
        let found = one("r", &doubtful, true);
        assert_eq!(found.outcome, Outcome::Unknown);
        assert!(found.remedy.contains("kms:DescribeKey"));
    }

    #[test]
    fn a_key_that_does_not_work_fails_whatever_is_demanded() {
        let failing = Judged {
            keys_failing: vec!["k is PendingDeletion".to_owned()],
            ..judged(Encryption::CustomerKey)
        };
        let found = one("r", &failing, false);
        assert_eq!(found.outcome, Outcome::Fail);
        assert!(found.summary.contains("PendingDeletion"), "{}", found.summary);
    }
}
