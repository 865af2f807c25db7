//! What failed and is seen to be gone: its check says nothing of it any more, and the server waits for a pass. Pure.
//!
//! Only what a complete look shows is said: a table that was read and does not have it, a file that was read and holds
//! nothing of the kind, a directory that was looked through and does not have the file.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{Finding, Outcome, Posture, Severity};

use crate::path::HostPath;
use crate::posture::secret_asset;
use crate::secrets::{Form, Sighting};
use crate::snapshot::{Observed, Snapshot};

/// Checks whose remedy may make what they speak of vanish.
const CHECKS: [&str; 3] = ["boot_intent", "plaintext_secret", "swap_encrypted"];
/// Between a check and an asset, in a name.
const BETWEEN: char = ' ';

/// What a posture says does not pass, by check and asset, of what is followed here.
pub(crate) fn failed(posture: &Posture) -> BTreeSet<String> {
    let open = posture.findings.iter().filter(|finding| {
        matches!(finding.outcome, Outcome::Fail | Outcome::Unknown)
            && CHECKS.contains(&finding.check.as_str())
    });
    open.map(|finding| format!("{}{BETWEEN}{}", finding.check, finding.asset)).collect()
}

/// Adds a pass for each of those that the posture does not speak of, and the snapshot shows to be gone.
pub(crate) fn add(failed: &BTreeSet<String>, snapshot: &Snapshot, posture: &mut Posture) {
    let spoken: BTreeSet<(&str, &str)> =
        posture.findings.iter().map(|finding| (&*finding.check, &*finding.asset)).collect();
    let passes: Vec<Finding> = failed
        .iter()
        .filter_map(|name| name.split_once(BETWEEN))
        .filter(|key| !spoken.contains(key))
        .filter_map(|(check, asset)| Some(pass(check, asset, why(check, asset, snapshot)?)))
        .collect();
    posture.findings.extend(passes);
    posture.findings.sort_by(|a, b| (&a.check, &a.asset).cmp(&(&b.check, &b.asset)));
}

fn pass(check: &str, asset: &str, summary: String) -> Finding {
    Finding {
        check: check.to_owned(),
        asset: asset.to_owned(),
        outcome: Outcome::Pass,
        severity: Severity::Info,
        summary,
        remedy: String::new(),
        reasons: Vec::new(),
        evidence: BTreeMap::new(),
        affects: Vec::new(),
    }
}

/// What shows that it is gone.
fn why(check: &str, asset: &str, snapshot: &Snapshot) -> Option<String> {
    match check {
        "swap_encrypted" => {
            let path = asset.strip_prefix("swap:").filter(|path| !path.is_empty())?;
            let is_there = match &snapshot.swaps {
                Observed::Known(areas) => areas.iter().any(|area| area.path.to_string() == path),
                Observed::Absent => false,
                Observed::Unreadable(_) => return None,
            };
            (!is_there).then(|| format!("{path} is no swap area any more"))
        }
        "boot_intent" => {
            let boot = &snapshot.boot;
            let hidden = [boot.crypttab.trouble(), boot.fstab.trouble(), boot.cmdline.trouble()];
            let is_known = hidden.iter().all(Option::is_none);
            // A volume may only not be seen to be in use this time: that crypttab names it now is what shows it.
            let is_named = |name: &str| {
                let table = boot.crypttab.known();
                table.is_some_and(|table| {
                    table.entries.iter().any(|entry| entry.name.as_bytes() == name.as_bytes())
                })
            };
            let is_gone = match asset.strip_prefix("volume:/dev/mapper/") {
                Some(name) => is_named(name),
                None => asset.starts_with("crypttab:") || asset.starts_with("fstab:"),
            };
            (is_known && is_gone)
                .then(|| "what is set up for the next boot does not have this any more".to_owned())
        }
        "plaintext_secret" => no_secret(asset, snapshot),
        _ => None,
    }
}

fn no_secret(asset: &str, snapshot: &Snapshot) -> Option<String> {
    let mut of_it = snapshot.secrets.iter().filter(|seen| secret_asset(seen) == asset).peekable();
    if of_it.peek().is_some() {
        // Of one asset there may be several: processes of one service.
        let is_clean = of_it.all(|seen| match &seen.contents {
            Observed::Known(contents) => {
                contents.broken_at.is_none()
                    && contents.swept.is_none()
                    && !contents.sightings.iter().any(Sighting::is_plain)
            }
            Observed::Absent => true,
            Observed::Unreadable(_) => false,
        });
        return is_clean.then(|| "nothing secret stands there in plain text any more".to_owned());
    }
    // Below another root there may be a directory of the same name.
    let path = asset.strip_prefix("secrets:").filter(|path| !path.contains('@'))?;
    let path = HostPath::from_shown(path)?;
    let directory = path.parent()?;
    let looked_through = snapshot.secrets.iter().any(|seen| {
        let swept = seen.contents.known().and_then(|contents| contents.swept.as_ref());
        seen.place.form == Form::Directory
            && seen.place.path == directory
            && swept.is_some_and(|swept| swept.left_out.is_empty())
    });
    looked_through.then(|| format!("{path} is not there any more, or holds no secret"))
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Host;

    use super::*;
    use crate::boot::Boot;
    use crate::snapshot::{Swap, Trouble};

    fn posture(findings: Vec<Finding>) -> Posture {
        Posture {
            host: Host::default(),
            observed_at: jiff::Timestamp::UNIX_EPOCH,
            services: Vec::new(),
            paths: Vec::new(),
            keystores: Vec::new(),
            repositories: Vec::new(),
            findings,
            gaps: Vec::new(),
            catalogue_version: 1,
        }
    }

    fn failing(check: &str, asset: &str) -> Finding {
        Finding { outcome: Outcome::Fail, ..pass(check, asset, String::new()) }
    }

    fn after(check: &str, asset: &str, snapshot: &Snapshot) -> Vec<(String, Outcome)> {
        let before = failed(&posture(vec![failing(check, asset)]));
        let mut now = posture(Vec::new());
        add(&before, snapshot, &mut now);
        now.findings.into_iter().map(|finding| (finding.asset, finding.outcome)).collect()
    }

    fn trouble() -> Trouble {
        Trouble::new(atrest_proto::model::Reason::NoPermission, "no")
    }

    #[test]
    fn a_swap_area_that_is_switched_off_passes_once() {
        let area = |path: &str| Swap {
            path: path.into(),
            kind: "partition".to_owned(),
            resolution: Observed::Absent,
        };
        let with = |swaps| Snapshot { swaps, ..Snapshot::empty() };
        let gone = [("swap:/dev/sdb2".to_owned(), Outcome::Pass)];
        let of = |swaps| after("swap_encrypted", "swap:/dev/sdb2", &with(swaps));
        assert_eq!(of(Observed::Known(Vec::new())), gone);
        assert_eq!(of(Observed::Known(vec![area("/dev/sdc2")])), gone);
        assert_eq!(of(Observed::Absent), gone);
        assert!(of(Observed::Known(vec![area("/dev/sdb2")])).is_empty(), "it is there");
        assert!(of(Observed::Unreadable(trouble())).is_empty(), "nobody looked");
        // Said once: it is not failing then.
        let said = posture(vec![pass("swap_encrypted", "swap:/dev/sdb2", String::new())]);
        assert!(failed(&said).is_empty());
    }

    #[test]
    fn what_is_still_spoken_of_is_left_alone() {
        let finding = failing("swap_encrypted", "swap:/dev/sdb2");
        let before = failed(&posture(vec![finding.clone()]));
        let mut now = posture(vec![finding.clone()]);
        add(&before, &Snapshot::empty(), &mut now);
        assert_eq!(now.findings, [finding]);
    }

    #[test]
    fn what_is_set_up_is_gone_only_when_all_of_it_could_be_read() {
        let with = |boot| Snapshot { boot, ..Snapshot::empty() };
        for asset in ["crypttab:c0", "fstab:/srv"] {
            assert_eq!(after("boot_intent", asset, &with(Boot::default())).len(), 1, "{asset}");
        }
        let hidden = Boot { crypttab: Observed::Unreadable(trouble()), ..Boot::default() };
        assert!(after("boot_intent", "crypttab:c0", &with(hidden)).is_empty());
        let table = crate::crypttab::parse(b"c0 UUID=1 none luks\n");
        let named = Boot { crypttab: Observed::Known(table), ..Boot::default() };
        for (name, passes) in [("c0", 1), ("c1", 0)] {
            let asset = format!("volume:/dev/mapper/{name}");
            assert_eq!(after("boot_intent", &asset, &with(named.clone())).len(), passes, "{name}");
        }
        assert!(after("boot_intent", "boot:", &with(Boot::default())).is_empty());
    }

    #[test]
    fn other_checks_and_odd_names_are_nobodys() {
        for (check, asset) in
            [("volume_encrypted", "data:/srv"), ("plaintext_secret", "secrets:/etc/x")]
        {
            assert!(after(check, asset, &Snapshot::empty()).is_empty(), "{check}");
        }
        let mut now = posture(Vec::new());
        add(&BTreeSet::from(["x".to_owned(), String::new()]), &Snapshot::empty(), &mut now);
        assert!(now.findings.is_empty());
    }
}
