//! Where memory goes when a process or the kernel crashes: the facts, and how a core pattern is read.
//!
//! See `core(5)` and `do_coredump` in the kernel's `fs/coredump.c`.

use serde::{Deserialize, Serialize};

use crate::path::HostPath;
use crate::snapshot::{Observed, Target, Trouble};

/// What was observed of dumps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreDumps {
    /// `/proc/sys/kernel/core_pattern`.
    pub pattern: Observed<HostPath>,
    /// Where the dumps of processes go. Empty: no process of the search stack is concerned.
    pub processes: Vec<Sink>,
    /// Where the dump of the kernel goes. Empty: not told.
    pub kernel: Vec<Sink>,
}

/// Where one dump goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sink {
    /// To a directory, or for the kernel's dump a device.
    Place {
        target: Target,
        /// Who writes makes the directory when it is missing. The kernel does not.
        is_made: bool,
        /// The directory is this one, and not one below it that the crash decides.
        is_exact: bool,
    },
    /// Nowhere, and why.
    Nowhere(String),
    /// It could not be followed.
    Unknown(Trouble),
}

/// What a core pattern says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A file in or below this directory. Relative: to the working directory of the process.
    File { directory: HostPath, is_exact: bool },
    /// Handed to a program.
    Pipe(HostPath),
    /// Handed to a server's socket.
    Socket(HostPath),
}

/// Reads a core pattern, of which the kernel keeps 127 bytes.
pub fn parse(pattern: &[u8]) -> Pattern {
    if let Some(command) = pattern.strip_prefix(b"|") {
        let mut words = command.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        return Pattern::Pipe(HostPath::new(words.next().unwrap_or_default().to_vec()));
    }
    if let Some(socket) = pattern.strip_prefix(b"@") {
        return Pattern::Socket(HostPath::new(socket.to_vec()));
    }
    let through_slash = |bytes: &[u8]| {
        let end = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        bytes.get(..end).unwrap_or_default().to_vec()
    };
    let directory = through_slash(pattern);
    match directory.iter().position(|byte| *byte == b'%') {
        None => Pattern::File { directory: HostPath::new(directory).normalised(), is_exact: true },
        Some(at) => {
            let literal = through_slash(directory.get(..at).unwrap_or_default());
            Pattern::File { directory: HostPath::new(literal).normalised(), is_exact: false }
        }
    }
}

/// The programs that are known to take dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    SystemdCoredump,
    Apport,
    Abrt,
    /// It throws the dump away.
    Discard,
}

/// Which handler a program is. By its whole path: anything may be called `apport`.
pub fn handler(program: &HostPath) -> Option<Handler> {
    match program.as_bytes() {
        b"/usr/share/apport/apport" => Some(Handler::Apport),
        b"/usr/libexec/abrt-hook-ccpp" => Some(Handler::Abrt),
        b"/bin/false" | b"/usr/bin/false" | b"/bin/true" | b"/usr/bin/true" => {
            Some(Handler::Discard)
        }
        // Some distributions keep systemd below another prefix.
        path if path.ends_with(b"/lib/systemd/systemd-coredump") => Some(Handler::SystemdCoredump),
        _ => None,
    }
}

/// The soft limit of `Max core file size` in `/proc/PID/limits`, in bytes; `u64::MAX` for none.
pub fn size_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        bytes => bytes.parse().ok(),
    }
}

/// What `Storage=` in coredump.conf says. See `coredump.conf(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    None,
    External,
    Journal,
}

/// The value of `Storage=`; `external` is the default.
pub fn storage(value: Option<&str>) -> Option<Storage> {
    match value {
        None | Some("" | "external") => Some(Storage::External),
        Some("journal") => Some(Storage::Journal),
        Some("none") => Some(Storage::None),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(directory: &str, is_exact: bool) -> Pattern {
        Pattern::File { directory: directory.into(), is_exact }
    }

    #[test]
    fn every_form_of_pattern_is_told_apart() {
        for (pattern, expected) in [
            ("core", file("", true)),
            ("", file("", true)),
            ("core.%p", file("", true)),
            ("cores/core.%p", file("cores", true)),
            ("%e/core", file("", false)),
            ("/core", file("/", true)),
            ("/var/cores/core.%e.%p", file("/var/cores", true)),
            ("/var//cores/./%h-x/core", file("/var/cores", false)),
            ("/var/cores-%h/core", file("/var", false)),
            ("/%e", file("/", true)),
            ("|/bin/false", Pattern::Pipe("/bin/false".into())),
            (
                "|/usr/lib/systemd/systemd-coredump %P %u",
                Pattern::Pipe("/usr/lib/systemd/systemd-coredump".into()),
            ),
            ("| /x/y", Pattern::Pipe("/x/y".into())),
            ("|", Pattern::Pipe("".into())),
            ("@/run/coredump.socket", Pattern::Socket("/run/coredump.socket".into())),
        ] {
            assert_eq!(parse(pattern.as_bytes()), expected, "{pattern}");
        }
    }

    #[test]
    fn handlers_are_known_by_their_whole_path() {
        for (path, expected) in [
            ("/usr/lib/systemd/systemd-coredump", Some(Handler::SystemdCoredump)),
            ("/lib/systemd/systemd-coredump", Some(Handler::SystemdCoredump)),
            ("/usr/share/apport/apport", Some(Handler::Apport)),
            ("/usr/libexec/abrt-hook-ccpp", Some(Handler::Abrt)),
            ("/bin/true", Some(Handler::Discard)),
            ("/opt/bin/false", None),
            ("systemd-coredump", None),
            ("/home/x/apport", None),
            ("", None),
        ] {
            assert_eq!(handler(&path.into()), expected, "{path}");
        }
    }

    #[test]
    fn the_soft_limit_counts() {
        let limits = |soft: &str| {
            format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax core file size        {soft}       unlimited            bytes\n"
            )
        };
        assert_eq!(size_limit(&limits("0")), Some(0));
        assert_eq!(size_limit(&limits("unlimited")), Some(u64::MAX));
        assert_eq!(size_limit(&limits("4096")), Some(4096));
        assert_eq!(size_limit("Max open files 1 2 files\n"), None);
    }

    #[test]
    fn storage_has_three_values_and_a_default() {
        assert_eq!(storage(None), Some(Storage::External));
        assert_eq!(storage(Some("none")), Some(Storage::None));
        assert_eq!(storage(Some("journal")), Some(Storage::Journal));
        assert_eq!(storage(Some("nonne")), None);
    }

    proptest! {
        #[test]
        fn any_pattern_is_survived(pattern in proptest::collection::vec(any::<u8>(), 0..128)) {
            let _parsed = parse(&pattern);
        }

        #[test]
        fn a_directory_is_a_literal_part_of_its_pattern(pattern in "[/a%|.]{0,30}") {
            if let Pattern::File { directory, .. } = parse(pattern.as_bytes()) {
                prop_assert!(!directory.as_bytes().contains(&b'%'));
                prop_assert_eq!(directory.is_absolute(), pattern.starts_with('/'));
            }
        }

        #[test]
        fn any_limits_are_survived(text in "\\PC*") {
            let _limit = size_limit(&text);
        }
    }
}
