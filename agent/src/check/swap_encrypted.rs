//! `swap_encrypted`: memory that is written out is encrypted too.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::volume_encrypted::judge;
use super::{Check, Context, HIPAA_312, ISO_8_24, NIST_SC_28_1, SOC2_CC6_1};
use crate::memory::ServiceMemory;
use crate::snapshot::Observed;

pub(super) const CHECK: Check = Check {
    id: "swap_encrypted",
    title: "Swap is encrypted, or there is none",
    why: "The kernel writes parts of the node's memory, with documents and keys in it, to swap areas. \
          `bootstrap.memory_lock` keeps the heap out, not everything.",
    decides: "Reads /proc/swaps and proves each area as it proves a path. Swap in memory (zram without a backing \
              device) passes; no swap passes. Where every service has locked its memory and none of it was \
              written out, plain swap is less severe: what else the host writes there still is plain.",
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
        Observed::Known(areas) => {
            let memory = &context.snapshot.memory;
            let swaps = context.swaps.iter();
            let judged = swaps.map(|swap| with_memory(judge(&CHECK, swap, context.policy), memory));
            // Said also where there are some: what was unknown once is known again only when it is said.
            let summary = format!("the swap areas that are in use are known: {}", areas.len());
            std::iter::once(host(Outcome::Pass, &summary, "")).chain(judged).collect()
        }
        Observed::Absent => vec![host(Outcome::Pass, "the kernel has no swap", "")],
        Observed::Unreadable(trouble) => vec![Finding {
            reasons: vec![trouble.reason],
            ..host(Outcome::Unknown, &trouble.detail, "make /proc/swaps readable for the agent")
        }],
    }
}

/// What does not pass says how much of the services' memory is there.
fn with_memory(mut finding: Finding, memory: &[ServiceMemory]) -> Finding {
    if finding.outcome == Outcome::Pass || memory.is_empty() {
        return finding;
    }
    let list = |of: fn(&ServiceMemory) -> u64| {
        let parts = memory.iter().map(|one| format!("{} {} KiB", one.service, of(one)));
        parts.collect::<Vec<_>>().join(", ")
    };
    finding.evidence.insert("swapped".to_owned(), list(|one| one.swapped_kib));
    finding.evidence.insert("locked".to_owned(), list(|one| one.locked_kib));
    let is_kept_out = |one: &ServiceMemory| one.locked_kib > 0 && one.swapped_kib == 0;
    let swapped = memory.iter().filter(|one| one.swapped_kib > 0);
    let swapped: Vec<&str> = swapped.map(|one| one.service.as_str()).collect();
    if !swapped.is_empty() {
        let services = swapped.join(", ");
        finding.summary = format!("{}; memory of {services} was written to swap", finding.summary);
    } else if finding.outcome == Outcome::Fail && memory.iter().all(is_kept_out) {
        finding.severity = Severity::Medium;
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing() -> Finding {
        Finding {
            check: CHECK.id.to_owned(),
            asset: "swap:/dev/sdb2".to_owned(),
            outcome: Outcome::Fail,
            severity: CHECK.severity,
            summary: "/dev/sdb2 is not encrypted".to_owned(),
            remedy: String::new(),
            reasons: Vec::new(),
            evidence: std::collections::BTreeMap::new(),
            affects: Vec::new(),
        }
    }

    fn memory(locked_kib: u64, swapped_kib: u64) -> ServiceMemory {
        ServiceMemory { service: "elasticsearch".to_owned(), locked_kib, swapped_kib }
    }

    #[test]
    fn locked_memory_that_was_not_written_out_matters_less() {
        assert_eq!(with_memory(failing(), &[memory(1, 0)]).severity, Severity::Medium);
        for memory in
            [vec![], vec![memory(0, 0)], vec![memory(1, 1)], vec![memory(1, 0), memory(0, 0)]]
        {
            let finding = with_memory(failing(), &memory);
            assert_eq!((finding.severity, finding.outcome), (Severity::High, Outcome::Fail));
        }
    }

    #[test]
    fn memory_that_was_written_out_is_said() {
        let finding = with_memory(failing(), &[memory(5, 7)]);
        assert!(finding.summary.ends_with("memory of elasticsearch was written to swap"));
        assert_eq!(finding.evidence["swapped"], "elasticsearch 7 KiB");
        assert_eq!(finding.evidence["locked"], "elasticsearch 5 KiB");
    }

    #[test]
    fn what_passes_is_left_alone() {
        let passing = Finding { outcome: Outcome::Pass, ..failing() };
        assert_eq!(with_memory(passing.clone(), &[memory(0, 7)]), passing);
    }
}
