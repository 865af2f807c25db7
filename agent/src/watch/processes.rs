//! The ends of processes, by `pidfd_open(2)`, and the mount tables of those that have their own.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use atrest_proto::model::{Gap, Reason};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::plan::Plan;
use super::tables::Table;

/// The processes that are watched.
#[derive(Debug, Default)]
pub(super) struct Processes(BTreeMap<i32, Process>);

#[derive(Debug)]
struct Process {
    handle: OwnedFd,
    /// Closed with the handle: it would keep the mounts of a dead process.
    table: Option<Table>,
}

/// A descriptor of a process, to be polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    End(i32),
    Table(i32),
}

/// What came of a new plan.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) is_news: bool,
    pub(super) gaps: Vec<Gap>,
}

impl Processes {
    /// Watches the processes of the plan, whose numbers are those of this process's own namespace.
    pub(super) fn apply(&mut self, plan: &Plan, root: &Path) -> Applied {
        let mut applied = Applied::default();
        self.0.retain(|pid, _| plan.processes.contains(pid));
        if plan.processes.is_empty() {
            return applied;
        }
        if !same_numbers(root) {
            let detail = "processes have other numbers here than on the host";
            applied
                .gaps
                .push(gap(detail, "give the agent's container the host's processes (hostPID)"));
            return applied;
        }
        for pid in &plan.processes {
            let wants_table = plan.tables.contains(pid);
            if self.0.get(pid).is_some_and(|known| known.table.is_some() == wants_table) {
                continue;
            }
            match open(*pid, wants_table, root) {
                Ok(process) => {
                    self.0.insert(*pid, process);
                    applied.is_news = true;
                }
                // Ended since: the next look will not find it.
                Err(Errno::SRCH | Errno::NOENT) => {
                    self.0.remove(pid);
                    applied.is_news = true;
                }
                Err(errno) => {
                    self.0.remove(pid);
                    let remedy = match errno {
                        Errno::MFILE | Errno::NFILE => {
                            "raise the limit of open files (LimitNOFILE)"
                        }
                        Errno::ACCESS | Errno::PERM => "run the agent as root",
                        _ => "",
                    };
                    applied.gaps.push(gap(&format!("process {pid}: {errno}"), remedy));
                }
            }
        }
        applied
    }

    /// What there is to poll.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (Of, BorrowedFd<'_>)> {
        self.0.iter().flat_map(|(pid, process)| {
            let table = process.table.as_ref().map(|table| (Of::Table(*pid), table.as_fd()));
            [Some((Of::End(*pid), process.handle.as_fd())), table].into_iter().flatten()
        })
    }

    /// It has ended.
    pub(super) fn forget(&mut self, pid: i32) {
        self.0.remove(&pid);
    }
}

fn open(pid: i32, wants_table: bool, root: &Path) -> Result<Process, Errno> {
    let number = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    // The handle first: that it is of the process whose table follows, its end tells.
    let handle = pidfd_open(number, PidfdFlags::NONBLOCK)?;
    let table = wants_table.then(|| Table::open(&root.join(format!("proc/{pid}/mountinfo"))));
    let table =
        table.transpose().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(Process { handle, table })
}

/// Whether the numbers in that root's proc are those that this process knows.
fn same_numbers(root: &Path) -> bool {
    let own = std::process::id().to_string();
    std::fs::read_link(root.join("proc/self")).is_ok_and(|told| told == Path::new(&own))
}

fn gap(detail: &str, remedy: &str) -> Gap {
    Gap {
        subject: "processes that end".to_owned(),
        reason: Reason::Unreadable,
        detail: format!("{detail}: its end and its mounts are seen at the next full scan only"),
        remedy: remedy.to_owned(),
    }
}
