//! How much of a service's memory is locked, and how much was written to swap.

use serde::{Deserialize, Serialize};

/// What `/proc/PID/status` says of a process's memory. See `proc_pid_status(5)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceMemory {
    pub service: String,
    /// `VmLck`: kept out of swap by `mlock(2)`, in KiB.
    pub locked_kib: u64,
    /// `VmSwap`: written out at the time of looking, in KiB.
    pub swapped_kib: u64,
}

/// The two figures in the text of the file; `None` where one is missing, as for a kernel thread.
pub fn parse(status: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().strip_suffix("kB")?.trim_end().parse().ok()
    };
    Some((field("VmLck:")?, field("VmSwap:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_and_swapped_are_read() {
        let status = "Name:\tjava\nVmPeak:\t 9 kB\nVmLck:\t 4194304 kB\nVmSwap:\t      12 kB\n";
        assert_eq!(parse(status), Some((4_194_304, 12)));
        assert_eq!(parse("VmLck:\t1 kB\n"), None);
        assert_eq!(parse("VmLck:\tx kB\nVmSwap:\t1 kB\n"), None);
    }
}
