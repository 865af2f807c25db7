//! Who gets at a keystore, or at what lies beside it, that should not; and how an operator takes it away.

use atrest_proto::model::Severity;

use crate::keystore::access::{Access, Directory, NamedEntry};
use crate::keystore::acl::Who;
use crate::keystore::ids::Root;
use crate::keystore::{Account, Observation};
use crate::path::HostPath;
use crate::snapshot::Namespace;

/// One way in for somebody else, and the commands that close it.
pub(super) struct Problem {
    /// Continues `PATH: …`.
    pub(super) clause: String,
    pub(super) severity: Severity,
    pub(super) steps: Vec<String>,
}

/// Whose a keystore is, and how its product wants it.
pub(super) struct Owner<'a> {
    run_as: Option<&'a Account>,
    /// Of the service's user namespace, as seen from outside.
    root: Option<Root>,
    /// Of an account that is not known, the packages' name counts.
    product: &'a str,
    rule: Rule,
}

/// What a product asks for.
struct Rule {
    /// What the product's own tool or documentation gives the file.
    mode: u32,
    /// The service's group may have rights on it.
    group_may: bool,
    /// `USER:GROUP`, for `chown`.
    owner: String,
}

pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
/// Of a directory: to go through it.
pub(super) const PASS: u32 = 1;

impl<'a> Owner<'a> {
    pub(super) fn of(keystore: &'a Observation) -> Self {
        let run_as = keystore.run_as.as_ref();
        let product = keystore.product.as_str();
        let (user, group) = match run_as {
            Some(account) => (account.user.as_str(), account.group.as_str()),
            None => (product, product),
        };
        let is_packaged = keystore.path.is_at_or_below(&HostPath::from("/etc"));
        let own = format!("{user}:{group}");
        let rule = |mode, group_may, owner| Rule { mode, group_may, owner };
        let rule = match keystore.format.as_str() {
            // `KeyStoreWrapper.save` sets rw-rw----, and the packages' scripts give them to root, those of Elasticsearch and
            // Kibana. Elsewhere the tool of Kibana leaves what the umask gives.
            "elasticsearch" | "kibana" => {
                let of_root = is_packaged && matches!(product, "elasticsearch" | "kibana");
                rule(0o660, true, if of_root { format!("root:{group}") } else { own })
            }
            // The tool sets rw-r--r--; the documentation asks for this.
            "logstash" => rule(0o600, true, format!("{user}:root")),
            // `strict.perms` of Beats takes nothing else; Elastic Agent writes nothing else.
            _ if run_as.is_none() => rule(0o600, false, "root:root".to_owned()),
            _ => rule(0o600, false, own),
        };
        Self { run_as, root: keystore.root, product, rule }
    }

    pub(super) const fn mode(&self) -> u32 {
        self.rule.mode
    }

    /// Root's, or the account's that the service runs as.
    fn is_user(&self, uid: u32, name: &str) -> bool {
        uid == 0
            || self.root.is_some_and(|root| root.uid == uid)
            || match self.run_as {
                Some(account) => account.uid == uid,
                None => name == self.product,
            }
    }

    /// The official images run with group 0.
    fn is_group(&self, gid: u32, name: &str) -> bool {
        gid == 0
            || self.root.is_some_and(|root| root.gid == gid)
            || match self.run_as {
                Some(account) => account.gid == gid,
                None => name == self.product,
            }
    }

    /// Neither root's nor the service's; of an owner that is not known it is not said.
    fn is_foreign_owner(&self, access: &Access) -> bool {
        !access.is_owner_unmapped && !self.is_user(access.metadata.uid, &access.owner)
    }

    fn is_foreign_group(&self, access: &Access) -> bool {
        !access.is_group_unmapped && !self.is_group(access.metadata.gid, &access.group)
    }

    fn is_own_group(&self, access: &Access) -> bool {
        !access.is_group_unmapped && self.is_group(access.metadata.gid, &access.group)
    }

    fn is_entry(&self, entry: &NamedEntry) -> bool {
        let name = name_of(entry);
        match entry.entry.who {
            Who::User(uid) => self.is_user(uid, name),
            Who::Group(gid) => self.is_group(gid, name),
        }
    }

    /// Of the members of a group those beside the service.
    fn others_of(&self, members: &[String]) -> Vec<String> {
        let own = self.run_as.map_or(self.product, |account| &account.user);
        members.iter().filter(|member| *member != own).cloned().collect()
    }

    /// The service's own groups that an access-control entry gives one of these rights, with who else is in them.
    fn own_group_entries<'b>(
        &self,
        access: &'b Access,
        rights: u32,
    ) -> impl Iterator<Item = (&'b str, Vec<String>)> {
        let entries = access.entries.iter().filter(move |entry| {
            matches!(entry.entry.who, Who::Group(_))
                && u32::from(entry.entry.rights) & rights != 0
                && self.is_entry(entry)
        });
        entries.map(|entry| (name_of(entry), self.others_of(&entry.members)))
    }

    /// The service's own group, where it has one of these rights and a directory service may know who else is in it.
    pub(super) fn uncounted<'b>(&self, access: &'b Access, rights: u32) -> Option<&'b str> {
        if access.members_elsewhere.is_empty() {
            return None;
        }
        let may = access.group_rights & rights != 0 && self.is_own_group(access);
        let of_entry = || self.own_group_entries(access, rights).next().map(|(group, _)| group);
        may.then_some(access.group.as_str()).or_else(of_entry)
    }

    /// Whether nobody but the service and root gets through a directory, as far as the members of groups are known.
    pub(super) fn keeps_out(&self, access: &Access) -> bool {
        let lets_group = access.group_rights & PASS != 0
            && (self.is_foreign_group(access)
                || self.is_own_group(access) && !self.others_of(&access.members).is_empty());
        let lets_entry = |entry: &NamedEntry| {
            u32::from(entry.entry.rights) & PASS != 0
                && (!self.is_entry(entry) || !self.others_of(&entry.members).is_empty())
        };
        access.metadata.mode & PASS == 0 && !lets_group && !access.entries.iter().any(lets_entry)
    }

    /// Whom the file is for, in a command.
    pub(super) fn user(&self) -> String {
        shell_word(self.run_as.map_or(self.product, |account| &account.user))
    }

    /// Who else may read a file of the service, one word for each.
    pub(super) fn readers(&self, access: &Access) -> Vec<String> {
        let mut readers = Vec::new();
        let metadata = &access.metadata;
        if self.is_foreign_owner(access) {
            readers.push(format!("user {}", named(&access.owner)));
        }
        if access.group_rights & READ != 0 && self.is_foreign_group(access) {
            readers.push(format!("group {}", named(&access.group)));
        }
        if access.group_rights & READ != 0 && self.is_own_group(access) {
            readers.extend(self.others_of(&access.members));
        }
        for (_, members) in self.own_group_entries(access, READ) {
            readers.extend(members);
        }
        for entry in &access.entries {
            if u32::from(entry.entry.rights) & READ != 0 && !self.is_entry(entry) {
                readers.push(entry.text.clone());
            }
        }
        if metadata.mode & READ != 0 {
            readers.push("others".to_owned());
        }
        readers
    }

    /// Who gets at the file itself. `shut` is a directory above it that keeps others out.
    pub(super) fn file(
        &self,
        path: &HostPath,
        access: &Access,
        shut: Option<&HostPath>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let quoted = shell(path);
        let Rule { mode: wanted, group_may, owner } = &self.rule;
        let (metadata, rights) = (&access.metadata, access.group_rights);
        let chown = || vec![format!("chown {} {quoted}", shell_word(owner))];
        // Rights that are taken away must leave those of the service.
        let serves = match self.run_as {
            Some(account) => {
                account.uid == 0
                    || account.uid == metadata.uid
                    || (account.gid == metadata.gid && wanted & 0o040 != 0)
            }
            None => true,
        };
        let chmod = || {
            let first = if serves { Vec::new() } else { chown() };
            first.into_iter().chain([format!("chmod {wanted:04o} {quoted}")]).collect::<Vec<_>>()
        };
        let mut add = |clause: String, severity, steps| {
            problems.push(Problem { clause, severity, steps });
        };
        if self.is_foreign_owner(access) {
            let owner = named(&access.owner);
            let clause = format!("its owner {owner} is neither root nor the service");
            add(clause, Severity::High, chown());
        }
        if rights != 0 && self.is_foreign_group(access) {
            let group = named(&access.group);
            let clause =
                format!("its group {group} is not the service's and may {} it", may(rights));
            add(clause, Severity::High, chown());
        }
        let foreign: Vec<&NamedEntry> = access
            .entries
            .iter()
            .filter(|entry| entry.entry.rights & 6 != 0 && !self.is_entry(entry))
            .collect();
        for entry in &foreign {
            let clause = format!("an access-control entry lets in {}", entry.text);
            let steps = [format!("setfacl -b {quoted}")].into_iter().chain(chmod()).collect();
            add(clause, Severity::High, steps);
        }
        if metadata.mode & 0o007 != 0 {
            let what = may(metadata.mode);
            let (clause, severity) = match shut {
                _ if metadata.mode & 0o006 == 0 => (String::new(), Severity::Low),
                Some(directory) => {
                    (format!("; only the mode of {directory} keeps them out"), Severity::Medium)
                }
                None => (String::new(), Severity::High),
            };
            add(format!("others may {what} it{clause}"), severity, chmod());
        }
        if self.is_own_group(access) && rights & (READ | WRITE) != 0 {
            if *group_may {
                let members = self.others_of(&access.members);
                if !members.is_empty() {
                    let (group, may) = (&access.group, may(rights));
                    let clause =
                        format!("{}, in group {group}, may {may} it as well", list(&members));
                    add(clause, Severity::Low, out_of_group(&members, group));
                }
            } else {
                let (group, may) = (named(&access.group), may(rights));
                let clause =
                    format!("its group {group} may {may} it, where the product wants {wanted:04o}");
                add(clause, Severity::Medium, chmod());
            }
        }
        for (group, members) in self.own_group_entries(access, READ | WRITE) {
            if !members.is_empty() {
                let clause = format!(
                    "an access-control entry for group {group} lets in {}, in that group",
                    list(&members)
                );
                add(clause, Severity::Low, out_of_group(&members, group));
            }
        }
        if metadata.links > 1 {
            let clause = format!("{} names lead to the file", metadata.links);
            // It only lists them: which one is wanted, a person knows.
            add(clause, Severity::Medium, vec![format!("find / -xdev -samefile {quoted}")]);
        }
        problems
    }

    /// Who can put another file into the place of one that this directory leads to.
    /// `is_shut`: one above it lets nobody else through.
    pub(super) fn directory(&self, directory: &Directory, is_shut: bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        let (path, access) = (&directory.path, &directory.access);
        let (metadata, quoted) = (&access.metadata, shell(path));
        let mut add = |clause: String, severity, step: String| {
            problems.push(Problem { clause, severity, steps: vec![step] });
        };
        if self.is_foreign_owner(access) {
            let owner = named(&access.owner);
            let clause = format!("user {owner} may replace it, being the owner of {path}");
            add(clause, Severity::High, format!("chown root {quoted}"));
        }
        // With the sticky bit only owners of what is in it may replace that.
        if metadata.mode & 0o1000 != 0 {
            return problems;
        }
        if metadata.mode & 0o002 != 0 && !is_shut {
            let clause = format!("others may replace it, since they may write to {path}");
            add(clause, Severity::High, format!("chmod o-w {quoted}"));
        }
        if access.group_rights & WRITE != 0 {
            let group = named(&access.group);
            if self.is_own_group(access) {
                let members = self.others_of(&access.members);
                if !members.is_empty() {
                    let members = list(&members);
                    let clause = format!(
                        "{members}, in group {group}, may replace it, since the group may write to {path}"
                    );
                    add(clause, Severity::Medium, format!("chmod g-w {quoted}"));
                }
            } else if self.is_foreign_group(access) {
                let clause = format!("group {group} may replace it, since it may write to {path}");
                add(clause, Severity::High, format!("chmod g-w {quoted}"));
            }
        }
        for (group, members) in self.own_group_entries(access, WRITE) {
            if !members.is_empty() {
                let clause = format!(
                    "{}, in group {group}, may replace it, since an access-control entry lets the group write to {path}",
                    list(&members)
                );
                let step = format!("setfacl -m g:{}:r-x {quoted}", shell_word(group));
                add(clause, Severity::Medium, step);
            }
        }
        for entry in &access.entries {
            if u32::from(entry.entry.rights) & WRITE != 0 && !self.is_entry(entry) {
                let clause = format!(
                    "an access-control entry of {path}, {}, lets that account replace it",
                    entry.text
                );
                let who = entry.text.rsplit_once(':').map_or("", |(who, _)| who);
                add(clause, Severity::High, format!("setfacl -x {} {quoted}", shell_word(who)));
            }
        }
        problems
    }
}

/// The commands that take these members out of a group.
fn out_of_group(members: &[String], group: &str) -> Vec<String> {
    let step = |name: &String| format!("gpasswd -d {} {}", shell_word(name), shell_word(group));
    members.iter().map(step).collect()
}

/// Whom an entry is for, by name.
fn name_of(entry: &NamedEntry) -> &str {
    entry.text.split(':').nth(1).unwrap_or_default()
}

/// A directory right above the file that others cannot look into; `None` where one may not count on it.
pub(super) fn shut(keystore: &Observation) -> Option<&HostPath> {
    let nearest = keystore.parents.first()?;
    let is_shut = nearest.access.metadata.mode & 0o001 == 0;
    (is_shut && !keystore.is_symlink).then_some(&nearest.path)
}

/// The commands of all problems as one line to be pasted, each once, in the order in which they work.
pub(super) fn command(problems: &[Problem], namespace: &Namespace) -> String {
    let mut steps: Vec<&str> = Vec::new();
    // `chown` may take rights away that `chmod` gives, and `setfacl` sets the mode anew.
    for first in ["chown", "setfacl", "chmod", ""] {
        let all = problems.iter().flat_map(|problem| &problem.steps);
        for step in all.filter(|step| step.starts_with(first)) {
            if !steps.contains(&step.as_str()) {
                steps.push(step);
            }
        }
    }
    let wherever = match namespace {
        Namespace::Host => "",
        Namespace::Process(_) => {
            " as the service sees its files: where it runs in a container, inside of it"
        }
    };
    format!("`{}`{wherever}", steps.join(" && "))
}

/// The worst of all.
pub(super) fn severity(problems: &[Problem]) -> Severity {
    problems.iter().map(|problem| problem.severity).max().unwrap_or(Severity::Info)
}

pub(super) fn clauses(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.clause.as_str()).collect::<Vec<_>>().join("; ")
}

/// What three bits allow.
pub(super) const fn may(bits: u32) -> &'static str {
    match (bits & READ != 0, bits & WRITE != 0) {
        (true, true) => "read and write",
        (true, false) => "read",
        (false, true) => "write",
        (false, false) => "execute",
    }
}

fn list(names: &[String]) -> String {
    /// More names make no sentence.
    const MOST: usize = 8;
    let shown: Vec<&str> = names.iter().take(MOST).map(String::as_str).collect();
    match names.len().checked_sub(MOST) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

/// A number that no account has says more when it says so.
pub(super) fn named(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{name} (no such account)")
    } else {
        name.to_owned()
    }
}

/// A path as one word of a shell.
pub(super) fn shell(path: &HostPath) -> String {
    quote(path.as_bytes())
}

pub(super) fn shell_word(word: &str) -> String {
    quote(word.as_bytes())
}

fn quote(bytes: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(byte);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && bytes.iter().all(is_plain) => text.to_owned(),
        Ok(text) if !text.chars().any(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        // Bash and others: bytes that are no text, or would do something to a terminal.
        Ok(_) | Err(_) => {
            let escaped = bytes.iter().map(|byte| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
                0x20..=0x7e => char::from(*byte).to_string(),
                byte => format!("\\x{byte:02x}"),
            });
            format!("$'{}'", escaped.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        for (path, word) in [
            (
                "/etc/elasticsearch/elasticsearch.keystore",
                "/etc/elasticsearch/elasticsearch.keystore",
            ),
            ("/srv/my data", "'/srv/my data'"),
            ("/srv/$(reboot)", "'/srv/$(reboot)'"),
            ("/srv/it's", r"'/srv/it'\''s'"),
            ("/srv/ä", "'/srv/ä'"),
            ("/srv/a\nb'\\", r"$'/srv/a\x0ab\'\\'"),
            ("", "''"),
        ] {
            assert_eq!(shell(&HostPath::from(path)), word);
        }
        assert_eq!(shell(&HostPath::new(b"/\xff".to_vec())), r"$'/\xff'");
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for path in [&b"/a b"[..], b"/it's", b"/\xff\n\x1b[1m'\\", b"/$HOME`x`\"\"", b"/-n*?"] {
            let line = format!("printf %s {}", quote(path));
            #[expect(clippy::disallowed_methods, reason = "a test: it asks a shell")]
            let output = std::process::Command::new("bash").args(["-c", &line]).output();
            let Ok(output) = output else {
                println!("skipped: there is no bash");
                return;
            };
            assert_eq!(output.stdout, path);
        }
    }

    #[test]
    fn many_names_make_a_short_list() {
        let names: Vec<String> = (0..10).map(|number| format!("u{number}")).collect();
        assert!(list(&names).ends_with("u7 and 2 more"));
        assert_eq!(list(&names[..2]), "u0, u1");
    }
}
