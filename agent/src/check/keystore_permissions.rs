//! `keystore_permissions`: nobody but the service and root can read or replace its keystore.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::outcome::{finding, unknown};
use super::{CIS_3_11, Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, SOC2_CC6_1};
use crate::host::Metadata;
use crate::keystore::Observation;
use crate::posture::keystore_asset;
use crate::snapshot::Observed;

pub(super) const CHECK: Check = Check {
    id: "keystore_permissions",
    title: "Only the service and root can read or replace its keystore",
    why: "A keystore without a password opens for anyone who can read the file, and whoever can write to a \
          directory above it can put another keystore in its place.",
    decides: "Others must have no right on the file. Its owner must be root or the account that the service runs \
              as, its group that account's own or root's where the group has rights, and access-control entries must \
              name nobody else. No directory above it may be writable by others, except with the sticky bit, or by \
              another group, or belong to another user. No second name may lead to the file.",
    severity: Severity::High,
    remedy: "give the file back to the service: `chown root:GROUP FILE && chmod 0660 FILE`, with the group that the \
             service runs as, and remove what the summary names",
    controls: &[NIST_SC_28_1, NIST_SC_12, ISO_8_24, SOC2_CC6_1, CIS_3_11],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    context.snapshot.keystores.iter().map(judge).collect()
}

fn judge(keystore: &Observation) -> Finding {
    let asset = keystore_asset(keystore);
    let path = &keystore.path;
    let file = match &keystore.file {
        Observed::Known(file) => file,
        Observed::Absent => {
            let summary = format!("there is no keystore at {path}");
            return finding(&CHECK, &asset, Outcome::NotApplicable, summary);
        }
        Observed::Unreadable(trouble) => {
            return unknown(&CHECK, &asset, &path.to_string(), trouble);
        }
    };
    let problems = problems(keystore, file);
    let evidence = [
        ("mode", format!("{:04o}", file.mode)),
        ("owner", keystore.owner.clone()),
        ("group", keystore.group.clone()),
        ("acl", keystore.acl.join(" ")),
        (
            "runs_as",
            keystore.run_as.as_ref().map(|account| account.user.clone()).unwrap_or_default(),
        ),
    ];
    let judged = match (problems.as_slice(), keystore.troubles.first()) {
        ([], Some(trouble)) => unknown(&CHECK, &asset, &format!("who can reach {path}"), trouble),
        ([], None) => {
            let summary = format!("{path} is for {} and the service only", keystore.owner);
            finding(&CHECK, &asset, Outcome::Pass, summary)
        }
        (problems, _) => {
            let summary = format!("{path}: {}", problems.join("; "));
            let remedy = remedy(keystore, file);
            Finding { remedy, ..finding(&CHECK, &asset, Outcome::Fail, summary) }
        }
    };
    let evidence = evidence.into_iter().filter(|(_, value)| !value.is_empty());
    Finding { evidence: evidence.map(|(name, value)| (name.to_owned(), value)).collect(), ..judged }
}

/// Everything that lets somebody else in, one clause each.
fn problems(keystore: &Observation, file: &Metadata) -> Vec<String> {
    let mut problems = Vec::new();
    let may = |bits: u32| match (bits & 4 != 0, bits & 2 != 0) {
        (true, true) => "read and write",
        (true, false) => "read",
        (false, true) => "write",
        (false, false) => "execute",
    };
    if file.mode & 0o007 != 0 {
        problems.push(format!("others may {} it", may(file.mode)));
    }
    if !is_own_user(keystore, file.uid, &keystore.owner) {
        problems
            .push(format!("its owner {} is neither root nor the service", named(&keystore.owner)));
    }
    if file.mode & 0o070 != 0 && !is_own_group(keystore, file.gid, &keystore.group) {
        let group = named(&keystore.group);
        problems.push(format!(
            "its group {group} is not the service's and may {} it",
            may(file.mode >> 3)
        ));
    }
    if file.links > 1 {
        problems.push(format!("{} names lead to the file", file.links));
    }
    for entry in keystore.acl.iter().filter(|entry| !is_own_entry(keystore, entry)) {
        problems.push(format!("an access-control entry lets in {entry}"));
    }
    for parent in &keystore.parents {
        let (path, metadata) = (&parent.path, &parent.metadata);
        let is_sticky = metadata.mode & 0o1000 != 0;
        if metadata.mode & 0o002 != 0 && !is_sticky {
            problems.push(format!("others may replace it, since they may write to {path}"));
        }
        if metadata.mode & 0o020 != 0 && !is_sticky && !is_own_group(keystore, metadata.gid, "") {
            let group = metadata.gid;
            problems.push(format!("group {group} may replace it, since it may write to {path}"));
        }
        if !is_own_user(keystore, metadata.uid, "") {
            problems
                .push(format!("user {} may replace it, being the owner of {path}", metadata.uid));
        }
    }
    problems
}

fn remedy(keystore: &Observation, file: &Metadata) -> String {
    let path = &keystore.path;
    let group =
        keystore.run_as.as_ref().map_or(keystore.product.as_str(), |account| &account.group);
    let mut steps = Vec::new();
    let is_foreign = !is_own_user(keystore, file.uid, &keystore.owner)
        || !is_own_group(keystore, file.gid, &keystore.group);
    if is_foreign {
        steps.push(format!("`chown root:{group} {path}`"));
    }
    if file.mode & 0o007 != 0 {
        steps.push(format!("`chmod 0660 {path}`"));
    }
    if keystore.acl.iter().any(|entry| !is_own_entry(keystore, entry)) {
        steps.push(format!("`setfacl -b {path}`"));
    }
    if steps.is_empty() {
        steps.push("take the rights or names away that the summary lists".to_owned());
    }
    steps.join(", then ")
}

/// Root's, or the account's that the service runs as. Of an account that is not known, the packages' name counts.
fn is_own_user(keystore: &Observation, uid: u32, name: &str) -> bool {
    uid == 0
        || match &keystore.run_as {
            Some(account) => account.uid == uid,
            None => name == keystore.product,
        }
}

fn is_own_group(keystore: &Observation, gid: u32, name: &str) -> bool {
    // The official images run with group 0.
    gid == 0
        || match &keystore.run_as {
            Some(account) => account.gid == gid,
            None => name == keystore.product,
        }
}

/// `user:NAME:rw-`, as observed. An entry without rights lets nobody in.
fn is_own_entry(keystore: &Observation, entry: &str) -> bool {
    let mut fields = entry.split(':');
    let (Some(kind), Some(name), Some(rights)) = (fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    let own = match (&keystore.run_as, kind) {
        (Some(account), "user") => &account.user,
        (Some(account), _) => &account.group,
        (None, _) => &keystore.product,
    };
    rights == "---" || name == "root" || name == own
}

/// A number that no account has says more when it says so.
fn named(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{name} (no such account)")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::keystore_fixture::{directory, keystore};
    use super::*;
    use crate::snapshot::Trouble;

    /// `root:elasticsearch` below directories of the package.
    fn with(mode: u32, change: impl FnOnce(&mut Observation, &mut Metadata)) -> Finding {
        let mut keystore = keystore("elasticsearch", 7, Some(false));
        let mut file = keystore.file.known().unwrap().clone();
        file.mode = mode;
        change(&mut keystore, &mut file);
        keystore.file = Observed::Known(file);
        judge(&keystore)
    }

    fn fails(finding: &Finding, part: &str) {
        assert_eq!(finding.outcome, Outcome::Fail, "{finding:?}");
        assert!(finding.summary.contains(part), "{}", finding.summary);
        assert!(!finding.remedy.is_empty());
    }

    #[test]
    fn the_package_default_passes_and_so_do_stricter_modes() {
        for mode in [0o660, 0o640, 0o600, 0o440] {
            assert_eq!(with(mode, |_, _| {}).outcome, Outcome::Pass, "{mode:o}");
        }
    }

    #[test]
    fn rights_of_others_fail() {
        fails(&with(0o664, |_, _| {}), "others may read it");
        fails(&with(0o644, |_, _| {}), "others may read it");
        fails(&with(0o662, |_, _| {}), "others may write it");
        assert!(with(0o644, |_, _| {}).remedy.contains("chmod 0660"));
    }

    #[test]
    fn a_wrong_owner_or_group_fails_and_is_named() {
        let wrong = with(0o660, |keystore, file| {
            file.gid = 1000;
            keystore.group = "users".to_owned();
        });
        fails(&wrong, "group users");
        assert!(wrong.remedy.contains("chown root:elasticsearch"));
        // After a re-installation the account may have another number.
        fails(
            &with(0o660, |keystore, file| {
                file.uid = 112;
                keystore.owner = "112".to_owned();
            }),
            "112 (no such account)",
        );
    }

    #[test]
    fn a_wrong_group_without_rights_is_harmless() {
        let finding = with(0o600, |keystore, file| {
            file.gid = 1000;
            keystore.group = "users".to_owned();
        });
        assert_eq!(finding.outcome, Outcome::Pass);
    }

    #[test]
    fn the_official_image_passes() {
        let finding = with(0o660, |keystore, file| {
            (file.uid, file.gid) = (101, 0);
            keystore.owner = "elasticsearch".to_owned();
            keystore.group = "root".to_owned();
            keystore.parents = vec![directory("/usr/share/elasticsearch/config", 0o775, 101, 0)];
        });
        assert_eq!(finding.outcome, Outcome::Pass, "{finding:?}");
    }

    #[test]
    fn an_entry_for_somebody_else_fails() {
        let acl = |entry: &str| with(0o660, |keystore, _| keystore.acl = vec![entry.to_owned()]);
        fails(&acl("user:eve:r--"), "user:eve:r--");
        fails(&acl("group:users:rw-"), "group:users:rw-");
        assert_eq!(acl("user:elasticsearch:rw-").outcome, Outcome::Pass);
        assert_eq!(acl("user:eve:---").outcome, Outcome::Pass);
    }

    #[test]
    fn who_can_replace_it_is_named() {
        let parent = |mode, uid, gid| {
            with(0o660, |keystore, _| keystore.parents.push(directory("/srv", mode, uid, gid)))
        };
        fails(&parent(0o777, 0, 0), "write to /srv");
        fails(&parent(0o775, 0, 50), "group 50");
        fails(&parent(0o755, 1000, 0), "user 1000");
        assert_eq!(parent(0o1777, 0, 0).outcome, Outcome::Pass);
        fails(&with(0o660, |_, file| file.links = 2), "2 names");
    }

    #[test]
    fn what_could_not_be_seen_never_passes() {
        let refused = || Trouble::new(Reason::NoPermission, "Permission denied");
        let mut hidden = keystore("elasticsearch", 7, None);
        hidden.file = Observed::Unreadable(refused());
        assert_eq!(judge(&hidden).outcome, Outcome::Unknown);
        assert_eq!(judge(&hidden).reasons, [Reason::NoPermission]);
        let finding = with(0o660, |keystore, _| keystore.troubles = vec![refused()]);
        assert_eq!(finding.outcome, Outcome::Unknown);
        // What was seen to be wrong stays wrong.
        fails(&with(0o664, |keystore, _| keystore.troubles = vec![refused()]), "others");
    }

    #[test]
    fn without_a_keystore_there_is_nothing_to_judge() {
        let mut absent = keystore("elasticsearch", 7, None);
        absent.file = Observed::Absent;
        assert_eq!(judge(&absent).outcome, Outcome::NotApplicable);
    }
}
