//! `symlink_leaves`: no symbolic link below a path leads to plaintext.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, PathPosture, Reason, Severity, Use, Verdict};

use super::outcome::{finding, unknown};
use super::{Check, Context, HIPAA_312, ISO_8_24, NIST_SC_28_1, SOC2_CC6_1};
use crate::links::{Link, Links, Uncovered, walk_of};
use crate::snapshot::{Observed, Target, Trouble};

pub(super) const CHECK: Check = Check {
    id: "symlink_leaves",
    title: "No link below a path leads to plaintext",
    why: "A symbolic link below an encrypted path, to an index or a log that was moved when the disk was full, takes \
          what is written there to another volume. The proof of the path does not see it.",
    decides: "Looks for symbolic links below the paths of the node, to a depth of four directories and ten thousand \
              entries, on the same file system, following none. Where a link leads out of the path, its target is \
              proven like a path. What lies beyond these bounds is named in the evidence; a directory that could not \
              be read, or a disk too slow to be walked, is unknown.",
    severity: Severity::High,
    remedy: "Move what the link leads to onto an encrypted volume, or back below the path, and restart the node",
    controls: &[NIST_SC_28_1, HIPAA_312, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

/// No more links than this are named in the evidence.
const NAMED: usize = 20;

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let targets = context.snapshot.targets.iter().zip(context.paths);
    targets.filter_map(|(target, path)| judge(target, path, context)).collect()
}

fn judge(target: &Target, path: &PathPosture, context: &Context<'_>) -> Option<Finding> {
    if !is_judged(target.usage) {
        return None;
    }
    let walk = walk_of(&context.snapshot.links, &target.namespace, &target.resolution)?;
    let links = match &walk.found {
        Ok(links) => links,
        Err(trouble) => return Some(unknown(&CHECK, &path.asset, "the links below it", trouble)),
    };
    // The host may have had links that a recording did not keep.
    let is_whole = !links.uncovered.contains(&Uncovered::NotRecorded);
    if matches!(path.verdict, Verdict::Unencrypted | Verdict::Partial) {
        let summary = format!("{} itself is not encrypted: its links make it no worse", path.path);
        let found = finding(&CHECK, &path.asset, Outcome::NotApplicable, summary);
        return is_whole.then_some(found);
    }
    let judged: Vec<(&Link, Verdict)> =
        links.leaving.iter().map(|link| (link, verdict(link, target, context))).collect();
    let found = summed_up(path, links, &judged, context);
    (is_whole || found.outcome != Outcome::Pass).then_some(found)
}

/// The uses whose links are looked for; others are never walked.
fn is_judged(usage: Use) -> bool {
    match usage {
        Use::Data | Use::Logs | Use::Queue | Use::Config | Use::Repository | Use::Declared => true,
        Use::HeapDump | Use::CoreDump | Use::Temp | Use::Swap | Use::Cache | Use::Export => false,
    }
}

fn verdict(link: &Link, target: &Target, context: &Context<'_>) -> Verdict {
    let Ok(at) = &link.leads_to else { return Verdict::Unknown };
    let end = Target {
        path: at.path.clone(),
        resolution: Observed::Known(at.clone()),
        nearest: None,
        ..target.clone()
    };
    context.evaluator.target(&end).verdict
}

fn summed_up(
    path: &PathPosture,
    links: &Links,
    judged: &[(&Link, Verdict)],
    context: &Context<'_>,
) -> Finding {
    let is_plain = |verdict: &Verdict| matches!(verdict, Verdict::Unencrypted | Verdict::Partial);
    let plain: Vec<_> = judged.iter().filter(|(_, verdict)| is_plain(verdict)).collect();
    let is_undecided = |verdict: &Verdict| match verdict {
        Verdict::Unknown => true,
        Verdict::Claimed => !context.policy.accept_claims,
        Verdict::Unencrypted | Verdict::Partial | Verdict::Volatile | Verdict::Encrypted => false,
    };
    let undecided: Vec<_> = judged.iter().filter(|(_, verdict)| is_undecided(verdict)).collect();
    let what = &path.path;
    let (outcome, summary) = if let Some((link, verdict)) = plain.first() {
        let more = others(plain.len());
        let text =
            format!("{} below {what} leads to {}, which is {verdict}{more}", link.path, end(link));
        (Outcome::Fail, text)
    } else if let Some((link, _)) = undecided.first() {
        let more = others(undecided.len());
        (
            Outcome::Unknown,
            format!("{} leads to {}, which could not be decided{more}", link.path, end(link)),
        )
    } else if judged.is_empty() {
        (Outcome::Pass, format!("no link below {what} leads out of it"))
    } else {
        (Outcome::Pass, format!("the links below {what} lead to nothing in plaintext"))
    };
    if outcome == Outcome::Pass
        && let Some(trouble) = cut_short(links)
    {
        return Finding {
            evidence: evidence(links, judged),
            ..unknown(&CHECK, &path.asset, "some of the links below it", &trouble)
        };
    }
    let mut found = finding(&CHECK, &path.asset, outcome, summary);
    if outcome == Outcome::Unknown {
        "look at where the link leads with `atrest-agent check`".clone_into(&mut found.remedy);
    }
    found.evidence = evidence(links, judged);
    found
}

/// What kept the walk from its bounds. That it ends at them is how this check is meant.
fn cut_short(links: &Links) -> Option<Trouble> {
    let (cut, reason) = if links.uncovered.contains(&Uncovered::Unreadable) {
        (Uncovered::Unreadable, Reason::NoPermission)
    } else if links.uncovered.contains(&Uncovered::Time) {
        (Uncovered::Time, Reason::Timeout)
    } else {
        return None;
    };
    Some(Trouble::new(reason, format!("not seen: {}", cut.as_str())))
}

fn others(count: usize) -> String {
    if count > 1 { format!(", and {} more", count - 1) } else { String::new() }
}

fn end(link: &Link) -> String {
    match &link.leads_to {
        Ok(at) => at.path.to_string(),
        Err(trouble) => format!("what could not be followed ({trouble})"),
    }
}

/// The worst links first.
fn evidence(links: &Links, judged: &[(&Link, Verdict)]) -> BTreeMap<String, String> {
    let mut evidence = BTreeMap::from([("entries_seen".to_owned(), links.entries.to_string())]);
    if !links.uncovered.is_empty() {
        let uncovered: Vec<&str> = links.uncovered.iter().map(|what| what.as_str()).collect();
        evidence.insert("not_covered".to_owned(), uncovered.join("; "));
    }
    if !judged.is_empty() {
        let mut sorted = judged.to_vec();
        sorted.sort_by_key(|(link, verdict)| (*verdict, &link.path));
        let named: Vec<String> = sorted
            .iter()
            .take(NAMED)
            .map(|(link, verdict)| {
                let more = if link.count > 1 {
                    format!(" and {} more there", link.count - 1)
                } else {
                    String::new()
                };
                format!("{} -> {} ({verdict}{more})", link.path, end(link))
            })
            .collect();
        evidence.insert("links".to_owned(), named.join("; "));
        evidence.insert("places".to_owned(), judged.len().to_string());
    }
    evidence
}

#[cfg(test)]
mod tests {
    use super::super::luks_fixture;
    use super::*;
    use crate::links::Walk;
    use crate::policy::Policy;
    use crate::snapshot::{DeviceNumber, Mount, Namespace, Resolved, Snapshot};
    use crate::volume::Evaluator;

    fn at(path: &str) -> Resolved {
        Resolved::at(path)
    }

    fn link(from: &str, to: &str) -> Link {
        Link { path: from.into(), leads_to: Ok(at(to)), count: 1 }
    }

    fn target(path: &str, usage: Use) -> Target {
        Target {
            path: path.into(),
            usage,
            service: None,
            namespace: Namespace::Host,
            resolution: Observed::Known(at(path)),
            nearest: None,
        }
    }

    /// `/` is plain, `/enc` and `/enc2` are on dm-crypt, `/net` is NFS.
    fn snapshot(path: &str, found: Result<Links, Trouble>) -> Snapshot {
        let mut snapshot = luks_fixture::snapshot(Observed::Absent);
        let mount = |id, device, point: &str, fstype: &str| Mount {
            id,
            parent: 1,
            device,
            root: "/".into(),
            mount_point: point.into(),
            fstype: fstype.to_owned(),
            source: "x".into(),
            super_options: String::new(),
        };
        snapshot.mounts = vec![(
            Namespace::Host,
            Observed::Known(vec![
                mount(1, DeviceNumber::new(8, 17), "/", "ext2"),
                mount(2, DeviceNumber::new(254, 0), "/enc", "ext2"),
                mount(3, DeviceNumber::new(254, 0), "/enc2", "ext2"),
                mount(4, DeviceNumber::new(0, 50), "/net", "nfs4"),
            ]),
        )];
        snapshot.targets = vec![target(path, Use::Data)];
        snapshot.links = vec![Walk { namespace: Namespace::Host, directory: path.into(), found }];
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

    fn look(path: &str, leaving: Vec<Link>) -> Finding {
        let links = Links { leaving, entries: 7, ..Links::default() };
        findings(&snapshot(path, Ok(links))).remove(0)
    }

    #[test]
    fn a_link_to_plaintext_below_an_encrypted_path_fails() {
        let found = look("/enc/es", vec![link("/enc/es/a", "/enc2"), link("/enc/es/b", "/plain")]);
        assert_eq!(found.outcome, Outcome::Fail);
        assert_eq!(found.asset, "data:/enc/es");
        assert!(found.summary.contains("/enc/es/b") && found.summary.contains("/plain"));
        assert!(found.evidence["links"].starts_with("/enc/es/b -> /plain (unencrypted)"));
        assert!(!found.remedy.is_empty());
    }

    #[test]
    fn links_to_encrypted_places_pass_and_so_do_none() {
        assert_eq!(look("/enc/es", vec![]).outcome, Outcome::Pass);
        let found = look("/enc/es", vec![link("/enc/es/a", "/enc2/x")]);
        assert_eq!(found.outcome, Outcome::Pass);
        assert_eq!(found.evidence["entries_seen"], "7");
    }

    #[test]
    fn what_cannot_be_decided_is_unknown() {
        assert_eq!(look("/enc/es", vec![link("/enc/es/a", "/net/x")]).outcome, Outcome::Unknown);
        let refused = Link {
            path: "/enc/es/a".into(),
            leads_to: Err(Trouble::new(Reason::NoPermission, "denied")),
            count: 1,
        };
        assert_eq!(look("/enc/es", vec![refused.clone()]).outcome, Outcome::Unknown);
        // Proven plaintext outweighs it.
        assert_eq!(look("/enc/es", vec![refused, link("/enc/es/b", "/")]).outcome, Outcome::Fail);
        let timeout = Trouble::new(Reason::Timeout, "/enc/es: no answer");
        let found = findings(&snapshot("/enc/es", Err(timeout))).remove(0);
        assert_eq!((found.outcome, found.reasons), (Outcome::Unknown, vec![Reason::Timeout]));
    }

    #[test]
    fn below_a_plain_path_links_make_nothing_worse() {
        assert_eq!(look("/srv", vec![link("/srv/a", "/x")]).outcome, Outcome::NotApplicable);
    }

    #[test]
    fn a_recording_without_links_says_nothing_and_one_with_them_does() {
        let uncovered = [Uncovered::NotRecorded].into();
        let none = Links { uncovered, ..Links::default() };
        let some = Links { leaving: vec![link("/enc/es/a", "/x")], ..none.clone() };
        let good = Links { leaving: vec![link("/enc/es/a", "/enc2")], ..none.clone() };
        assert!(findings(&snapshot("/enc/es", Ok(good))).is_empty());
        assert!(findings(&snapshot("/enc/es", Ok(none))).is_empty());
        let found = findings(&snapshot("/enc/es", Ok(some))).remove(0);
        assert_eq!(found.outcome, Outcome::Fail);
        assert_eq!(found.evidence["not_covered"], "what the recording does not hold");
    }

    #[test]
    fn the_bounds_are_told_and_what_was_not_seen_within_them_is_unknown() {
        let look = |uncovered, leaving| {
            let uncovered = [Uncovered::Deeper, uncovered].into();
            findings(&snapshot("/enc/es", Ok(Links { uncovered, leaving, entries: 7 }))).remove(0)
        };
        let good = || vec![link("/enc/es/a", "/enc2")];
        for (uncovered, expected) in [
            (Uncovered::MoreEntries, Outcome::Pass),
            (Uncovered::OtherMounts, Outcome::Pass),
            (Uncovered::Unreadable, Outcome::Unknown),
            (Uncovered::Time, Outcome::Unknown),
        ] {
            let found = look(uncovered, good());
            assert_eq!(found.outcome, expected, "{uncovered:?}");
            assert!(found.evidence["not_covered"].contains(uncovered.as_str()));
            assert!(found.evidence["not_covered"].contains("deeper"));
            assert_eq!(look(uncovered, vec![link("/enc/es/a", "/x")]).outcome, Outcome::Fail);
        }
    }

    #[test]
    fn only_twenty_links_are_named_the_worst_first() {
        let mut leaving: Vec<Link> = (0..30)
            .map(|number| link(&format!("/enc/es/{number:02}"), &format!("/enc2/{number}")))
            .collect();
        leaving.push(link("/enc/es/zz", "/plain"));
        let found = look("/enc/es", leaving);
        assert_eq!(found.evidence["links"].split("; ").count(), NAMED);
        assert!(found.evidence["links"].starts_with("/enc/es/zz"));
        assert_eq!(found.evidence["places"], "31");
    }

    #[test]
    fn places_of_other_uses_are_not_judged() {
        let mut snapshot = snapshot("/enc/es", Ok(Links::default()));
        snapshot.targets = vec![target("/enc/es", Use::Temp)];
        assert!(findings(&snapshot).is_empty());
    }
}
