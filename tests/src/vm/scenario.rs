//! What a scenario of the VM tier says: how to build a storage stack, what to ask about it, and
//! what the answer must be. Plain data, so that a scenario is one entry of a list.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use super::kernel::Flavour;

/// The verdict of a path, in the words of the agent's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every leg is encrypted.
    Encrypted,
    /// Some legs are, or something beside the contents gets out.
    Partial,
    /// No leg is.
    Unencrypted,
    /// Somebody else says so.
    Claimed,
    /// Memory only.
    Volatile,
    /// Could not be decided.
    Unknown,
}

impl Verdict {
    /// The exit code of `check` for a path with this verdict.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Encrypted | Self::Claimed | Self::Volatile => 0,
            Self::Partial | Self::Unencrypted => 1,
            Self::Unknown => 3,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Encrypted => "encrypted",
            Self::Partial => "partial",
            Self::Unencrypted => "unencrypted",
            Self::Claimed => "claimed",
            Self::Volatile => "volatile",
            Self::Unknown => "unknown",
        })
    }
}

/// What the agent is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// `check` with these paths and devices; each must get the same answer.
    Paths(&'static [&'static str]),
    /// `check --pid`: the same in the eyes of the process whose number the file holds.
    Process(&'static str, &'static [&'static str]),
    /// `scan`, and in it the finding about this swap area.
    Swap(&'static str),
    /// `scan`, and in it the path of this use, which nobody has named to the agent.
    Place(&'static str, &'static str),
}

impl Question {
    /// The paths and devices that are named to the agent.
    pub fn paths(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Paths(paths) | Self::Process(_, paths) => Some(paths),
            Self::Swap(_) | Self::Place(..) => None,
        }
    }
}

/// One storage stack with what is true of it.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name, unique in the tier.
    pub name: &'static str,
    /// The kernel that it needs.
    pub kernel: Flavour,
    /// The shell script that builds it; `guest/lib.sh` has what it may call.
    pub setup: &'static str,
    /// The directories that get a file full of one marker and one named by the other, as the host sees them.
    pub writes: &'static [&'static str],
    /// The size of the file, for stacks where a small one might miss a leg.
    pub mib: u32,
    /// What is asked.
    pub question: Question,
    /// A path, of the same use where uses are asked about, in the same answer, with its own right verdict.
    pub also: Option<(&'static str, Verdict)>,
    /// How many seconds the agent may take, where the stack is one that may hang it.
    pub within: Option<u32>,
    /// The right verdict.
    pub verdict: Verdict,
    /// The right reasons.
    pub reasons: &'static [&'static str],
    /// The devices that must be named as plain.
    pub plain: &'static [&'static str],
    /// The disks on which the marker must be found, where these are not those of `plain`.
    pub leaks: Option<&'static [&'static str]>,
    /// A script that must succeed after the agent has answered.
    pub afterwards: &'static str,
    /// A program that the guest may lack.
    pub needs: Option<&'static str>,
    /// Why the agent may still answer `unknown`, or not in time. A wrong answer is a failure all the same.
    pub pending: Option<&'static str>,
}

impl Scenario {
    /// A stack that ends in a file system at `/data`; see the methods below for the rest.
    pub const fn new(name: &'static str, setup: &'static str) -> Self {
        Self {
            name,
            kernel: Flavour::Cloud,
            setup,
            writes: &["/data"],
            mib: 1,
            question: Question::Paths(&["/data"]),
            also: None,
            within: None,
            verdict: Verdict::Unknown,
            reasons: &[],
            plain: &[],
            leaks: None,
            afterwards: "",
            needs: None,
            pending: None,
        }
    }

    /// Every leg is encrypted.
    #[must_use]
    pub const fn encrypted(mut self) -> Self {
        self.verdict = Verdict::Encrypted;
        self
    }

    /// No leg is; these are the devices.
    #[must_use]
    pub const fn unencrypted(
        mut self,
        reasons: &'static [&'static str],
        plain: &'static [&'static str],
    ) -> Self {
        self.verdict = Verdict::Unencrypted;
        self.reasons = reasons;
        self.plain = plain;
        self
    }

    /// These devices are not.
    #[must_use]
    pub const fn partial(
        mut self,
        reasons: &'static [&'static str],
        plain: &'static [&'static str],
    ) -> Self {
        self.verdict = Verdict::Partial;
        self.reasons = reasons;
        self.plain = plain;
        self
    }

    /// It cannot be decided.
    #[must_use]
    pub const fn unknown(mut self, reasons: &'static [&'static str]) -> Self {
        self.verdict = Verdict::Unknown;
        self.reasons = reasons;
        self
    }

    /// Somebody else says so.
    #[must_use]
    pub const fn claimed(mut self, reasons: &'static [&'static str]) -> Self {
        self.verdict = Verdict::Claimed;
        self.reasons = reasons;
        self
    }

    /// Nothing rests.
    #[must_use]
    pub const fn volatile(mut self) -> Self {
        self.verdict = Verdict::Volatile;
        self
    }

    /// Asks about these instead.
    #[must_use]
    pub const fn asking(mut self, paths: &'static [&'static str]) -> Self {
        self.question = Question::Paths(paths);
        self
    }

    /// Asks in the eyes of the process whose number is in `/run/pid`.
    #[must_use]
    pub const fn asking_as_process(mut self, paths: &'static [&'static str]) -> Self {
        self.question = Question::Process("/run/pid", paths);
        self
    }

    /// Asks about this path, too, which has this verdict.
    #[must_use]
    pub const fn also(mut self, path: &'static str, verdict: Verdict) -> Self {
        self.also = Some((path, verdict));
        self
    }

    /// The agent must have ended after so many seconds.
    #[must_use]
    pub const fn within(mut self, seconds: u32) -> Self {
        self.within = Some(seconds);
        self
    }

    /// Needs another kernel.
    #[must_use]
    pub const fn on(mut self, kernel: Flavour) -> Self {
        self.kernel = kernel;
        self
    }

    /// Asks about a swap area, and writes by swapping out.
    #[must_use]
    pub const fn swap(mut self, device: &'static str) -> Self {
        self.question = Question::Swap(device);
        self.writes = &[];
        self
    }

    /// A `scan` without a word of it must find that this path is used for that, by the service that the setup
    /// starts. Writes there, in the eyes of the process whose number is in `/run/pid`, if there is one.
    #[must_use]
    pub const fn finding(mut self, usage: &'static str, path: &'static str) -> Self {
        self.question = Question::Place(usage, path);
        self.writes = &[];
        self
    }

    /// Writes there instead; nowhere if the setup writes, and settles, by itself.
    #[must_use]
    pub const fn writing(mut self, writes: &'static [&'static str]) -> Self {
        self.writes = writes;
        self
    }

    /// Writes this much.
    #[must_use]
    pub const fn mib(mut self, mib: u32) -> Self {
        self.mib = mib;
        self
    }

    /// The marker is found on these disks.
    #[must_use]
    pub const fn leaks(mut self, disks: &'static [&'static str]) -> Self {
        self.leaks = Some(disks);
        self
    }

    /// This must hold after the agent has answered.
    #[must_use]
    pub const fn afterwards(mut self, script: &'static str) -> Self {
        self.afterwards = script;
        self
    }

    /// Needs this program.
    #[must_use]
    pub const fn needs(mut self, program: &'static str) -> Self {
        self.needs = Some(program);
        self
    }

    /// The agent does not know this kind of stack yet.
    #[must_use]
    pub const fn pending(mut self, why: &'static str) -> Self {
        self.pending = Some(why);
        self
    }

    /// The disks that must have contents on them in plaintext.
    pub fn leaking_disks(&self) -> BTreeSet<&'static str> {
        match self.leaks {
            Some(disks) => disks.iter().copied().collect(),
            None => self.plain.iter().filter_map(|device| disk_of(device)).collect(),
        }
    }
}

/// The disk of a disk's or a partition's node: `vdb` of `/dev/vdb2`.
fn disk_of(device: &str) -> Option<&str> {
    let name = device.strip_prefix("/dev/vd")?;
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (disk.len() == 1).then(|| device.get("/dev/".len()..device.len() - (name.len() - 1)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaks_are_the_disks_of_the_plain_devices_unless_told() {
        let scenario = Scenario::new("x", "").partial(&[], &["/dev/vda12", "/dev/vdb", "/dev/md0"]);
        assert_eq!(scenario.leaking_disks(), BTreeSet::from(["vda", "vdb"]));
        assert_eq!(scenario.leaks(&["vdc"]).leaking_disks(), BTreeSet::from(["vdc"]));
        assert_eq!(scenario.leaks(&[]).leaking_disks(), BTreeSet::new());
    }
}
