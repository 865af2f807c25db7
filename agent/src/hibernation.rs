//! Where the kernel would write all of memory when the machine hibernates: the facts, and how they are read.
//!
//! See the kernel's `Documentation/power/swsusp.rst` and `kernel/power/hibernate.c`: an image is always written to a
//! swap area in use, the one on the resume device when one is set.

use serde::{Deserialize, Serialize};

use crate::snapshot::{DeviceNumber, Observed, Resolved};

/// What was observed of hibernation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hibernation {
    /// The running kernel would do it: `/sys/power/state` and `/sys/power/disk`.
    pub offered: Observed<bool>,
    /// `/sys/power/resume`; absent when none is set.
    pub resume: Observed<DeviceNumber>,
    /// The device that the kernel's command line names.
    pub named: Option<NamedDevice>,
    /// The words of the command line that bear on hibernation.
    pub words: Vec<String>,
    /// `AllowHibernation=` of systemd's sleep.conf, when it is set.
    pub allowed: Option<bool>,
}

/// What nobody looked at.
impl Default for Hibernation {
    fn default() -> Self {
        Self {
            offered: Observed::Absent,
            resume: Observed::Absent,
            named: None,
            words: Vec::new(),
            allowed: None,
        }
    }
}

/// A device that `resume=` names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedDevice {
    pub name: String,
    /// Where the name leads.
    pub resolution: Observed<Resolved>,
}

/// Whether `/sys/power/state` and `/sys/power/disk` offer hibernation. The kernel leaves the word out, and says
/// `[disabled]`, when `nohibernate` or lockdown forbids it.
pub fn is_offered(state: &str, disk: Option<&str>) -> bool {
    state.split_ascii_whitespace().any(|word| word == "disk")
        && disk.is_none_or(|disk| disk.trim() != "[disabled]")
}

/// The words of a kernel command line that bear on hibernation. Others may hold secrets and are not kept.
pub fn words(command_line: &str) -> Vec<String> {
    command_line
        .split_ascii_whitespace()
        .filter(|word| {
            matches!(*word, "noresume" | "nohibernate" | "hibernate=no" | "hibernate=noresume")
                || word.starts_with("resume=")
                || word.starts_with("resume_offset=")
        })
        .map(str::to_owned)
        .collect()
}

/// Whether the command line forbids hibernation.
pub fn is_forbidden(words: &[String]) -> bool {
    words.iter().any(|word| word == "nohibernate" || word == "hibernate=no")
}

/// The device that the last `resume=` names.
pub fn named(words: &[String]) -> Option<&str> {
    words
        .iter()
        .rev()
        .find_map(|word| word.strip_prefix("resume="))
        .filter(|name| !name.is_empty() && *name != "none")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernel_says_whether_it_would() {
        assert!(is_offered("freeze mem disk\n", Some("[platform] shutdown reboot\n")));
        assert!(is_offered("disk", None));
        assert!(!is_offered("freeze mem\n", None));
        assert!(!is_offered("freeze mem disk\n", Some("[disabled]\n")));
        assert!(!is_offered("diskette", None));
    }

    #[test]
    fn of_the_command_line_only_what_matters_is_kept() {
        let text = "BOOT_IMAGE=/vmlinuz root=UUID=1 luks.key=hunter2 resume=UUID=a resume=/dev/dm-1 resume_offset=34 quiet noresume\n";
        let words = words(text);
        assert_eq!(words, ["resume=UUID=a", "resume=/dev/dm-1", "resume_offset=34", "noresume"]);
        assert_eq!(named(&words), Some("/dev/dm-1"));
        assert!(!is_forbidden(&words));
        assert!(is_forbidden(&super::words("quiet nohibernate")));
        assert!(is_forbidden(&super::words("hibernate=no")));
    }

    proptest! {
        #[test]
        fn any_command_line_is_survived_and_other_words_are_dropped(text in "\\PC{0,80}") {
            for word in words(&text) {
                prop_assert!(word.contains("resume") || word.contains("hibernate"));
            }
        }
    }
}
