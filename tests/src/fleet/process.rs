//! A server in a process of its own, and what the kernel says of its memory.

use std::process::Child;

use anyhow::Context as _;

/// What a process has in memory.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Now, in KiB.
    pub resident_kib: u64,
    /// At most so far, in KiB.
    pub peak_kib: u64,
}

/// Killed when it is dropped.
#[derive(Debug)]
pub struct Process(pub(super) Child);

impl Process {
    /// Takes a child over.
    pub fn new(child: Child) -> Self {
        Self(child)
    }

    /// SIGKILL, and gone.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "procfs of a child of ours")]
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let text = line.with_context(|| format!("no {name} in the status of a process"))?;
            Ok(text.trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Memory { resident_kib: field("VmRSS:")?, peak_kib: field("VmHWM:")? })
    }

    /// The processor time that it has had, in seconds.
    #[expect(clippy::disallowed_methods, reason = "procfs of a child of ours")]
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        // proc_pid_schedstat: time on a processor in nanoseconds, of the main thread only; so all threads are summed.
        let mut nanoseconds = 0_u64;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let path = task?.path().join("schedstat");
            let text = std::fs::read_to_string(path)?;
            let first = text.split_whitespace().next().context("an empty schedstat")?;
            nanoseconds += first.parse::<u64>()?;
        }
        Ok(std::time::Duration::from_nanos(nanoseconds).as_secs_f64())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
