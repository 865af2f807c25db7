//! `core_dumps_contained`: what a crash writes of memory, it writes to an encrypted place.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, Reason, Severity};

use super::outcome::{finding, unknown};
use super::volume_encrypted::judge;
use super::{Check, Context, HIPAA_312, ISO_8_24, NIST_SC_28_1, SOC2_CC6_1};
use crate::core_dumps::Sink;
use crate::snapshot::{Observed, Resolved, Target, Trouble};
use crate::volume;

pub(super) const CHECK: Check = Check {
    id: "core_dumps_contained",
    title: "Core dumps and kernel dumps go to encrypted places, or nowhere",
    why: "A core dump holds the memory of the node, with documents, passwords and keys in it. A dump of the kernel \
          holds all memory of the machine, volume keys included.",
    decides: "Follows /proc/sys/kernel/core_pattern: to a directory, to the working directory of each node (unless its \
              core file size limit is 0), or to a handler that is known (systemd-coredump, apport, abrt) and the \
              directory that it is configured to write to. When a crash kernel is loaded, follows the configuration \
              of kdump too. Each directory is proven like a path.",
    severity: Severity::High,
    remedy: "Put the directory on an encrypted volume, or keep dumps from being written: `Storage=none` in \
             /etc/systemd/coredump.conf, `LimitCORE=0` for the node's unit, kernel.core_pattern=|/bin/false, \
             or no crash kernel",
    controls: &[NIST_SC_28_1, HIPAA_312, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

/// One each for a host: the ids stay when the places change, so that a failure can be seen to be mended.
const PROCESSES: &str = "core-dump:";
const KERNEL: &str = "kernel-dump:";

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let Some(facts) = &context.snapshot.core_dumps else { return Vec::new() };
    let mut processes = summed_up(context, PROCESSES, &facts.processes).unwrap_or_else(|| {
        let summary = "no node runs, and a crash of other processes is not looked at".to_owned();
        finding(&CHECK, PROCESSES, Outcome::NotApplicable, summary)
    });
    if let Observed::Known(pattern) = &facts.pattern {
        processes.evidence.insert("core_pattern".to_owned(), pattern.to_string());
    }
    let kernel = summed_up(context, KERNEL, &facts.kernel);
    [processes].into_iter().chain(kernel).collect()
}

/// The worst of all sinks; `None` without any.
fn summed_up(context: &Context<'_>, asset: &str, sinks: &[Sink]) -> Option<Finding> {
    let judged: Vec<Finding> = sinks.iter().map(|sink| of_sink(context, asset, sink)).collect();
    let mut affects: Vec<String> =
        judged.iter().flat_map(|found| found.affects.iter().cloned()).collect();
    affects.sort_unstable();
    affects.dedup();
    let mut places: Vec<&str> =
        judged.iter().filter_map(|found| found.evidence.get("place")).map(String::as_str).collect();
    places.sort_unstable();
    places.dedup();
    let places = places.join("; ");
    // `Fail` comes first; of equals the first stays.
    let mut worst = judged.into_iter().min_by_key(|found| found.outcome)?;
    worst.affects = affects;
    worst.evidence.remove("place");
    if !places.is_empty() {
        worst.evidence.insert("places".to_owned(), places);
    }
    Some(worst)
}

fn of_sink(context: &Context<'_>, asset: &str, sink: &Sink) -> Finding {
    match sink {
        Sink::Nowhere(why) => {
            finding(&CHECK, asset, Outcome::Pass, format!("no dump is written: {why}"))
        }
        Sink::Unknown(trouble) => unknown(&CHECK, asset, "where dumps go", trouble),
        Sink::Place { target, is_made, is_exact } => {
            of_place(context, asset, target, *is_made, *is_exact)
        }
    }
}

fn of_place(
    context: &Context<'_>,
    asset: &str,
    target: &Target,
    is_made: bool,
    is_exact: bool,
) -> Finding {
    let path = &target.path;
    let at = match (&target.resolution, &target.nearest) {
        (Observed::Absent, _) if !is_made => {
            let summary = format!("no dump is written: {path} does not exist, and nobody makes it");
            return finding(&CHECK, asset, Outcome::Pass, summary);
        }
        (Observed::Absent, Some(nearest)) => Observed::Known(nearest.clone()),
        (Observed::Absent, None) => Observed::Unreadable(not_found(target)),
        (found, _) => found.clone(),
    };
    let is_missing = target.resolution == Observed::<Resolved>::Absent;
    let there = Target { resolution: at, nearest: None, ..target.clone() };
    let posture = context.evaluator.target(&there);
    let judged = judge(&CHECK, &posture, context.policy);
    let own = volume::asset(target);
    let affects = context.paths.iter().any(|path| path.asset == own).then_some(own);
    let made = if is_missing { ", which would be made" } else { "" };
    let place = format!("{path} ({})", posture.verdict);
    let mut found = Finding {
        asset: asset.to_owned(),
        summary: format!("dumps go to {path}{made}: {}", judged.summary),
        affects: affects.into_iter().collect(),
        ..judged
    };
    if found.outcome == Outcome::Pass && !is_exact {
        let trouble = Trouble::new(
            Reason::Unreadable,
            format!("dumps go below {path}, to a directory that is decided when something crashes"),
        );
        found = Finding {
            affects: found.affects,
            ..unknown(&CHECK, asset, "where dumps go", &trouble)
        };
    }
    found.evidence = BTreeMap::from([("place".to_owned(), place)]);
    found
}

fn not_found(target: &Target) -> Trouble {
    Trouble::new(
        Reason::NotFound,
        format!("{}: neither it nor a directory above it was found", target.path),
    )
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::{PathPosture, Use};

    use super::super::luks_fixture;
    use super::*;
    use crate::core_dumps::CoreDumps;
    use crate::policy::Policy;
    use crate::snapshot::{DeviceNumber, Mount, Namespace, Snapshot};
    use crate::volume::Evaluator;

    fn at(path: &str) -> Resolved {
        Resolved::at(path)
    }

    fn target(path: &str, resolution: Observed<Resolved>) -> Target {
        Target {
            path: path.into(),
            usage: Use::CoreDump,
            service: None,
            namespace: Namespace::Host,
            resolution,
            nearest: Some(at(if path.starts_with("/enc") { "/enc" } else { "/" })),
        }
    }

    fn place(path: &str) -> Sink {
        let target = target(path, Observed::Known(at(path)));
        Sink::Place { target, is_made: false, is_exact: true }
    }

    fn missing(path: &str, is_made: bool) -> Sink {
        Sink::Place { target: target(path, Observed::Absent), is_made, is_exact: true }
    }

    fn nowhere() -> Sink {
        Sink::Nowhere("it is thrown away".to_owned())
    }

    fn lost() -> Sink {
        Sink::Unknown(Trouble::new(Reason::Unreadable, "a handler"))
    }

    /// `/` is plain, `/enc` is on dm-crypt.
    fn snapshot(processes: Vec<Sink>, kernel: Vec<Sink>) -> Snapshot {
        let mut snapshot = luks_fixture::snapshot(Observed::Absent);
        let mount = |id, device, point: &str| Mount {
            id,
            parent: 1,
            device,
            root: "/".into(),
            mount_point: point.into(),
            fstype: "ext2".to_owned(),
            source: "x".into(),
            super_options: String::new(),
        };
        let mounts = vec![
            mount(1, DeviceNumber::new(8, 17), "/"),
            mount(2, DeviceNumber::new(254, 0), "/enc"),
        ];
        snapshot.mounts = vec![(Namespace::Host, Observed::Known(mounts))];
        let pattern = Observed::Known("core".into());
        snapshot.core_dumps = Some(CoreDumps { pattern, processes, kernel });
        snapshot
    }

    fn findings(snapshot: &Snapshot) -> Vec<Finding> {
        let evaluator = Evaluator::new(snapshot);
        let paths: Vec<PathPosture> =
            snapshot.targets.iter().map(|target| evaluator.target(target)).collect();
        evaluate(&Context {
            snapshot,
            policy: &Policy::default(),
            paths: &paths,
            swaps: &[],
            keystore_volumes: &[],
            secret_volumes: &[],
            spares: &[],
            boot_volumes: &[],
            evaluator: &evaluator,
        })
    }

    fn of(processes: Vec<Sink>) -> Finding {
        findings(&snapshot(processes, Vec::new())).remove(0)
    }

    #[test]
    fn the_worst_place_decides() {
        for (sinks, expected) in [
            (vec![], Outcome::NotApplicable),
            (vec![nowhere()], Outcome::Pass),
            (vec![place("/enc/cores")], Outcome::Pass),
            (vec![place("/cores")], Outcome::Fail),
            (vec![place("/enc/cores"), place("/cores")], Outcome::Fail),
            (vec![nowhere(), lost()], Outcome::Unknown),
            (vec![lost(), place("/cores"), nowhere()], Outcome::Fail),
            (vec![missing("/cores", false)], Outcome::Pass),
            (vec![missing("/cores", true)], Outcome::Fail),
            (vec![missing("/enc/cores", true)], Outcome::Pass),
        ] {
            let found = of(sinks.clone());
            assert_eq!(found.outcome, expected, "{sinks:?}: {}", found.summary);
            assert_eq!(found.asset, "core-dump:");
            assert_eq!(found.evidence["core_pattern"], "core");
        }
    }

    #[test]
    fn a_directory_that_the_crash_decides_is_never_proven_encrypted() {
        let below = |path: &str| Sink::Place {
            target: target(path, Observed::Known(at(path))),
            is_made: false,
            is_exact: false,
        };
        assert_eq!(of(vec![below("/enc")]).outcome, Outcome::Unknown);
        assert_eq!(of(vec![below("/cores")]).outcome, Outcome::Fail);
    }

    #[test]
    fn the_dump_of_the_kernel_is_a_finding_of_its_own() {
        let found = findings(&snapshot(vec![nowhere()], vec![place("/var/crash")]));
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].asset.as_str(), found[1].outcome), ("kernel-dump:", Outcome::Fail));
        assert!(found[1].summary.contains("/var/crash") && found[1].summary.contains("/dev/sdb1"));
        assert_eq!(found[1].evidence["places"], "/var/crash (unencrypted)");
        assert_eq!(findings(&snapshot(vec![nowhere()], vec![])).len(), 1);
    }

    #[test]
    fn it_shows_at_the_place_that_it_is_about() {
        let mut snapshot = snapshot(vec![place("/cores"), place("/enc/cores")], vec![]);
        snapshot.targets = vec![target("/cores", Observed::Known(at("/cores")))];
        assert_eq!(findings(&snapshot)[0].affects, ["core-dump:/cores"]);
    }

    #[test]
    fn what_was_not_looked_at_is_not_spoken_of() {
        let mut snapshot = snapshot(vec![], vec![]);
        snapshot.core_dumps = None;
        assert!(findings(&snapshot).is_empty());
    }
}
