//! Tables of the kernel that say when they change: `/proc/PID/mountinfo` and `/proc/swaps`, by `POLLPRI`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// An open table, to be polled for `POLLPRI`: a poll tells of a change once.
///
/// That of a process holds its mount namespace: whoever opens it closes it when the process ends.
#[derive(Debug)]
pub(super) struct Table(File);

impl Table {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }
}

impl AsFd for Table {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
