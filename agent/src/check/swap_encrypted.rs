//! `swap_encrypted`: memory that is written out is encrypted too.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::volume_encrypted::judge;
use super::{Check, Context, HIPAA_312, ISO_8_24, NIST_SC_28_1, SOC2_CC6_1};
use crate::snapshot::Observed;

pub(super) const CHECK: Check = Check {
    id: "swap_encrypted",
    title: "Swap is encrypted, or there is none",
    why: "The kernel writes parts of the node's memory, with documents and keys in it, to swap areas. \
          `bootstrap.memory_lock` keeps the heap out, not everything.",
    decides: "Reads /proc/swaps and proves each area as it proves a path. Swap in memory (zram without a backing \
              device) passes; no swap passes.",
    severity: Severity::High,
    remedy: "Switch the area off (`swapoff`), then put it on dm-crypt: a line in /etc/crypttab with a random key \
             (`swap` option) or a logical volume on LUKS; or do without swap",
    controls: &[NIST_SC_28_1, HIPAA_312, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let host = |outcome, summary: &str, remedy: &str| Finding {
        check: CHECK.id.to_owned(),
        asset: "swap:".to_owned(),
        outcome,
        severity: if outcome == Outcome::Unknown { CHECK.severity } else { Severity::Info },
        summary: summary.to_owned(),
        remedy: remedy.to_owned(),
        reasons: Vec::new(),
        evidence: std::collections::BTreeMap::new(),
        affects: Vec::new(),
    };
    match &context.snapshot.swaps {
        Observed::Known(swaps) if swaps.is_empty() => {
            vec![host(Outcome::Pass, "no swap is in use", "")]
        }
        Observed::Known(_) => {
            context.swaps.iter().map(|swap| judge(&CHECK, swap, context.policy)).collect()
        }
        Observed::Absent => vec![host(Outcome::Pass, "the kernel has no swap", "")],
        Observed::Unreadable(trouble) => vec![Finding {
            reasons: vec![trouble.reason],
            ..host(Outcome::Unknown, &trouble.detail, "make /proc/swaps readable for the agent")
        }],
    }
}
