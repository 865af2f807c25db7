//! Where a crash kernel writes the memory of the machine: the configuration files of kdump.
//!
//! `kdump.conf(5)` of Fedora and Red Hat, `kdump-tools(5)` of Debian, `kdump(5)` of SUSE.

use crate::device_name;
use crate::path::HostPath;

/// Where all three write when nothing is said.
const DEFAULT: &str = "/var/crash";
const FILESYSTEMS: [&str; 7] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "minix", "f2fs"];

/// Where a dump goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Of this host, as it is mounted now.
    Directory(HostPath),
    /// A block device, or a file system on it.
    Device(HostPath),
    /// What this host cannot judge.
    Elsewhere(String),
}

/// One way of configuring kdump.
pub struct Dialect {
    pub file: &'static str,
    pub destinations: fn(&str) -> Vec<Destination>,
    /// The lines that matter, without the names of servers and accounts.
    pub redacted: fn(&str) -> String,
}

/// Every dialect; the first whose file is there counts.
pub static DIALECTS: &[Dialect] = &[
    Dialect { file: "/etc/kdump.conf", destinations: red_hat, redacted: redacted_red_hat },
    Dialect { file: "/etc/default/kdump-tools", destinations: debian, redacted: redacted_debian },
    Dialect { file: "/etc/sysconfig/kdump", destinations: suse, redacted: redacted_suse },
];

/// Lines of a word and its argument.
fn directives(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (word, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        (!word.is_empty()).then_some((word, argument.trim()))
    })
}

fn red_hat(text: &str) -> Vec<Destination> {
    let last = |wanted: &str| {
        directives(text).filter(|(word, _)| *word == wanted).last().map(|(_, argument)| argument)
    };
    let directory = || Destination::Directory(HostPath::from(last("path").unwrap_or(DEFAULT)));
    let mut destinations: Vec<Destination> = directives(text)
        .filter_map(|(word, argument)| {
            if word == "raw" || FILESYSTEMS.contains(&word) {
                let node = device_name::node(argument);
                Some(node.map_or_else(
                    || Destination::Elsewhere(format!("{word} {argument}")),
                    Destination::Device,
                ))
            } else if matches!(word, "nfs" | "ssh" | "net" | "virtiofs") {
                Some(Destination::Elsewhere(word.to_owned()))
            } else if word == "dracut_args" && argument.contains("--mount") {
                Some(Destination::Elsewhere("dracut_args --mount".to_owned()))
            } else {
                None
            }
        })
        .collect();
    let falls_back = ["failure_action", "default"]
        .iter()
        .any(|word| last(word).is_some_and(|action| action == "dump_to_rootfs"));
    if destinations.is_empty() || falls_back {
        destinations.push(directory());
    }
    destinations
}

fn redacted_red_hat(text: &str) -> String {
    directives(text)
        .filter_map(|(word, argument)| match word {
            "nfs" | "ssh" | "net" | "virtiofs" => Some(format!("{word} -\n")),
            "dracut_args" if argument.contains("--mount") => Some(format!("{word} --mount\n")),
            "path" | "raw" | "failure_action" | "default" => Some(format!("{word} {argument}\n")),
            word if FILESYSTEMS.contains(&word) => Some(format!("{word} {argument}\n")),
            _ => None,
        })
        .collect()
}

/// The last assignment to a variable in a file that shells source.
fn variable(text: &str, name: &str) -> Option<String> {
    let value = text
        .lines()
        .filter_map(|line| {
            let line = line.trim();
            line.strip_prefix("export ").unwrap_or(line).strip_prefix(name)?.strip_prefix('=')
        })
        .next_back()?;
    let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

const DEBIAN_SERVERS: [&str; 3] = ["SSH", "NFS", "FTP"];

fn debian(text: &str) -> Vec<Destination> {
    let server = DEBIAN_SERVERS.iter().find(|name| variable(text, name).is_some());
    vec![match server {
        Some(name) => Destination::Elsewhere((*name).to_owned()),
        None => directory(variable(text, "KDUMP_COREDIR")),
    }]
}

fn redacted_debian(text: &str) -> String {
    let servers = DEBIAN_SERVERS.iter().filter(|name| variable(text, name).is_some());
    let mut lines: String = servers.map(|name| format!("{name}=\"-\"\n")).collect();
    if let Some(directory) = variable(text, "KDUMP_COREDIR") {
        lines.push_str(&format!("KDUMP_COREDIR=\"{directory}\"\n"));
    }
    lines
}

fn suse(text: &str) -> Vec<Destination> {
    let place = variable(text, "KDUMP_SAVEDIR");
    let places = place.as_deref().unwrap_or(DEFAULT).split_ascii_whitespace();
    places
        .map(|place| match place.split_once("://") {
            Some(("file", path)) => directory(Some(path.to_owned())),
            Some((scheme, _)) => Destination::Elsewhere(scheme.to_owned()),
            None => directory(Some(place.to_owned())),
        })
        .collect()
}

fn redacted_suse(text: &str) -> String {
    let places: Vec<String> = suse(text)
        .into_iter()
        .map(|place| match place {
            Destination::Directory(path) | Destination::Device(path) => path.to_string(),
            Destination::Elsewhere(scheme) => format!("{scheme}://-"),
        })
        .collect();
    format!("KDUMP_SAVEDIR=\"{}\"\n", places.join(" "))
}

/// A directory, when the text says one: what a shell would still expand is not known.
fn directory(path: Option<String>) -> Destination {
    let path = path.unwrap_or_else(|| DEFAULT.to_owned());
    if path.starts_with('/') && !path.contains(['$', '`']) {
        Destination::Directory(HostPath::from(path))
    } else {
        Destination::Elsewhere(path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to(path: &str) -> Destination {
        Destination::Directory(path.into())
    }

    fn elsewhere(what: &str) -> Destination {
        Destination::Elsewhere(what.to_owned())
    }

    #[test]
    fn red_hats_file_names_a_path_a_device_or_a_server() {
        assert_eq!(red_hat("# nfs x:/y\ncore_collector makedumpfile\n"), [to("/var/crash")]);
        assert_eq!(red_hat("path /a\npath /srv/crash # there\n"), [to("/srv/crash")]);
        assert_eq!(
            red_hat("ext4 UUID=12\npath /x\n"),
            [Destination::Device("/dev/disk/by-uuid/12".into())]
        );
        assert_eq!(red_hat("raw /dev/sda5\n"), [Destination::Device("/dev/sda5".into())]);
        assert_eq!(red_hat("nfs box:/export\n"), [elsewhere("nfs")]);
        assert_eq!(
            red_hat("ssh root@box\nfailure_action dump_to_rootfs\n"),
            [elsewhere("ssh"), to("/var/crash")]
        );
        assert_eq!(red_hat("xfs something\n"), [elsewhere("xfs something")]);
    }

    #[test]
    fn debians_and_suses_files_are_variables() {
        assert_eq!(debian("#NFS=\"x\"\nUSE_KDUMP=1\n"), [to("/var/crash")]);
        assert_eq!(debian("KDUMP_COREDIR=\"/srv/crash\"\n"), [to("/srv/crash")]);
        assert_eq!(debian("KDUMP_COREDIR=/srv\nSSH=\"root@box\"\n"), [elsewhere("SSH")]);
        assert_eq!(debian("KDUMP_COREDIR=\"$BASE/crash\"\n"), [elsewhere("$BASE/crash")]);
        assert_eq!(suse(""), [to("/var/crash")]);
        assert_eq!(suse("KDUMP_SAVEDIR=\"file:///a\"\n"), [to("/a")]);
        assert_eq!(suse("KDUMP_SAVEDIR=ssh://me:secret@box/a\n"), [elsewhere("ssh")]);
    }

    #[test]
    fn redacting_keeps_the_destination_and_no_server() {
        let texts = [
            "ssh root@box\npath /x\nfailure_action dump_to_rootfs\nsshkey /root/k\n",
            "KDUMP_COREDIR=/x\nSSH=root@box\nSSH_KEY=/root/k\n",
            "KDUMP_SAVEDIR=\"ssh://me:secret@box/a file:///b\"\nKDUMP_SSH_IDENTITY=k\n",
        ];
        for (dialect, text) in DIALECTS.iter().zip(texts) {
            let redacted = (dialect.redacted)(text);
            assert_eq!((dialect.destinations)(&redacted), (dialect.destinations)(text), "{text}");
            for secret in ["box", "secret", "/root/k", "me:"] {
                assert!(!redacted.contains(secret), "{redacted}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_has_a_destination_or_none(
            text in "\\PC*|((path|raw|ext4|nfs|KDUMP_SAVEDIR=|SSH=|#)[ /a=\"]{0,6}\n){0,5}"
        ) {
            for dialect in DIALECTS {
                let _destinations = (dialect.destinations)(&text);
                let _redacted = (dialect.redacted)(&text);
            }
            prop_assert!(!red_hat(&text).is_empty());
            prop_assert!(!debian(&text).is_empty());
        }
    }
}
