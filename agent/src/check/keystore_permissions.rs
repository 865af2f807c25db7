//! `keystore_permissions`: nobody but the service and root can read or replace its keystore.

use atrest_proto::model::{Finding, Outcome, Reason, Severity};

use super::keystore_access::{
    Owner, PASS, Problem, READ, WRITE, clauses, command, severity, shell, shell_word, shut,
};
use super::outcome::{finding, unknown};
use super::{CIS_3_11, Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, SOC2_CC6_1};
use crate::keystore::Observation;
use crate::keystore::access::Access;
use crate::posture::keystore_asset;
use crate::snapshot::Observed;

pub(super) const CHECK: Check = Check {
    id: "keystore_permissions",
    title: "Only the service and root can read or replace its keystore",
    why: "A keystore without a password opens for anyone who can read the file, and whoever can write to a \
          directory above it can put another keystore in its place.",
    decides: "Others must have no right on the file. Its owner must be root or the account that the service runs \
              as, its group that account's own or root's where the group has rights, and access-control entries must \
              name nobody else. Beats and Elastic Agent give the group no rights at all. Who else is in the group is \
              named, with a low severity; where /etc/nsswitch.conf names a directory service that may know more of them, who \
              is in a group with rights is unknown. No directory that \
              leads to it, that of a link as well, may be writable by others, except with the sticky bit, or by \
              another group or account, or belong to another user. No second name may lead to the file. Rights of \
              others matter less where the directory keeps them out.",
    severity: Severity::High,
    remedy: "give the file back to the service with `chown` and `chmod`, as the finding spells it out, and remove what \
             the summary names",
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
    let owner = Owner::of(keystore);
    let mut problems = owner.file(path, file, shut(keystore));
    for parent in &keystore.parents {
        // Whom a directory above keeps out, as the kubelet's keeps out of a pod's volumes, cannot write to this one.
        let is_shut = keystore.parents.iter().any(|above| {
            above.path != parent.path
                && parent.path.is_at_or_below(&above.path)
                && owner.keeps_out(&above.access)
        });
        problems.extend(owner.directory(parent, is_shut));
    }
    problems.extend(vault(keystore));
    let judged = match (problems.as_slice(), keystore.troubles.first()) {
        ([], Some(trouble)) => unknown(&CHECK, &asset, &format!("who can reach {path}"), trouble),
        ([], None) => uncounted(keystore, &owner, file).unwrap_or_else(|| {
            let mut summary = format!("{path} is for {} and the service only", file.owner);
            if keystore.format == "beats" && file.metadata.mode & 0o777 != owner.mode() {
                summary.push_str("; a Beat with strict.perms wants it to be 0600");
            }
            finding(&CHECK, &asset, Outcome::Pass, summary)
        }),
        (problems, _) => {
            let summary = format!("{path}: {}", clauses(problems));
            // Commands follow a link, wherever somebody made it lead.
            let remedy = if keystore.is_symlink {
                format!(
                    "see first where the link leads (`readlink -f {}`): put the keystore itself there in place of the link, \
                     for root and the service only",
                    shell(path)
                )
            } else {
                command(problems, &keystore.namespace)
            };
            let severity = severity(problems);
            Finding { remedy, severity, ..finding(&CHECK, &asset, Outcome::Fail, summary) }
        }
    };
    let entries: Vec<&str> = file.entries.iter().map(|entry| entry.text.as_str()).collect();
    let run_as = keystore.run_as.as_ref();
    let evidence = [
        ("mode", format!("{:04o}", file.metadata.mode)),
        ("owner", file.owner.clone()),
        ("group", file.group.clone()),
        ("group_members", file.members.join(" ")),
        ("acl", entries.join(" ")),
        ("runs_as", run_as.map(|account| account.user.clone()).unwrap_or_default()),
        ("changed_at", changed_at(file)),
    ];
    let evidence = evidence.into_iter().filter(|(_, value)| !value.is_empty());
    Finding { evidence: evidence.map(|(name, value)| (name.to_owned(), value)).collect(), ..judged }
}

/// When the mode, the owner or the bytes of the file changed last, by the file system: also what nobody watched.
fn changed_at(file: &Access) -> String {
    let at = jiff::Timestamp::from_second(file.metadata.changed_at);
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// Who is in the service's group cannot be counted where a directory service has a say.
fn uncounted(keystore: &Observation, owner: &Owner<'_>, file: &Access) -> Option<Finding> {
    let of_file = owner.uncounted(file, READ | WRITE).map(|group| (group, &keystore.path, file));
    let (group, path, access) = of_file.or_else(|| {
        keystore.parents.iter().find_map(|parent| {
            // With the sticky bit only owners of what is in it may replace that.
            if parent.access.metadata.mode & 0o1000 != 0 {
                return None;
            }
            if let Some(group) = owner.uncounted(&parent.access, WRITE) {
                return Some((group, &parent.path, &parent.access));
            }
            // Where everybody may write, who gets through what is above does.
            let is_for_all = parent.access.metadata.mode & WRITE != 0;
            let mut above = keystore.parents.iter().filter(|above| {
                is_for_all
                    && above.path != parent.path
                    && parent.path.is_at_or_below(&above.path)
                    && owner.keeps_out(&above.access)
            });
            above.find_map(|above| {
                let group = owner.uncounted(&above.access, PASS)?;
                Some((group, &above.path, &above.access))
            })
        })
    })?;
    let summary = format!(
        "{}: who is in group {group}, which has rights on {path}, is not known: /etc/nsswitch.conf has members looked up in {} as \
         well",
        keystore.path,
        access.members_elsewhere.join(", ")
    );
    let without = if path == &keystore.path {
        let quoted = shell(path);
        format!("`chown {} {quoted} && chmod 0600 {quoted}`", owner.user())
    } else {
        format!("`chmod g-w {}`", shell(path))
    };
    let remedy = format!(
        "`getent group {}` lists the members, but for those whose primary group it is. The file does without the group after \
         {without}",
        shell_word(group)
    );
    Some(Finding {
        reasons: vec![Reason::Unreadable],
        remedy,
        ..finding(&CHECK, &keystore_asset(keystore), Outcome::Unknown, summary)
    })
}

/// Elastic Agent keeps the directory of its vault to itself and its group.
fn vault(keystore: &Observation) -> Option<Problem> {
    let directory = keystore.parents.first()?;
    let mode = directory.access.metadata.mode;
    if keystore.format != "elastic-agent-vault" || mode & 0o005 == 0 {
        return None;
    }
    let path = &directory.path;
    Some(Problem {
        clause: format!("others may look into {path}, where the product wants 0750"),
        severity: Severity::Low,
        steps: vec![format!("chmod 0750 {}", shell(path))],
    })
}

#[cfg(test)]
mod tests {
    use super::super::keystore_fixture::{directory, entry, keystore};
    use super::*;
    use crate::keystore::access::NamedEntry;
    use crate::keystore::acl::Who;
    use crate::snapshot::Trouble;

    /// `root:elasticsearch` below directories of the package.
    fn with(mode: u32, change: impl FnOnce(&mut Observation, &mut Access)) -> Finding {
        let mut keystore = keystore("elasticsearch", 7, Some(false));
        let mut file = keystore.file.known().unwrap().clone();
        (file.metadata.mode, file.group_rights) = (mode, (mode >> 3) & 7);
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
    fn others_do_not_write_where_a_directory_above_keeps_them_out() {
        let judged = |above: &str, mode| {
            let mut keystore = keystore("elasticsearch", 7, Some(false));
            keystore.parents =
                vec![directory("/pods/a/v", 0o2777, 0, 102), directory(above, mode, 0, 0)];
            judge(&keystore)
        };
        fails(&judged("/pods", 0o755), "others may replace it");
        // Who is in the group gets through, and then is one of those others.
        let of_group = |above| {
            let mut keystore = keystore("elasticsearch", 7, Some(false));
            let parent = directory("/pods/a/v", 0o777, 0, 102);
            keystore.parents = vec![parent, above];
            judge(&keystore)
        };
        fails(&of_group(directory("/pods", 0o750, 0, 1000)), "others may replace it");
        let mut above = directory("/pods", 0o750, 0, 102);
        assert_eq!(of_group(above.clone()).outcome, Outcome::Pass);
        above.access.members = vec!["eve".to_owned()];
        fails(&of_group(above.clone()), "others may replace it");
        above.access.members = Vec::new();
        above.access.members_elsewhere = vec!["sss".to_owned()];
        assert_eq!(of_group(above).outcome, Outcome::Unknown);
        let mut above = directory("/pods", 0o700, 0, 0);
        above.access.entries = vec![entry(Who::User(1000), 1, "user:eve:--x")];
        fails(&of_group(above), "others may replace it");
        // Not on the way: a link may have led there.
        fails(&judged("/root", 0o750), "others may replace it");
        assert_eq!(judged("/pods", 0o750).outcome, Outcome::Pass);
    }

    #[test]
    fn the_time_of_the_change_is_that_of_the_file_and_is_told_whoever_watched() {
        let changed = |mode| {
            let finding = with(mode, |_, file| file.metadata.changed_at = 1_700_000_000);
            finding.evidence.get("changed_at").cloned()
        };
        assert_eq!(changed(0o666).as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(changed(0o660), changed(0o666));
    }

    #[test]
    fn rights_of_others_fail() {
        fails(&with(0o664, |_, _| {}), "others may read it");
        fails(&with(0o644, |_, _| {}), "others may read it");
        fails(&with(0o662, |_, _| {}), "others may write it");
        let path = "/etc/elasticsearch/elasticsearch.keystore";
        assert_eq!(with(0o644, |_, _| {}).remedy, format!("`chmod 0660 {path}`"));
        // Of root and its group, it would be out of the service's reach then.
        let of_root = with(0o644, |_, file| {
            file.metadata.gid = 0;
            file.group = "root".to_owned();
        });
        let both = format!("`chown root:elasticsearch {path} && chmod 0660 {path}`");
        assert_eq!(of_root.remedy, both);
    }

    #[test]
    fn a_wrong_owner_or_group_fails_and_is_named() {
        let wrong = with(0o660, |_, file| {
            file.metadata.gid = 1000;
            file.group = "users".to_owned();
        });
        fails(&wrong, "group users");
        assert!(wrong.remedy.contains("chown root:elasticsearch"));
        // After a re-installation the account may have another number.
        fails(
            &with(0o660, |_, file| {
                file.metadata.uid = 112;
                file.owner = "112".to_owned();
            }),
            "112 (no such account)",
        );
    }

    #[test]
    fn a_wrong_group_without_rights_is_harmless() {
        let finding = with(0o600, |_, file| {
            file.metadata.gid = 1000;
            file.group = "users".to_owned();
        });
        assert_eq!(finding.outcome, Outcome::Pass);
    }

    #[test]
    fn the_official_image_passes() {
        let finding = with(0o660, |keystore, file| {
            (file.metadata.uid, file.metadata.gid) = (101, 0);
            file.owner = "elasticsearch".to_owned();
            file.group = "root".to_owned();
            keystore.parents = vec![directory("/usr/share/elasticsearch/config", 0o775, 101, 0)];
        });
        assert_eq!(finding.outcome, Outcome::Pass, "{finding:?}");
    }

    #[test]
    fn what_a_user_namespace_has_no_id_for_is_unknown_and_never_passes() {
        let unmapped = |mode| {
            with(mode, |keystore, file| {
                (file.metadata.uid, file.metadata.gid) = (65_534, 65_534);
                (file.is_owner_unmapped, file.is_group_unmapped) = (true, true);
                keystore.troubles = vec![Trouble::new(Reason::Unreadable, "user 0 has no id")];
            })
        };
        assert_eq!(unmapped(0o660).outcome, Outcome::Unknown);
        // Others are others in every namespace.
        fails(&unmapped(0o664), "others may read it");
    }

    #[test]
    fn root_of_a_user_namespace_is_root_there() {
        let judged = |root| {
            with(0o660, |keystore, file| {
                keystore.root = root;
                (file.metadata.uid, file.metadata.gid) = (231_072, 231_072);
                (file.owner, file.group) = ("231072".to_owned(), "231072".to_owned());
            })
        };
        let root = crate::keystore::ids::Root { uid: 231_072, gid: 231_072 };
        assert_eq!(judged(Some(root)).outcome, Outcome::Pass);
        fails(&judged(None), "its owner 231072");
    }

    #[test]
    fn an_entry_for_somebody_else_fails() {
        let acl = |who, rights, text: &str| {
            with(0o660, |_, file| file.entries = vec![entry(who, rights, text)])
        };
        fails(&acl(Who::User(1000), 4, "user:eve:r--"), "user:eve:r--");
        fails(&acl(Who::Group(50), 6, "group:users:rw-"), "group:users:rw-");
        assert!(acl(Who::User(1000), 4, "user:eve:r--").remedy.contains("setfacl -b"));
        assert_eq!(acl(Who::User(101), 6, "user:elasticsearch:rw-").outcome, Outcome::Pass);
        assert_eq!(acl(Who::User(1000), 0, "user:eve:---").outcome, Outcome::Pass);
    }

    #[test]
    fn who_is_in_the_group_of_an_entry_is_named() {
        let of = |rights, member: &str| NamedEntry {
            members: vec![member.to_owned()],
            ..entry(Who::Group(102), rights, "group:elasticsearch:rwx")
        };
        let file = |entry| with(0o660, |_, file| file.entries = vec![entry]);
        let finding = file(of(6, "alice"));
        fails(&finding, "an access-control entry for group elasticsearch lets in alice");
        assert_eq!(finding.severity, Severity::Low);
        assert_eq!(finding.remedy, "`gpasswd -d alice elasticsearch`");
        assert_eq!(file(of(6, "elasticsearch")).outcome, Outcome::Pass);
        assert_eq!(file(of(0, "alice")).outcome, Outcome::Pass);
        let above =
            |entry| with(0o660, |keystore, _| keystore.parents[0].access.entries = vec![entry]);
        fails(&above(of(7, "alice")), "alice, in group elasticsearch, may replace it");
        assert_eq!(above(of(5, "alice")).outcome, Outcome::Pass);
        let elsewhere = with(0o660, |keystore, _| {
            let access = &mut keystore.parents[0].access;
            access.entries = vec![of(7, "elasticsearch")];
            access.members_elsewhere = vec!["sss".to_owned()];
        });
        assert_eq!(elsewhere.outcome, Outcome::Unknown);
    }

    #[test]
    fn the_mask_of_a_list_is_not_taken_for_the_groups_rights() {
        let finding = with(0o660, |_, file| {
            file.metadata.gid = 1000;
            file.group_rights = 0;
            file.entries = vec![entry(Who::User(101), 6, "user:elasticsearch:rw-")];
        });
        assert_eq!(finding.outcome, Outcome::Pass, "{finding:?}");
    }

    #[test]
    fn who_else_is_in_the_group_is_named_with_less_weight() {
        let member = |name: &str| {
            with(0o660, |_, file| file.members = vec![name.to_owned(), "elasticsearch".to_owned()])
        };
        let finding = member("alice");
        fails(&finding, "alice, in group elasticsearch, may read and write it as well");
        assert_eq!(finding.severity, Severity::Low);
        assert!(finding.remedy.contains("gpasswd -d alice elasticsearch"));
        assert_eq!(member("elasticsearch").outcome, Outcome::Pass);
        let unread = with(0o600, |_, file| file.members = vec!["alice".to_owned()]);
        assert_eq!(unread.outcome, Outcome::Pass);
    }

    #[test]
    fn members_that_a_directory_service_may_know_leave_it_open() {
        let judged = |mode, change: fn(&mut Observation, &mut Access)| {
            with(mode, |keystore, file| {
                file.members_elsewhere = vec!["ldap".to_owned(), "sss".to_owned()];
                change(keystore, file);
            })
        };
        for mode in [0o660, 0o640, 0o620] {
            let open = judged(mode, |_, _| {});
            assert_eq!(open.outcome, Outcome::Unknown, "{open:?}");
            assert!(open.summary.contains("looked up in ldap, sss as well"), "{open:?}");
            assert!(open.remedy.contains("`getent group elasticsearch`"), "{open:?}");
        }
        assert_eq!(judged(0o600, |_, _| {}).outcome, Outcome::Pass);
        let listed = judged(0o660, |_, file| file.members = vec!["alice".to_owned()]);
        fails(&listed, "alice, in group elasticsearch");
        let directory = |mode| {
            with(0o600, |keystore, _| {
                let mut parent = directory("/srv/e s", mode, 0, 102);
                parent.access.members_elsewhere = vec!["sss".to_owned()];
                keystore.parents.push(parent);
            })
        };
        let open = directory(0o770);
        assert_eq!(open.outcome, Outcome::Unknown, "{open:?}");
        assert!(open.remedy.contains("`chmod g-w '/srv/e s'`"), "{open:?}");
        assert_eq!(directory(0o1770).outcome, Outcome::Pass);
        assert_eq!(directory(0o750).outcome, Outcome::Pass);
    }

    #[test]
    fn rights_of_others_matter_less_behind_a_directory_that_is_shut() {
        let finding = with(0o644, |keystore, _| {
            keystore.parents[0].access.metadata.mode = 0o2750;
        });
        fails(&finding, "only the mode of /etc/elasticsearch keeps them out");
        assert_eq!(finding.severity, Severity::Medium);
        assert_eq!(with(0o644, |_, _| {}).severity, Severity::High);
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
        fails(&with(0o660, |_, file| file.metadata.links = 2), "2 names");
        let listed = with(0o660, |keystore, _| {
            let mut parent = directory("/srv", 0o775, 0, 0);
            parent.access.entries = vec![entry(Who::User(1000), 7, "user:eve:rwx")];
            keystore.parents.push(parent);
        });
        fails(&listed, "an access-control entry of /srv, user:eve:rwx");
        assert!(listed.remedy.contains("setfacl -x user:eve /srv"), "{}", listed.remedy);
        let member = with(0o660, |keystore, _| {
            let mut parent = directory("/etc/es", 0o770, 0, 102);
            parent.access.members = vec!["alice".to_owned()];
            keystore.parents.push(parent);
        });
        fails(&member, "alice, in group elasticsearch, may replace it");
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

    /// What a row of the table does to a file of its product, and what is expected of the finding.
    struct Row {
        format: &'static str,
        path: &'static str,
        mode: u32,
        /// `user:NAME:rights` on the file.
        acl: Option<(Who, u16)>,
        /// Mode and access-control entry of the directory.
        directory: (u32, Option<(Who, u16)>),
        /// A part of the summary of a failure and one of its remedy; `None` for a pass.
        expected: Option<(&'static str, &'static str)>,
    }

    const SHUT: (u32, Option<(Who, u16)>) = (0o750, None);

    /// Rows of real files, with the accounts of a root of their own: whoever runs this is the service.
    fn table() -> Vec<Row> {
        let row = |format, path, mode, expected| Row {
            format,
            path,
            mode,
            acl: None,
            directory: (0o755, None),
            expected,
        };
        let es = "/etc/elasticsearch/elasticsearch.keystore";
        let kibana = "/opt/kibana/config/kibana.keystore";
        let logstash = "/etc/logstash/logstash.keystore";
        let beat = "/var/lib/filebeat/filebeat.keystore";
        let seed = "/etc/elastic-agent/vault/.seed";
        let fleet = "/var/lib/elastic-agent/fleet.enc";
        let others = Some(("others may read it", "chmod 0660"));
        vec![
            row("elasticsearch", es, 0o660, None),
            row("elasticsearch", es, 0o640, None),
            row("elasticsearch", es, 0o600, None),
            row("elasticsearch", es, 0o644, others),
            row("elasticsearch", es, 0o666, Some(("others may read and write it", "chmod 0660"))),
            row("kibana", kibana, 0o600, None),
            row("kibana", kibana, 0o644, others),
            row("logstash", logstash, 0o600, None),
            row("logstash", logstash, 0o644, Some(("others may read it", "chmod 0600"))),
            row("beats", beat, 0o600, None),
            row("beats", beat, 0o400, None),
            row("beats", beat, 0o640, Some(("where the product wants 0600", "chmod 0600"))),
            row("beats", beat, 0o644, Some(("others may read it", "chmod 0600"))),
            row("elastic-agent-store", fleet, 0o600, None),
            row("elastic-agent-store", fleet, 0o660, Some(("wants 0600", "chmod 0600"))),
            Row { directory: SHUT, ..row("elastic-agent-vault", seed, 0o600, None) },
            row(
                "elastic-agent-vault",
                seed,
                0o600,
                Some(("look into /etc/elastic-agent/vault", "chmod 0750 /etc")),
            ),
            Row {
                directory: (0o777, None),
                ..row(
                    "elasticsearch",
                    es,
                    0o660,
                    Some(("write to /etc/elasticsearch", "chmod o-w /etc/elasticsearch")),
                )
            },
            Row { directory: (0o1777, None), ..row("elasticsearch", es, 0o660, None) },
            Row {
                acl: Some((Who::User(4711), 4)),
                ..row(
                    "elasticsearch",
                    es,
                    0o660,
                    Some((
                        "user:eve:r--",
                        "setfacl -b /etc/elasticsearch/elasticsearch.keystore && chmod 0660",
                    )),
                )
            },
            Row { acl: Some((Who::User(4711), 0)), ..row("elasticsearch", es, 0o660, None) },
            Row {
                directory: (0o755, Some((Who::User(4711), 7))),
                ..row(
                    "elasticsearch",
                    es,
                    0o660,
                    Some((
                        "user:eve:rwx, lets that account replace it",
                        "setfacl -x user:eve /etc/elasticsearch",
                    )),
                )
            },
            Row {
                directory: (0o755, Some((Who::User(4711), 5))),
                ..row("elasticsearch", es, 0o660, None)
            },
        ]
    }

    /// The attribute for a mode and one more entry, as `setfacl` writes it.
    fn list(mode: u32, who: Who, rights: u16) -> Vec<u8> {
        let bits = |shift: u32| u16::try_from((mode >> shift) & 7).unwrap();
        let entry = |tag: u16, rights: u16, id: u32| {
            [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let (tag, id) = match who {
            Who::User(id) => (2, id),
            Who::Group(id) => (8, id),
        };
        let none = u32::MAX;
        let mask = bits(3) | rights;
        let mut entries = vec![(1, bits(6), none), (4, bits(3), none), (tag, rights, id)];
        entries.extend([(0x10, mask, none), (0x20, bits(0), none)]);
        entries.sort_unstable();
        let entries = entries.into_iter().flat_map(|(tag, rights, id)| entry(tag, rights, id));
        2_u32.to_le_bytes().into_iter().chain(entries).collect()
    }

    #[test]
    fn real_files_of_every_product_are_judged_by_their_modes_and_lists() {
        use std::fs;
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

        let set = |path: &std::path::Path, mode: u32, entry: Option<(Who, u16)>| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let Some((who, rights)) = entry else { return true };
            let list = list(mode, who, rights);
            let attribute = crate::keystore::acl::ATTRIBUTE;
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(path, attribute, &list, flags).is_ok()
        };
        for row in table() {
            let Row { format, path, mode, acl, directory, expected } = row;
            let root = tempfile::tempdir().unwrap();
            let file = root.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            for above in file.ancestors().skip(1).take_while(|above| *above != root.path()) {
                fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
            }
            fs::write(&file, "x").unwrap();
            let own = fs::metadata(&file).unwrap();
            let (uid, gid) = (own.uid(), own.gid());
            let etc = root.path().join("etc");
            fs::create_dir_all(&etc).unwrap();
            let passwd = format!("svc:x:{uid}:{gid}::/:/bin/sh\neve:x:4711:4711::/:/bin/sh\n");
            fs::write(etc.join("passwd"), passwd).unwrap();
            fs::write(etc.join("group"), format!("svc:x:{gid}:svc\n")).unwrap();
            let has_lists =
                set(&file, mode, acl) && set(file.parent().unwrap(), directory.0, directory.1);
            if !has_lists {
                println!("skipped: this file system has no access-control lists");
                continue;
            }
            let seen = crate::keystore::observe::observe(
                &crate::host::recorded::RecordedHost::new(root.path()),
                &crate::keystore::observe::Place {
                    path: crate::path::HostPath::from(path),
                    namespace: crate::snapshot::Namespace::Host,
                    product: "svc".to_owned(),
                    format,
                    service: None,
                    run_as: Some(crate::keystore::Account {
                        uid,
                        gid,
                        user: "svc".to_owned(),
                        group: "svc".to_owned(),
                    }),
                    root: Observed::Absent,
                    password_sources: Vec::new(),
                },
                &mut crate::keystore::trials::Trials::new(
                    &mut crate::keystore::trials::Memory::default(),
                ),
            );
            let finding = judge(&seen);
            let row = format!("{format} {path} {mode:o} {acl:?} {directory:?}: {finding:?}");
            match expected {
                None => assert_eq!(finding.outcome, Outcome::Pass, "{row}"),
                Some((summary, remedy)) => {
                    assert_eq!(finding.outcome, Outcome::Fail, "{row}");
                    assert!(finding.summary.contains(summary), "{row}");
                    assert!(finding.remedy.contains(remedy), "{row}");
                }
            }
        }
    }
}
